"""What admins may do, and what an operator does to accounts as the database's owner."""

from __future__ import annotations

import asyncpg
from sqlalchemy import text

from db.actor import Actor
from db.emails import email_key
from db.pool import Database

_REQUIRE_ADMIN = text("select app.required_admin_id()")

_PROMOTE = """
with promoted as (
    update users set role = 'admin', updated_at = now() where email_key = $1 returning id
)
insert into audit_log (user_id, action) select id, 'promote' from promoted returning user_id
"""


async def promote_user(owner_url: str, email: str) -> bool:
    """Makes a user an admin, and notes it; false when nobody has this e-mail."""
    owner = await asyncpg.connect(owner_url)
    try:
        return await owner.fetchval(_PROMOTE, email_key(email)) is not None
    finally:
        await owner.close()


async def require_admin(database: Database, actor: Actor) -> None:
    """Refuses an actor who is no admin at this moment."""
    async with database.transaction(actor) as transaction:
        await transaction.fetch_value(_REQUIRE_ADMIN)
