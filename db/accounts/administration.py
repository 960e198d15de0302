"""What an operator does to accounts, as the database's owner."""

from __future__ import annotations

import asyncpg

from db.emails import email_key

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
