"""Rows of quotas."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.quota_limits": lambda user, key: {
        "audience": key,
        "slice": "profiles",
        "rows_limit": 10,
        "bytes_limit": 1_000,
    },
}
