"""Scheduled work on partners: requests that nobody answered in time expire."""

from __future__ import annotations

from db.core.commands import call_as_service
from db.core.pool import Database
from db.core.retention import CHUNK_ROWS
from db.partners.operations import EXPIRE
from jobs.core.declare import every


@every("* * * * *")
async def end_partner_requests(database: Database) -> None:
    """Expire requests, each chunk in its own transaction; both sides are told live."""
    while await call_as_service(database, EXPIRE(at_most=CHUNK_ROWS)) == CHUNK_ROWS:
        pass
