"""What the command line shows of alerts, as the database's owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Record

_ALERTS = """
    select id, status, measured, threshold, changed_at, checked_at from alerts order by status, id
"""


async def read_alerts(owner_url: str) -> list[Record]:
    """All alerts, those that fire first."""
    owner = await asyncpg.connect(owner_url)
    try:
        found: list[Record] = await owner.fetch(_ALERTS)
        return found
    finally:
        await owner.close()
