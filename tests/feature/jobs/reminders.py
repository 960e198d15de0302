"""Sends reminders."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from db.reminders.operations import mark_sent

from db.core.pool import Database
from jobs.core.declare import every, job


@job("send_reminder", attempts=3)
async def send_reminder(database: Database, wake: Callable[[], None], *, reminder_id: UUID) -> None:
    """Send one."""
    await mark_sent(database, reminder_id)
    wake()


@every("* * * * *")
async def look_for_lost_reminders() -> None:
    """Nothing is lost."""
