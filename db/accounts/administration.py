"""What only admins may do to accounts."""

from __future__ import annotations

from db.accounts.operations import IS_ADMIN, REQUIRED_ADMIN_ID
from db.core.actor import Actor
from db.core.commands import call
from db.core.pool import Database


async def require_admin(database: Database, actor: Actor) -> None:
    """Refuses an actor who is no admin now."""
    async with database.transaction(actor) as transaction:
        await call(transaction, REQUIRED_ADMIN_ID())


async def is_admin(database: Database, actor: Actor) -> bool:
    """Whether an actor is an admin now."""
    if actor.user_id is None:
        return False
    async with database.transaction(actor) as transaction:
        return await call(transaction, IS_ADMIN())
