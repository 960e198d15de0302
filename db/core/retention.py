"""How long rows are kept that nobody may ask for any more, and their removal in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import TextClause, text

from db.core.actor import SERVICE
from db.core.pool import Database

CHUNK_ROWS = 5_000
# What subscriptions say of `after`. Days are dropped whole, so a few hours more are kept.
EVENT_DAYS_KEPT = 7
# Enough for a long weekend without a worker; after that events wait in the default partition.
EVENT_DAYS_AHEAD = 3
MAKE_EVENT_DAYS = text("select app.make_event_days(:days)")
DROP_EVENT_DAYS = text("select app.drop_event_days(:days)")


def _deleting(table: str, condition: str) -> TextClause:
    """Deletes one chunk and answers how many rows that were."""
    deleted = f"delete from {table} where {condition} returning 1"  # noqa: S608 - our own words only
    return text(f"with gone as ({deleted}) select count(*) from gone")  # noqa: S608


def _oldest(table: str, key: str, condition: str, order: str) -> TextClause:
    """Of the rows that an index finds by their age, the oldest."""
    chosen = f"select {key} from {table} where {condition} order by {order} limit :chunk"  # noqa: S608
    return _deleting(table, f"({key}) in ({chosen})")


def _low_end(table: str, age: str) -> TextClause:
    """Of the queue's own log rows, the low end of their ids, which is the old one.

    They have no index by age, and this looks at no row that stays but the first.
    """
    chosen = f"select id from queue.{table} order by id limit :chunk"  # noqa: S608
    return _deleting(f"queue.{table}", f"id in ({chosen}) and created < now() - interval '{age}'")


PURGES: dict[str, TextClause] = {
    "expired results": _oldest("result_cache", "cache_key", "expires_at <= now()", "expires_at"),
    "idempotency keys older than 30 days": _oldest(
        "idempotency_keys",
        "user_id, operation, key",
        "created_at < now() - interval '30 days'",
        "created_at",
    ),
    # Longer than any access token lives: a revoked session must be known as revoked until then.
    "sessions revoked a week ago": _oldest(
        "sessions", "id", "revoked_at < now() - interval '7 days'", "revoked_at"
    ),
    "sessions expired a week ago": _oldest(
        "sessions", "id", "expires_at < now() - interval '7 days'", "expires_at"
    ),
    # Long after the last access token of the session.
    "deleted sessions older than 30 days": _oldest(
        "deleted_sessions", "id", "deleted_at < now() - interval '30 days'", "deleted_at"
    ),
    "budgets that are whole again": _oldest(
        "rate_budgets", "kind, holder_hash", "expires_at <= now()", "expires_at"
    ),
    "generation logs older than a year": _oldest(
        "ai_generation_logs", "id", "created_at < now() - interval '1 year'", "created_at, id"
    ),
    "dead jobs older than 90 days": _oldest(
        "dead_jobs", "id", "died_at < now() - interval '90 days'", "died_at, id"
    ),
    "ledger proofs older than a year": _oldest(
        "ledger_proofs", "id", "started_at < now() - interval '1 year'", "id"
    ),
    "queue statistics older than 30 days": _low_end("pgqueuer_statistics", "30 days"),
    "queue log older than 7 days": _low_end("pgqueuer_log", "7 days"),
}


async def purge(database: Database) -> AsyncIterator[tuple[str, int]]:
    """Deletes old rows, each chunk in its own transaction; tells what went and how many rows."""
    for name, statement in PURGES.items():
        total = 0
        while True:
            async with database.transaction(SERVICE) as transaction:
                deleted = await transaction.fetch_value(statement, chunk=CHUNK_ROWS)
            total += deleted
            if deleted < CHUNK_ROWS:
                break
        yield name, total


async def turn_event_days(database: Database) -> int:
    """Makes the coming days of the event log, then drops the old ones; returns how many went."""
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(MAKE_EVENT_DAYS, days=EVENT_DAYS_AHEAD)
    async with database.transaction(SERVICE) as transaction:
        dropped: int = await transaction.fetch_value(DROP_EVENT_DAYS, days=EVENT_DAYS_KEPT)
    return dropped
