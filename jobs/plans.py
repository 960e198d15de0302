"""Scheduled work on plans: periods that end, and users who are told before they do."""

from __future__ import annotations

from datetime import timedelta

import structlog

from db.core.pool import Database
from db.credits.operations import set_low_balance
from db.plans.operations import due_plans, due_reminders
from jobs.core.declare import every, on_connect
from jobs.credits import settle_all
from settings import Settings

log = structlog.get_logger(__name__)


@every("* * * * *")
async def settle_plans(database: Database, settings: Settings) -> None:
    """Let the plans whose period is over go on, be past due or end."""
    grace = timedelta(days=settings.plan_grace_days)
    if users := await settle_all(database, due_plans(grace)):
        log.info("plans settled", users=users)


@every("*/10 * * * *")
async def remind_of_plans(database: Database, settings: Settings) -> None:
    """Tell users whose plan ends soon, once for each end."""
    ahead = timedelta(days=settings.plan_reminder_days)
    if users := await settle_all(database, due_reminders(ahead)):
        log.info("users reminded of their plans", users=users)


@on_connect
async def note_low_balance(database: Database, settings: Settings) -> None:
    """Tell the ledger at how many credits users are to be told that they run low."""
    await set_low_balance(database, settings.low_balance_credits)
