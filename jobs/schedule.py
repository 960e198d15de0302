"""The work that is done by the clock, all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import TextClause, text

from db.actor import SERVICE
from db.generations.operations import give_up_overdue_generations
from db.pool import Database

AT_ONCE = 500
CHUNK_ROWS = 5_000

# Each deletes one chunk and answers how many rows that were. Events and log rows are taken from the
# low end of their ids, which is the old end: no look at the rows that stay.
PURGES: dict[str, TextClause] = {
    "expired results": text("""
        with gone as (
            delete from result_cache where cache_key in (
                select cache_key from result_cache where expires_at <= now() limit :chunk)
            returning 1)
        select count(*) from gone
    """),
    "events older than 7 days": text("""
        with gone as (
            delete from events
            where id in (select id from events order by id limit :chunk)
              and created_at < now() - interval '7 days'
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
    "queue log older than 7 days": text("""
        with gone as (
            delete from queue.pgqueuer_log
            where id in (select id from queue.pgqueuer_log order by id limit :chunk)
              and created < now() - interval '7 days'
            returning 1)
        select count(*) from gone
    """),
}
_EXPIRE_HOLDS = text("select app.expire_holds(:at_most)")

log = structlog.get_logger(__name__)


async def end_overdue_work(database: Database) -> None:
    """End generations that took too long, then release every other hold whose time is over."""
    ended = await give_up_overdue_generations(database, AT_ONCE)
    async with database.transaction(SERVICE) as transaction:
        expired = await transaction.fetch_value(_EXPIRE_HOLDS, at_most=AT_ONCE)
    if ended or expired:
        log.warning("overdue work ended", generations=ended, holds=expired)


async def purge_old_rows(database: Database) -> None:
    """Delete what nobody may ask for any more, chunk by chunk, each in its own transaction."""
    for name, statement in PURGES.items():
        total = 0
        while True:
            async with database.transaction(SERVICE) as transaction:
                deleted = await transaction.fetch_value(statement, chunk=CHUNK_ROWS)
            total += deleted
            if deleted < CHUNK_ROWS:
                break
        if total:
            log.info("old rows deleted", what=name, rows=total)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Work with its times, as a cron expression in UTC; one worker of all runs it each time."""

    name: str
    times: str
    run: Callable[[Database], Awaitable[None]]


SCHEDULE = (
    ScheduledWork("end_overdue_work", "* * * * *", end_overdue_work),
    ScheduledWork("purge_old_rows", "17 3 * * *", purge_old_rows),
)
