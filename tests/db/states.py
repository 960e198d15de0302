"""Rows that have lived elsewhere already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def rows_with_a_past(owner: asyncpg.Connection, *tables: str) -> AsyncIterator[None]:
    """Lets the owner insert rows in any state for a block, as an import does."""
    async with owner.transaction():
        for table in tables:
            await owner.execute(f"alter table {table} disable trigger lifecycle_insert")
        yield
        for table in tables:
            await owner.execute(f"alter table {table} enable trigger lifecycle_insert")
