"""A worker's report to the catalog: which tools its providers implement."""

from __future__ import annotations

from db.catalog.operations import note_made_tools
from db.core.pool import Database
from jobs.core.declare import on_connect
from jobs.providers.base import Providers


@on_connect
async def note_tools(database: Database, providers: Providers) -> None:
    """Tools that no provider makes give a preview."""
    await note_made_tools(database, providers.makes)
