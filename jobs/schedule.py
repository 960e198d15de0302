"""The work that is done by the clock, all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from db.credits.operations import expire_holds
from db.generations.operations import give_up_overdue_generations
from db.pool import Database
from db.retention import purge
from jobs.ledger import expire_credits, give_plan_credits, in_transaction, prove_all, prove_recent

AT_ONCE = 500

log = structlog.get_logger(__name__)


async def end_overdue_work(database: Database) -> None:
    """End generations that took too long, then release every other hold whose time is over."""
    ended = await give_up_overdue_generations(database, AT_ONCE)
    expired = await in_transaction(database, lambda t: expire_holds(t, AT_ONCE))
    if ended or expired:
        log.warning("overdue work ended", generations=ended, holds=expired)


async def purge_old_rows(database: Database) -> None:
    """Delete what nobody may ask for any more."""
    async for name, rows in purge(database):
        if rows:
            log.info("old rows deleted", what=name, rows=rows)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Work with its times, as a cron expression in UTC; one worker of all runs it each time."""

    name: str
    times: str
    run: Callable[[Database], Awaitable[None]]


SCHEDULE = (
    ScheduledWork("end_overdue_work", "* * * * *", end_overdue_work),
    ScheduledWork("expire_credits", "* * * * *", expire_credits),
    ScheduledWork("give_plan_credits", "*/5 * * * *", give_plan_credits),
    ScheduledWork("prove_recent_wallets", "23 * * * *", prove_recent),
    ScheduledWork("prove_all_wallets", "41 2 * * *", prove_all),
    ScheduledWork("purge_old_rows", "17 3 * * *", purge_old_rows),
)
