"""Pages of a product's whitelist by number, as scripts list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from db.core.actor import Actor
from db.core.pool import Database
from db.whitelists.tables import DeveloperProduct, WhitelistEntry


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of a whitelist, and how many entries there are in all."""

    entries: list[dict[str, Any]]
    total: int


async def list_entries(
    database: Database,
    actor: Actor,
    product_id: UUID,
    *,
    roblox_id: int | None,
    discord_id: str | None,
    page: int,
    limit: int,
) -> EntryPage | None:
    """A page of the whitelist of a product of the actor's; nothing for any other product."""
    entry = WhitelistEntry
    wanted = [entry.product_id == product_id, entry.user_id == actor.user_id]
    if roblox_id is not None:
        wanted.append(entry.roblox_id == roblox_id)
    if discord_id is not None:
        wanted.append(entry.discord_id == discord_id)
    own = select(DeveloperProduct.id).where(
        DeveloperProduct.id == product_id, DeveloperProduct.user_id == actor.user_id
    )
    columns = (entry.id, entry.roblox_id, entry.discord_id, entry.expires_at, entry.created_at)
    shown = select(*columns).where(*wanted).order_by(entry.created_at.desc(), entry.id.desc())
    async with database.transaction(actor) as transaction:
        if await transaction.fetch_one(own) is None:
            return None
        counted = select(func.count()).select_from(entry).where(*wanted)
        total = await transaction.fetch_value(counted)
        rows = await transaction.fetch_all(shown.limit(limit).offset((page - 1) * limit))
    return EntryPage([dict(row) for row in rows], total)
