"""Scheduled work on organizations: those whose time has come are deleted."""

from __future__ import annotations

from db.core.pool import Database
from db.core.retention import CHUNK_ROWS
from db.organizations.operations import erase_organizations
from jobs.core.declare import every


@every("*/10 * * * *")
async def erase_due_orgs(database: Database) -> None:
    """Delete organizations with all that they have, each piece in its own transaction."""
    while await erase_organizations(database, CHUNK_ROWS):
        pass
