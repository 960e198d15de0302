"""Commands on licences, and how a key is verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import Problems, bad_input
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.licences.keys import SealedKey
from db.licences.rules import (
    problems_of_batch,
    problems_of_days,
    problems_of_machine,
    problems_of_reason,
)
from db.whitelists.rules import problems_of_discord_id, problems_of_roblox_id, roblox_number

FIND_TIMEOUT_SECONDS = 5.0

_CREATE = SqlFunction[list[UUID]](
    "app.create_licences",
    "uuid[]",
    wanted_product="text",
    wanted_developer_product="uuid",
    given="jsonb",
    activations="integer",
    until="timestamptz",
    days="integer",
    idempotency_key="text",
)
_REDEEM = SqlFunction[UUID](
    "app.redeem_licence", "uuid", wanted_hashes="bytea[]", for_discord="text", for_roblox="bigint"
)
_BAN = SqlFunction[UUID](
    "app.ban_licence", "uuid", wanted="uuid", is_banned="boolean", reason="text"
)
_EXTEND = SqlFunction[UUID](
    "app.extend_licence", "uuid", wanted="uuid", days="integer", until="timestamptz"
)
_TRANSFER = SqlFunction[UUID](
    "app.transfer_licence",
    "uuid",
    wanted="uuid",
    to_username="text",
    for_discord="text",
    for_roblox="bigint",
)
_FIND = SqlFunction[object](
    "app.licence_of_key",
    "table(licence_id uuid, status text, expires_at timestamp with time zone,"
    " activation_count integer, max_activations integer, seller_id uuid)",
    wanted_hashes="bytea[]",
    wanted_product="text",
    wanted_developer_product="uuid",
)
_SET_KEY = SqlFunction[None](
    "app.set_licence_key",
    "void",
    wanted="uuid",
    hash="bytea",
    sealed="bytea",
    last_signs="text",
)
_SELLS = """
select exists (select from developer_products p where p.id = $2 and p.user_id = $1)
    or exists (select from products p where p.id = $3 and p.seller_id = $1)
"""
_ACTIVATE = SqlFunction[object](
    "app.activate_licence",
    "record(is_active boolean, activation_count integer)",
    wanted="uuid",
    machine="bytea",
)


@dataclass(frozen=True, slots=True)
class LicensedProduct:
    """A product of a store's, by its slug, or of a developer's, by its id."""

    product_id: str | None = None
    developer_product_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class FoundLicence:
    """What is told of a licence to whoever verifies its key."""

    licence_id: UUID
    status: str
    expires_at: datetime | None
    activation_count: int
    max_activations: int | None
    seller_id: UUID | None


@dataclass(frozen=True, slots=True)
class LicenceBatch:
    """How many licences of a product are made, and what they allow."""

    count: int
    max_activations: int | None
    expires_at: datetime | None
    duration_days: int | None


def check_batch(problems: Problems, batch: LicenceBatch, idempotency_key: str) -> None:
    """Refuses a batch that cannot be made; all that is wrong is told at once."""
    problems.add(
        problems_of_batch(
            batch.count,
            batch.max_activations,
            batch.expires_at,
            batch.duration_days,
            datetime.now(UTC),
        )
    )
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()


def create_licences(
    product: LicensedProduct,
    batch: LicenceBatch,
    keys: Mapping[UUID, SealedKey],
    idempotency_key: str,
) -> FunctionCall[list[UUID]]:
    """Stores keys, each for a new licence, of a product of the caller's; gives the licences."""
    return _CREATE(
        wanted_product=product.product_id,
        wanted_developer_product=product.developer_product_id,
        given=[
            {"id": str(id), "hash": key.hash.hex(), "sealed": key.sealed.hex(), "end": key.end}
            for id, key in keys.items()
        ],
        activations=batch.max_activations,
        until=batch.expires_at,
        days=batch.duration_days,
        idempotency_key=idempotency_key,
    )


