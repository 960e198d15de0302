"""Scheduled work on all tables: deleting expired rows, daily partitions of events."""

from __future__ import annotations

import structlog

from db.core.pool import Database
from db.core.retention import purge, rotate_event_partitions
from jobs.core.declare import every

log = structlog.get_logger(__name__)


@every("17 3 * * *")
async def purge_old_rows(database: Database) -> None:
    """Delete what nobody may ask for any more."""
    async for name, rows in purge(database):
        if rows:
            log.info("old rows deleted", what=name, rows=rows)


@every("*/20 * * * *")
async def rotate_events(database: Database) -> None:
    """Make the event log's coming days and drop those past their time."""
    dropped = await rotate_event_partitions(database)
    if dropped:
        log.info("old events dropped", days=dropped)
