"""Scheduled work on uploads: deletes photos that nobody used, and files without a row."""

from __future__ import annotations

import structlog

from db.core.pool import Database
from db.files.storage import Storage
from db.uploads.receiving import sweep_files, sweep_uploads
from jobs.core.declare import every

log = structlog.get_logger(__name__)


@every("*/10 * * * *")
async def sweep_unused_uploads(database: Database, storage: Storage) -> None:
    """Delete photos that no generation used in a day."""
    if swept := await sweep_uploads(database, storage):
        log.info("unused uploads deleted", uploads=swept)


@every("47 3 * * *")
async def sweep_lost_files(database: Database, storage: Storage) -> None:
    """Delete files that belong to nobody: left by crashes, or by accounts that are gone."""
    if swept := await sweep_files(database, storage):
        log.warning("lost files deleted", files=swept)
