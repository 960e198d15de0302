"""Deletes in chunks what tables declare as expired, and rotates the event log's partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
from sqlalchemy import Table, TextClause

from db.core.actor import SERVICE
from db.core.commands import SqlFunction, call, call_on
from db.core.expiry import deleting, purge_statement
from db.core.pool import Database
from db.core.registry import models

CHUNK_ROWS = 5_000
# What subscriptions say of `after`. Days are dropped whole, so a few hours more are kept.
EVENT_DAYS_KEPT = 7
# Enough for a long weekend without a worker; after that events wait in the default partition.
EVENT_DAYS_AHEAD = 3
_MAKE_EVENT_DAYS = SqlFunction[None]("app.make_event_days", "void", days_ahead="integer")
_DROP_EVENT_DAYS = SqlFunction[int]("app.drop_event_days", "integer", days_kept="integer")


def _low_end(table: str, age: str) -> TextClause:
    """Of the queue's own log rows, the low end of their ids, which is the old one.

    They have no index by age, and this looks at no row that stays but the first.
    """
    chosen = f"select id from queue.{table} order by id limit :chunk"
    return deleting(f"queue.{table}", f"id in ({chosen}) and created < now() - interval '{age}'")


# The tables of pgqueuer are none of ours.
_QUEUE_PURGES = {
    "queue statistics older than 30 days": _low_end("pgqueuer_statistics", "30 days"),
    "queue log older than 7 days": _low_end("pgqueuer_log", "7 days"),
}


def _purges() -> Iterator[tuple[str, TextClause]]:
    for _, model in sorted(models().items()):
        assert isinstance(model.__table__, Table)
        for expiry in model.expiries:
            yield expiry.name, purge_statement(model.__table__, expiry)
    yield from _QUEUE_PURGES.items()


async def purge(database: Database) -> AsyncIterator[tuple[str, int]]:
    """Deletes old rows, each chunk in its own transaction; tells what went and how many rows."""
    for name, statement in _purges():
        total = 0
        while True:
            async with database.transaction(SERVICE) as transaction:
                deleted = await transaction.fetch_value(statement, chunk=CHUNK_ROWS)
            total += deleted
            if deleted < CHUNK_ROWS:
                break
        yield name, total


async def make_event_days(connection: asyncpg.Connection) -> None:
    """Makes the coming days of the event log, as `service` or the database's owner."""
    await call_on(connection, _MAKE_EVENT_DAYS(days_ahead=EVENT_DAYS_AHEAD))


async def rotate_event_partitions(database: Database) -> int:
    """Makes the coming days of the event log, then drops the old ones; returns how many went."""
    async with database.transaction(SERVICE) as transaction:
        await make_event_days(transaction.connection)
    async with database.transaction(SERVICE) as transaction:
        return await call(transaction, _DROP_EVENT_DAYS(days_kept=EVENT_DAYS_KEPT))
