"""What users may use, as a statement reads it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import SqlFunction
from db.core.pool import Database

ENTITLEMENTS = SqlFunction[Any](
    "app.entitlements_of",
    "table(name text, is_active boolean, expires_at timestamp with time zone, will_renew boolean,"
    " has_billing_issue boolean, store text, product text)",
    owner_id="uuid",
)
_TO_ASK_ABOUT = SqlFunction[UUID](
    "app.users_to_ask_about", "uuid", for_provider="text", at_most="integer"
)


async def users_to_ask_about(database: Database, provider: str, at_most: int) -> list[UUID]:
    """Users about whom a provider is to be asked: a delivery about them may have been lost."""
    wanted = _TO_ASK_ABOUT(for_provider=provider, at_most=at_most)
    async with database.pools[SERVICE.role].connection() as connection:
        return [row[0] for row in await connection.raw.fetch(wanted.sql, *wanted.values)]
