"""Type codecs between Python and Postgres, where asyncpg's defaults do not fit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

# From here PostgreSQL counts timestamps, in microseconds.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


async def set_codecs(raw: asyncpg.Connection) -> None:
    """Answers come as the bytes Postgres wrote; jsonb parameters and columns are Python values.

    Timestamps go as the microseconds that Postgres counts: asyncpg takes the largest and the
    smallest of Python for infinity, which is behind every row and before none.
    """
    await raw.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )
    await raw.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value, default=_plain).decode(),
        decoder=orjson.loads,
        format="text",
    )
    await raw.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=_microseconds,
        decoder=_timestamp,
        format="tuple",
    )


def _plain(value: object) -> str:
    """What orjson does not know: the UUIDs that asyncpg reads, a class of its own."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def _microseconds(timestamp: datetime) -> tuple[int]:
    return ((timestamp - _EPOCH) // _MICROSECOND,)


def _timestamp(counted: tuple[int]) -> datetime:
    """The timestamp; infinity, and what else lies beyond Python's years, is the nearest it has."""
    try:
        return _EPOCH + timedelta(microseconds=counted[0])
    except OverflowError:
        return LAST if counted[0] > 0 else FIRST
