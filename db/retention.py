"""How long rows are kept that nobody may ask for any more, and their removal in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import TextClause, text

from db.actor import SERVICE
from db.pool import Database

CHUNK_ROWS = 5_000
# What subscriptions say of `after`. Days are dropped whole, so a few hours more are kept.
EVENT_DAYS_KEPT = 7
# Enough for a long weekend without a worker; after that events wait in the default partition.
EVENT_DAYS_AHEAD = 3
MAKE_EVENT_DAYS = text("select app.make_event_days(:days)")
DROP_EVENT_DAYS = text("select app.drop_event_days(:days)")

# Each deletes one chunk and answers how many rows that were. Log rows are taken from the low end of
# their ids, which is the old end: no look at the rows that stay.
PURGES: dict[str, TextClause] = {
    "expired results": text("""
        with gone as (
            delete from result_cache where cache_key in (
                select cache_key from result_cache where expires_at <= now() limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "idempotency keys older than 30 days": text("""
        with gone as (
            delete from idempotency_keys where (user_id, operation, key) in (
                select user_id, operation, key from idempotency_keys
                where created_at < now() - interval '30 days' limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "generation logs older than a year": text("""
        with gone as (
            delete from ai_generation_logs where id in (
                select id from ai_generation_logs where created_at < now() - interval '1 year'
                order by created_at, id limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "dead jobs older than 90 days": text("""
        with gone as (
            delete from dead_jobs where id in (
                select id from dead_jobs where died_at < now() - interval '90 days'
                order by died_at, id limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "queue statistics older than 30 days": text("""
        with gone as (
            delete from queue.pgqueuer_statistics
            where id in (select id from queue.pgqueuer_statistics order by id limit :chunk)
              and created < now() - interval '30 days'
            returning 1)
        select count(*) from gone
    """),
    "ledger proofs older than a year": text("""
        with gone as (
            delete from ledger_proofs where id in (
                select id from ledger_proofs
                where started_at < now() - interval '1 year' order by id limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "queue log older than 7 days": text("""
        with gone as (
            delete from queue.pgqueuer_log
            where id in (select id from queue.pgqueuer_log order by id limit :chunk)
              and created < now() - interval '7 days'
            returning 1)
        select count(*) from gone
    """),
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
