"""The only writers of passkeys and their challenges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, delete, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from db.accounts.operations import CLOCK
from db.accounts.tables import User
from db.core.commands import FunctionCall
from db.core.pool import Transaction
from db.core.writes import update_row
from db.factors import tables
from db.factors.rules import PASSKEY_CHALLENGE_MINUTES, check_passkey_name
from db.factors.tables import Passkey

# Expired challenges that each new one takes along, so that there are never many of them.
_SWEPT = 10


@dataclass(frozen=True, slots=True)
class PasskeyOwner:
    """Who is to get a passkey, and those that they have."""

    email: str
    display_name: str | None
    user_handle: bytes | None
    credential_ids: list[bytes]


@dataclass(frozen=True, slots=True)
class ChallengePurpose:
    """What a challenge is for: somebody's new passkey, a sign-in, or the second factor of one."""

    registers_for: UUID | None
    user_handle: bytes | None
    second_factor_id: UUID | None
    is_second_factor: bool


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that a registration has proven."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    is_synced: bool
    is_user_verified: bool
    transports: tuple[str, ...]
    is_second_factor: bool
    name: str


@dataclass(frozen=True, slots=True)
class StoredPasskey:
    """A passkey as it is stored."""

    id: UUID
    user_id: UUID
    user_handle: bytes
    public_key: bytes


async def find_owner(transaction: Transaction, user_id: UUID) -> PasskeyOwner | None:
    """A member with the passkeys they have; None for a guest."""
    user = await transaction.fetch_one(
        select(User.email, User.display_name).where(User.id == user_id, ~User.is_anonymous)
    )
    if user is None:
        return None
    rows = await transaction.fetch_all(
        select(Passkey.credential_id, Passkey.user_handle).where(Passkey.user_id == user_id)
    )
    known = [row["credential_id"] for row in rows]
    handle = rows[0]["user_handle"] if rows else None
    return PasskeyOwner(user["email"], user["display_name"], handle, known)


async def store_challenge(
    transaction: Transaction, challenge_hash: bytes, challenge: ChallengePurpose
) -> None:
    """Remember what a challenge is for, and forget some that are over."""
    over = (
        select(tables.PasskeyChallenge.challenge_hash)
        .where(tables.PasskeyChallenge.expires_at <= CLOCK)
        .order_by(tables.PasskeyChallenge.expires_at)
        .limit(_SWEPT)
        .with_for_update(skip_locked=True)
    )
    await transaction.execute(
        delete(tables.PasskeyChallenge).where(tables.PasskeyChallenge.challenge_hash.in_(over))
    )
    await transaction.execute(
        insert(tables.PasskeyChallenge).values(
            challenge_hash=challenge_hash,
            user_id=challenge.registers_for,
            user_handle=challenge.user_handle,
            second_factor_id=challenge.second_factor_id,
            is_second_factor=challenge.is_second_factor,
            expires_at=CLOCK + timedelta(minutes=PASSKEY_CHALLENGE_MINUTES),
        )
    )


async def take_challenge(
    transaction: Transaction, challenge_hash: bytes
) -> ChallengePurpose | None:
    """What a challenge was for, which is over by that; None for one that was over before."""
    row = await transaction.fetch_one(
        delete(tables.PasskeyChallenge)
        .where(tables.PasskeyChallenge.challenge_hash == challenge_hash)
        .returning(
            tables.PasskeyChallenge.user_id,
            tables.PasskeyChallenge.user_handle,
            tables.PasskeyChallenge.second_factor_id,
            tables.PasskeyChallenge.is_second_factor,
            (tables.PasskeyChallenge.expires_at > CLOCK).label("is_alive"),
        )
    )
    if row is None or not row["is_alive"]:
        return None
    return ChallengePurpose(
        row["user_id"], row["user_handle"], row["second_factor_id"], row["is_second_factor"]
    )


async def store_passkey(
    transaction: Transaction, user_id: UUID, user_handle: bytes, passkey: NewPasskey
) -> UUID | None:
    """Keep a new passkey; None when there is one with its id already, whoever has it."""
    stored: UUID | None = await transaction.fetch_value(
        insert(Passkey)
        .values(
            user_id=user_id,
            user_handle=user_handle,
            credential_id=passkey.credential_id,
            public_key=passkey.public_key,
            sign_count=passkey.sign_count,
            transports=list(passkey.transports),
            is_synced=passkey.is_synced,
            is_second_factor=passkey.is_second_factor,
            name=passkey.name,
        )
        .on_conflict_do_nothing()
        .returning(Passkey.id)
    )
    return stored


async def find_passkey(transaction: Transaction, credential_id: bytes) -> StoredPasskey | None:
    """A passkey by the id that its device gave it."""
    row = await transaction.fetch_one(
        select(Passkey.id, Passkey.user_id, Passkey.user_handle, Passkey.public_key).where(
            Passkey.credential_id == credential_id
        )
    )
    if row is None:
        return None
    return StoredPasskey(row["id"], row["user_id"], row["user_handle"], row["public_key"])


async def find_credential_ids(transaction: Transaction, user_id: UUID) -> list[bytes]:
    """The ids of a user's passkeys, as their devices know them."""
    rows = await transaction.fetch_all(
        select(Passkey.credential_id).where(Passkey.user_id == user_id)
    )
    return [row["credential_id"] for row in rows]


async def use_passkey(
    transaction: Transaction, passkey_id: UUID, sign_count: int, *, is_synced: bool
) -> bool:
    """Note that a passkey was used; False when it counts back, as a copy of it would.

    WebAuthn, 6.1.1: a count of 0 on both sides says that it does not count.
    """
    counts_on = or_(
        Passkey.sign_count < sign_count, and_(Passkey.sign_count == 0, literal(sign_count) == 0)
    )
    used = await transaction.fetch_value(
        update(Passkey)
        .where(Passkey.id == passkey_id, counts_on)
        .values(sign_count=sign_count, is_synced=is_synced, last_used_at=CLOCK)
        .returning(Passkey.id)
    )
    return used is not None


def rename(passkey_id: UUID, name: str) -> FunctionCall[UUID]:
    """Gives a passkey of the actor's another name; NOT_FOUND for any other. Gives its id."""
    return update_row(Passkey, passkey_id, {"name": check_passkey_name(name)})


async def remove_passkey(transaction: Transaction, user_id: UUID, passkey_id: UUID) -> bool:
    """Forget a passkey of a user; False when it is none of theirs."""
    removed = await transaction.fetch_value(
        delete(Passkey)
        .where(Passkey.id == passkey_id, Passkey.user_id == user_id)
        .returning(Passkey.id)
    )
    return removed is not None
