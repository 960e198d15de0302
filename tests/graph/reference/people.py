"""Who asks in the world of both ways, and the awkward values that rows of theirs hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from db.core.actor import NOBODY, Actor

ADA = Actor(
    "authenticated",
    UUID("018f0000-0000-7000-8000-0000000000ad"),
    session_id=UUID("018f0000-0000-7000-8000-00000000ada0"),
    is_admin=True,
)
GUEST = Actor("authenticated", UUID("018f0000-0000-7000-8000-0000000000b0"))
STRANGER = Actor("authenticated", UUID("018f0000-0000-7000-8000-0000000000c0"))
ACTORS = {"ada": ADA, "guest": GUEST, "nobody": NOBODY}

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
# Whole seconds, halves, one microsecond, all of them, and two rows of the same timestamp.
TIMESTAMPS = [
    START,
    START + timedelta(microseconds=500_000),
    START + timedelta(seconds=1, microseconds=1),
    START + timedelta(seconds=1, microseconds=1),
    START + timedelta(seconds=2, microseconds=999_999),
    datetime(1969, 12, 31, 23, 59, 59, 120_000, tzinfo=UTC),
]
# The same for rows that are deleted when they are old.
LASTING = [timestamp.replace(year=2100) for timestamp in TIMESTAMPS]
TEXTS = ["Ada", "", 'q"\\/\b\n\t\x7f', "日本語 🧑🏽‍🎤 ﷽", "null", "x" * 255, "e\u0301 \u2028 <&>"]
DOCUMENT = {
    "nothing": None,
    "nested": [None, {"deep": [[], {}, [None]]}],
    "numbers": [0, -0.5, 0.1, 1e-7, 1e300, 2**53 + 1, 2**63 - 1, -(2**63), 1.0],
    'key "quoted" 日本': "\u0001 \\ \U0001f600",
    "yes": True,
}


def known(user: Actor, what: str, number: int) -> UUID:
    """The id of a row that `fill` makes."""
    assert user.user_id is not None
    return uuid5(user.user_id, f"{what} {number}")


async def add(owner: asyncpg.Connection, table: str, **values: Any) -> None:
    """Inserts a row; lists are JSON, tuples are arrays."""
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    given = [json.dumps(v) if isinstance(v, dict | list) else v for v in values.values()]
    await owner.execute(f"insert into {table} ({', '.join(values)}) values ({places})", *given)
