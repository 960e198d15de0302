"""Scheduled work on the audit log: entries that are past their time go."""

from __future__ import annotations

import structlog

from db.audit.operations import FORGET_OLD_ENTRIES
from db.core.commands import call_as_service
from db.core.pool import Database
from db.core.retention import CHUNK_ROWS
from jobs.core.declare import every

log = structlog.get_logger(__name__)


@every("27 3 * * *")
async def forget_old_audits(database: Database) -> None:
    """Delete old entries, each chunk in its own transaction."""
    total = 0
    while True:
        gone = await call_as_service(database, FORGET_OLD_ENTRIES(chunk_rows=CHUNK_ROWS))
        total += gone
        if gone < CHUNK_ROWS:
            break
    if total:
        log.info("old audit entries deleted", rows=total)
