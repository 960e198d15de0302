"""Scheduled work on surveys: what nobody goes on with is given up."""

from __future__ import annotations

import structlog

from db.core.pool import Database
from db.surveys.operations import RUNS_AT_ONCE, abandon_stale
from jobs.core.declare import every

log = structlog.get_logger(__name__)


@every("17 3 * * *")
async def end_stale_surveys(database: Database) -> None:
    """Give up the runs of surveys that nobody has gone on with for 30 days."""
    abandoned = 0
    while found := await abandon_stale(database):
        abandoned += found
        if found < RUNS_AT_ONCE:
            break
    if abandoned:
        log.info("surveys.abandoned", runs=abandoned)
