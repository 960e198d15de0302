"""All scheduled work, with its cron expressions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from db.core.pool import Database
from db.core.retention import purge, turn_event_days
from db.files.storage import Storage
from db.generations.operations import give_up_overdue_generations
from db.uploads.receiving import sweep_files, sweep_uploads
from jobs.ledger import (
    expire_credits,
    expire_holds,
    give_plan_credits,
    prove_all,
    prove_recent,
)

AT_ONCE = 500

log = structlog.get_logger(__name__)


async def end_overdue_work(database: Database) -> None:
    """End generations that took too long, then release every other hold whose time is over."""
    ended = await give_up_overdue_generations(database, AT_ONCE)
    expired = await expire_holds(database)
    if ended or expired:
        log.warning("overdue work ended", generations=ended, holds=expired)


async def purge_old_rows(database: Database) -> None:
    """Delete what nobody may ask for any more."""
    async for name, rows in purge(database):
        if rows:
            log.info("old rows deleted", what=name, rows=rows)


async def sweep_unused_uploads(database: Database, storage: Storage) -> None:
    """Delete photos that no generation used in a day."""
    if swept := await sweep_uploads(database, storage):
        log.info("unused uploads deleted", uploads=swept)


async def sweep_lost_files(database: Database, storage: Storage) -> None:
    """Delete files that belong to nobody: left by crashes, or by accounts that are gone."""
    if swept := await sweep_files(database, storage):
        log.warning("lost files deleted", files=swept)


async def turn_days(database: Database) -> None:
    """Make the event log's coming days and drop those past their time."""
    dropped = await turn_event_days(database)
    if dropped:
        log.info("old events dropped", days=dropped)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Work with its times, as a cron expression in UTC; one worker of all runs it each time.

    It may be run twice when its worker dies, so it must be safe to repeat.
    """

    name: str
    times: str
    run: Callable[[Database, Storage], Awaitable[None]]


def _on_database(
    work: Callable[[Database], Awaitable[None]],
) -> Callable[[Database, Storage], Awaitable[None]]:
    """Work that touches no files."""
    return lambda database, _: work(database)


SCHEDULE = (
    ScheduledWork("end_overdue_work", "* * * * *", _on_database(end_overdue_work)),
    ScheduledWork("expire_credits", "* * * * *", _on_database(expire_credits)),
    ScheduledWork("give_plan_credits", "*/5 * * * *", _on_database(give_plan_credits)),
    ScheduledWork("prove_recent_wallets", "23 * * * *", _on_database(prove_recent)),
    ScheduledWork("prove_all_wallets", "41 2 * * *", _on_database(prove_all)),
    ScheduledWork("turn_days", "*/20 * * * *", _on_database(turn_days)),
    ScheduledWork("purge_old_rows", "17 3 * * *", _on_database(purge_old_rows)),
    ScheduledWork("sweep_unused_uploads", "*/10 * * * *", sweep_unused_uploads),
    ScheduledWork("sweep_lost_files", "47 3 * * *", sweep_lost_files),
)