def redeem_licence(
    key_hashes: list[bytes], discord_id: str | None, roblox_id: str | None
) -> FunctionCall[UUID]:
    """Redeems a key, once; gives the licence."""
    _check_ids(Problems(), discord_id, roblox_id)
    return _REDEEM(wanted_hashes=key_hashes, for_discord=discord_id, for_roblox=_number(roblox_id))


def ban_licence(
    problems: Problems, licence_id: UUID, *, is_banned: bool, reason: str | None
) -> FunctionCall[UUID]:
    """Bans a licence that the caller sells, or lifts its ban; gives it."""
    problems.add(problems_of_reason(reason))
    problems.refuse()
    return _BAN(wanted=licence_id, is_banned=is_banned, reason=reason)


def extend_licence(
    problems: Problems, licence_id: UUID, *, days: int | None, expires_at: datetime | None
) -> FunctionCall[UUID]:
    """Has a licence that the caller sells end at another time; gives it."""
    problems.add(problems_of_days(days, "days"))
    if days is not None and expires_at is not None:
        problems.add([bad_input("Give days or expiresAt, not both.", "input", "days")])
    problems.refuse()
    return _EXTEND(wanted=licence_id, days=days, until=expires_at)


def transfer_licence(
    problems: Problems,
    licence_id: UUID,
    *,
    username: str | None,
    discord_id: str | None,
    roblox_id: str | None,
) -> FunctionCall[UUID]:
    """Hands a licence on, or binds it to other ids; gives it."""
    _check_ids(problems, discord_id, roblox_id)
    return _TRANSFER(
        wanted=licence_id,
        to_username=username,
        for_discord=discord_id,
        for_roblox=_number(roblox_id),
    )


def check_machine(machine_id: str | None) -> None:
    """Refuses a machine's name that is none."""
    Problems(problems_of_machine(machine_id)).refuse()


def roblox_number_of(roblox_id: str) -> int:
    """The number that is looked for on a whitelist."""
    Problems(problems_of_roblox_id(roblox_id, "robloxId")).refuse()
    return roblox_number(roblox_id) or 0


def _check_ids(problems: Problems, discord_id: str | None, roblox_id: str | None) -> None:
    problems.add(problems_of_discord_id(discord_id))
    problems.add(problems_of_roblox_id(roblox_id, "robloxId"))
    problems.refuse()


def _number(roblox_id: str | None) -> int | None:
    return None if roblox_id is None else roblox_number(roblox_id)


async def find_licence(
    database: Database, key_hashes: list[bytes], product: LicensedProduct
) -> FoundLicence | None:
    """The licence of a key for a product."""
    wanted = _FIND(
        wanted_hashes=key_hashes,
        wanted_product=product.product_id,
        wanted_developer_product=product.developer_product_id,
    )
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.fetch_rows(wanted.sql, wanted.values, FIND_TIMEOUT_SECONDS)
    return FoundLicence(*rows[0].values()) if rows else None


async def sells(database: Database, seller_id: UUID, product: LicensedProduct) -> bool:
    """Whether a product is this user's."""
    values = (seller_id, product.developer_product_id, product.product_id)
    async with database.pools[SERVICE.role].connection() as connection:
        (row,) = await connection.fetch_rows(_SELLS, values, FIND_TIMEOUT_SECONDS)
    return bool(row[0])


async def activate_licence(
    database: Database, licence_id: UUID, machine_hash: bytes
) -> tuple[bool, int]:
    """Counts a machine that uses a licence: whether it may, and how many there are."""
    wanted = _ACTIVATE(wanted=licence_id, machine=machine_hash)
    async with database.pools[SERVICE.role].connection() as connection:
        (row,) = await connection.fetch_rows(wanted.sql, wanted.values, FIND_TIMEOUT_SECONDS)
    return row["is_active"], row["activation_count"]


async def keep_sold_key(database: Database, licence_id: UUID, key: SealedKey) -> None:
    """Keeps the key that was made for the licence of a sale; one that it has stays."""
    wanted = _SET_KEY(wanted=licence_id, hash=key.hash, sealed=key.sealed, last_signs=key.end)
    await call_as_service(database, wanted)
