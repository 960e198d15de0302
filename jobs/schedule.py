"""The work that is done by the clock, all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from db.actor import SERVICE
from db.credits.operations import expire_holds
from db.generations.operations import give_up_overdue_generations
from db.pool import Database
from db.retention import purge, turn_event_days

AT_ONCE = 500

log = structlog.get_logger(__name__)


async def end_overdue_work(database: Database) -> None:
    """End generations that took too long, then release every other hold whose time is over."""
    ended = await give_up_overdue_generations(database, AT_ONCE)
    async with database.transaction(SERVICE) as transaction:
        expired = await expire_holds(transaction, AT_ONCE)
    if ended or expired:
        log.warning("overdue work ended", generations=ended, holds=expired)


async def purge_old_rows(database: Database) -> None:
    """Delete what nobody may ask for any more."""
    async for name, rows in purge(database):
        if rows:
            log.info("old rows deleted", what=name, rows=rows)


async def turn_days(database: Database) -> None:
    """Make the event log's coming days and drop those past their time."""
    dropped = await turn_event_days(database)
    if dropped:
        log.info("old events dropped", days=dropped)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Work with its times, as a cron expression in UTC; one worker of all runs it each time."""

    name: str
    times: str
    run: Callable[[Database], Awaitable[None]]


SCHEDULE = (
    ScheduledWork("end_overdue_work", "* * * * *", end_overdue_work),
    ScheduledWork("turn_days", "*/20 * * * *", turn_days),
    ScheduledWork("purge_old_rows", "17 3 * * *", purge_old_rows),
)
