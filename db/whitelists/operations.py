"""Commands on developers' products and their whitelists."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.pool import Database
from db.whitelists.rules import (
    problems_of_discord_id,
    problems_of_expiry,
    problems_of_naming,
    problems_of_removal,
    problems_of_roblox_id,
    roblox_number,
)

FIND_TIMEOUT_SECONDS = 5.0
_PHRASE_BYTES = 9

_CREATE_PRODUCT = SqlFunction[UUID](
    "app.create_developer_product",
    "uuid",
    wanted_name="text",
    group_id="bigint",
    wanted_description="text",
    phrase="text",
)
_PROVE_PRODUCT = SqlFunction[UUID](
    "app.prove_developer_product", "uuid", wanted="uuid", phrase="text"
)
_DELETE_PRODUCT = SqlFunction[UUID]("app.delete_developer_product", "uuid", wanted="uuid")
_SET_ENTRY = SqlFunction[UUID](
    "app.set_whitelist_entry",
    "uuid",
    wanted_product="uuid",
    wanted_roblox="bigint",
    wanted_discord="text",
    until="timestamptz",
)
_REMOVE_ENTRIES = SqlFunction[list[UUID]]("app.remove_whitelist_entries", "uuid[]", wanted="uuid[]")
ENTRY_COUNT = SqlFunction[int]("app.entry_count", "integer", wanted_product="uuid")
_WHITELISTED = SqlFunction[object](
    "app.whitelisted",
    "record(product_id uuid, is_proven boolean, entry_id uuid,"
    " expires_at timestamp with time zone)",
    wanted_product="uuid",
    wanted_group="bigint",
    wanted_developer="uuid",
    wanted_roblox="bigint",
)
CREATE_SYSTEM = SqlFunction[UUID](
    "app.create_whitelist_system",
    "uuid",
    wanted_name="text",
    wanted_description="text",
    wanted_product="uuid",
)
DELETE_SYSTEM = SqlFunction[UUID]("app.delete_whitelist_system", "uuid", wanted="uuid")
SYNC = SqlFunction[dict[str, Any]](
    "app.sync_whitelist",
    "jsonb",
    wanted="uuid",
    side="text",
    since="text",
    changes="jsonb",
    page_rows="integer",
)
_UNPROVEN = text("""
    select roblox_group_id, proof_phrase from developer_products
    where id = :id and user_id = :actor
""")


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """A product, and until when somebody is on its whitelist; null for who is not."""

    product_id: UUID
    is_proven: bool
    entry_id: UUID | None
    expires_at: datetime | None


def create_product(name: str, roblox_group_id: str, description: str | None) -> FunctionCall[UUID]:
    """Makes a product of the caller's; gives its id."""
    problems = Problems(problems_of_naming(name, description))
    problems.add(problems_of_roblox_id(roblox_group_id, "robloxGroupId"))
    problems.refuse()
    return _CREATE_PRODUCT(
        wanted_name=name.strip(),
        group_id=roblox_number(roblox_group_id),
        wanted_description=description,
        phrase=f"tallygraph-{secrets.token_hex(_PHRASE_BYTES)}",
    )


async def group_to_prove(
    database: Database, actor: Actor, product_id: UUID
) -> tuple[int, str] | None:
    """The group of a product of the actor's, and the phrase that its description is to have."""
    async with database.transaction(actor) as transaction:
        row = await transaction.fetch_one(_UNPROVEN, id=product_id, actor=actor.user_id)
    return None if row is None else (row["roblox_group_id"], row["proof_phrase"])


def prove_product(product_id: UUID, phrase: str) -> FunctionCall[UUID]:
    """Notes that the caller owns the group, whose description had the phrase. Gives the id."""
    return _PROVE_PRODUCT(wanted=product_id, phrase=phrase)


def delete_product(product_id: UUID) -> FunctionCall[UUID]:
    """Deletes a product of the caller's with its whitelist; gives its id."""
    return _DELETE_PRODUCT(wanted=product_id)


def set_entry(
    problems: Problems,
    product_id: UUID,
    *,
    roblox_id: str,
    discord_id: str | None,
    expires_at: datetime,
) -> FunctionCall[UUID]:
    """Puts somebody on the whitelist of a product of the caller's; gives the entry's id."""
    problems.add(problems_of_roblox_id(roblox_id, "robloxId"))
    problems.add(problems_of_discord_id(discord_id))
    problems.add(problems_of_expiry(expires_at, datetime.now(UTC)))
    problems.refuse()
    return _SET_ENTRY(
        wanted_product=product_id,
        wanted_roblox=roblox_number(roblox_id),
        wanted_discord=discord_id,
        until=expires_at,
    )


def remove_entries(entry_ids: Sequence[UUID], asked: int) -> FunctionCall[list[UUID]]:
    """Takes entries off the caller's whitelists; gives those that were on one.

    `asked` is how many were named, also by what is no id.
    """
    Problems(problems_of_removal(asked)).refuse()
    return _REMOVE_ENTRIES(wanted=list(entry_ids))


async def find_entry(
    database: Database,
    *,
    roblox_id: int,
    product_id: UUID | None = None,
    group_id: int | None = None,
    developer_id: UUID | None = None,
) -> FoundEntry | None:
    """Whether somebody is on the whitelist of a product, or of a developer's of a group."""
    wanted = _WHITELISTED(
        wanted_product=product_id,
        wanted_group=group_id,
        wanted_developer=developer_id,
        wanted_roblox=roblox_id,
    )
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.fetch_rows(wanted.sql, wanted.values, FIND_TIMEOUT_SECONDS)
    found = FoundEntry(*rows[0].values()) if rows else None
    return None if found is None or found.product_id is None else found
