"""A worker's report to the catalog: which tools its provider implements."""

from __future__ import annotations

from db.catalog.operations import note_made_tools
from db.core.pool import Database
from jobs.core.declare import on_connect
from jobs.providers.base import LimitedProvider


@on_connect
async def note_tools(database: Database, provider: LimitedProvider) -> None:
    """Tools that the provider cannot make give a preview."""
    await note_made_tools(database, provider.makes)
