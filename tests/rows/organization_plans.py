"""Rows of what organizations use of their plans."""

from datetime import UTC, datetime

from . import Maker, known_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ROWS: dict[str, Maker] = {
    "public.organization_usage": lambda user, _key: {
        "organization_id": known_id(user, "public.organizations"),
        "kind": "WORKFLOWS",
        "period_start": EPOCH,
        "used": 1,
    },
}
