"""Scheduled work on notifications: who has been away for long is told that there is more."""

from __future__ import annotations

from datetime import timedelta

from db.core.pool import Database
from db.notifications import operations
from jobs.core.declare import every
from settings import Settings


@every("11 * * * *")
async def notify_absent_users(database: Database, settings: Settings) -> None:
    """Notify users who have been away for `ABSENCE_NOTICE_HOURS`, once in each absence."""
    if settings.absence_notice_hours:
        absent_for = timedelta(hours=settings.absence_notice_hours)
        await operations.notify_absent(database, absent_for)
