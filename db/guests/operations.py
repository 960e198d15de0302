"""The commands of guests: merging one into a member's account, and ending those who stay away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from db.accounts.operations import Account
from db.accounts.tables import RefreshToken, Session, User, UserStatus
from db.core.commands import SqlFunction, call, call_as_service, call_rows
from db.core.pool import Database, Transaction
from db.guests.tables import GuestMerge

MERGE_LIMIT = 500
ENDED_AT_ONCE = 500
_LOCK_FOR_MERGE = SqlFunction[bool]("app.lock_for_merge", "boolean", guest="uuid", member="uuid")
_MERGE_GUEST = SqlFunction[Any]("app.merge_guest", "guest_merges", guest="uuid", member="uuid")
_UNSETTLED_MERGES = SqlFunction[UUID]("app.unsettled_merges", "uuid", at_most="integer")
_SETTLE_MERGE = SqlFunction[int]("app.settle_merge", "integer", guest="uuid")
_END_IDLE = SqlFunction[int]("app.end_idle_guests", "integer", idle="interval", at_most="integer")


@dataclass(frozen=True, slots=True)
class Merged:
    """What became the member's: rows by table, and credits."""

    guest_id: UUID
    user_id: UUID
    moved: Mapping[str, int]
    credits_moved: int
    merged_at: datetime


async def find_token_owner(transaction: Transaction, presented_hash: bytes) -> Account | None:
    """The account that a refresh token was given for, whatever became of the token."""
    row = await transaction.fetch_one(
        select(User.id, User.is_anonymous, User.role)
        .join(Session, Session.user_id == User.id)
        .join(RefreshToken, RefreshToken.session_id == Session.id)
        .where(RefreshToken.token_hash == presented_hash)
    )
    return Account(row["id"], row["is_anonymous"], row["role"] == "admin") if row else None


async def lock_for_merge(transaction: Transaction, guest_id: UUID, member_id: UUID) -> bool:
    """Locks both accounts until the transaction ends; False when there are not two."""
    return await call(transaction, _LOCK_FOR_MERGE(guest=guest_id, member=member_id))


async def is_member(transaction: Transaction, user_id: UUID) -> bool:
    """Whether this is the account of somebody who may use it and is no guest."""
    statement = select(User.id).where(
        User.id == user_id, ~User.is_anonymous, User.status == UserStatus.ACTIVE
    )
    return await transaction.fetch_one(statement) is not None


async def find_merge(transaction: Transaction, guest_id: UUID) -> Merged | None:
    """What came of a guest's merge; None when they were not merged."""
    row = await transaction.fetch_one(select(GuestMerge).where(GuestMerge.guest_id == guest_id))
    return _merged(row) if row else None


async def merge_guest(transaction: Transaction, guest_id: UUID, member_id: UUID) -> Merged:
    """Makes everything of the guest's the member's; both are locked."""
    (row,) = await call_rows(transaction, _MERGE_GUEST(guest=guest_id, member=member_id))
    return _merged(row)


async def unsettled_merges(transaction: Transaction) -> list[UUID]:
    """Guests whose last requests have ended since they were merged."""
    rows = await call_rows(transaction, _UNSETTLED_MERGES(at_most=MERGE_LIMIT))
    return [row[0] for row in rows]


async def settle_merge(transaction: Transaction, guest_id: UUID) -> int:
    """Moves what a guest's last requests wrote after the merge; returns how many rows."""
    return await call(transaction, _SETTLE_MERGE(guest=guest_id))


async def end_idle(database: Database, idle: timedelta) -> int:
    """Has some guests erased who have used nothing for so long; returns how many."""
    return await call_as_service(database, _END_IDLE(idle=idle, at_most=ENDED_AT_ONCE))


def _merged(row: Any) -> Merged:
    moved = row["moved"]
    return Merged(
        row["guest_id"],
        row["user_id"],
        orjson.loads(moved) if isinstance(moved, str) else moved,
        row["credits_moved"],
        row["merged_at"],
    )
