"""Scheduled work on play sessions: those that nobody plays any more end."""

from __future__ import annotations

import structlog

from db.core.pool import Database
from db.play.operations import expire, set_free_daily_activities
from jobs.core.declare import every, on_connect
from settings import Settings

log = structlog.get_logger(__name__)
CHUNK = 200


@every("*/10 * * * *")
async def expire_play_sessions(database: Database) -> None:
    """End the sessions in which nobody did anything for 7 days."""
    while expired := await expire(database, CHUNK):
        log.info("play sessions expired", sessions=expired)
        if expired < CHUNK:
            return


@on_connect
async def note_free_daily_activities(database: Database, settings: Settings) -> None:
    """Tell the database how many activities a day are free."""
    await set_free_daily_activities(database, settings.free_daily_activities)
