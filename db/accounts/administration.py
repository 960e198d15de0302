"""What only admins may do to accounts."""

from __future__ import annotations

from sqlalchemy import text

from db.core.actor import Actor
from db.core.pool import Database

_REQUIRE_ADMIN = text("select app.required_admin_id()")


async def require_admin(database: Database, actor: Actor) -> None:
    """Refuses an actor who is no admin now."""
    async with database.transaction(actor) as transaction:
        await transaction.fetch_value(_REQUIRE_ADMIN)
