"""Rows of the operator's: counts of operations and alerts."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.operation_counts": lambda user, key: {
        "minute": "2000-01-01",
        "kind": "query",
        "field": f"row{key}",
        "answered": 1,
    },
    "public.alerts": lambda user, key: {
        "id": "row-" + "".join(chr(97 + int(digit, 16)) for digit in key.hex),
        "threshold": 1,
    },
}
