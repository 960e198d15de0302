"""Scheduled work on play sessions: those that nobody plays any more end."""

from __future__ import annotations

import structlog

from db.core.pool import Database
from db.play.operations import expire, set_play_rules
from jobs.core.declare import every, on_connect
from jobs.providers.base import Providers
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
async def note_play_rules(database: Database, providers: Providers, settings: Settings) -> None:
    """Tell the database how many activities a day are free, and how many an AI writes."""
    written = settings.activities_by_ai if providers.writer is not None else 0
    await set_play_rules(database, free=settings.free_daily_activities, written=written)
