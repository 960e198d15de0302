"""What uploads are allowed in the database that tests share, changed for one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.core.actor import SERVICE
from db.core.pool import Database
from db.uploads.operations import UploadLimits, publish_limits
from settings import Settings


async def publish(database: Database, limits: UploadLimits) -> None:
    """Tells the database these limits, as a server does when it starts."""
    async with database.transaction(SERVICE) as transaction:
        await publish_limits(transaction.connection, limits)


@asynccontextmanager
async def usual_limits_after(database: Database) -> AsyncIterator[None]:
    """Puts the limits of the settings' defaults back when the block ends."""
    try:
        yield
    finally:
        await publish(database, UploadLimits.of(Settings()))
