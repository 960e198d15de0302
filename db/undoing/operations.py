"""Commands that take back what was done to the ways into an account by who had no right to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from db.accounts.operations import email_in_use
from db.audit.operations import record_audit
from db.codes.operations import CodePurpose, asked_from
from db.core.commands import SqlFunction, call, call_rows
from db.core.pool import Transaction

_MAIL = SqlFunction[None](
    "app.mail_code",
    "void",
    purpose="text",
    owner_id="uuid",
    sign_up_id="uuid",
    address="text",
    key="text",
    place="bytea",
    locale="text",
    asked_from="jsonb",
    is_resent="boolean",
)
_UNDO_EMAIL_CHANGE = SqlFunction[Any](
    "app.undo_email_change",
    "record(user_id uuid, email text, replaced text, password_ended boolean,"
    " ended_sessions uuid[])",
    wanted="uuid",
)
_TELL_OF_ADDED_FACTOR = SqlFunction[None](
    "app.tell_of_added_factor", "void", owner_id="uuid", change="text", asked_from="jsonb"
)
_UNDO_ADDED_FACTOR = SqlFunction[Any](
    "app.undo_added_factor",
    "record(user_id uuid, has_another_address boolean, password_ended boolean,"
    " ended_sessions uuid[])",
    wanted="uuid",
)
_END_PASSKEYS_AT_RESET = SqlFunction[Any](
    "app.end_passkeys_at_reset",
    "record(ended_passkeys uuid[], kept_passkeys text[])",
    owner_id="uuid",
    also_older="boolean",
)


@dataclass(frozen=True, slots=True)
class UndoneEmailChange:
    """A user has the address `email` again, instead of `replaced`, if that was one."""

    user_id: UUID
    email: str
    replaced: str | None
    password_ended: bool
    ended_sessions: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class UndoneFactor:
    """An account without what was added to it; nothing has ended where it `has_another_address`."""

    user_id: UUID
    has_another_address: bool
    password_ended: bool
    ended_sessions: tuple[UUID, ...]


async def offer_undoing(
    transaction: Transaction, user_id: UUID, email: str, key: str, network_hash: bytes
) -> None:
    """Tells an address that its account has another now, with a code that takes it back."""
    wanted = _MAIL(
        purpose=CodePurpose.UNDO_EMAIL_CHANGE.value,
        owner_id=user_id,
        sign_up_id=None,
        address=email,
        key=key,
        place=network_hash,
        locale=None,
        asked_from=asked_from(),
        is_resent=False,
    )
    await call(transaction, wanted)


async def undo_email_change(transaction: Transaction, code_id: UUID) -> UndoneEmailChange | None:
    """Takes a change of address back; None when the code counts no more.

    EMAIL_IN_USE when the address is another account's by now.
    """
    try:
        (row,) = await call_rows(transaction, _UNDO_EMAIL_CHANGE(wanted=code_id))
    except asyncpg.UniqueViolationError:
        raise email_in_use("code") from None
    if row["user_id"] is None:
        return None
    return UndoneEmailChange(
        row["user_id"],
        row["email"],
        row["replaced"],
        row["password_ended"],
        tuple(row["ended_sessions"]),
    )


async def tell_of_added_factor(transaction: Transaction, user_id: UUID, change: str) -> None:
    """Mails that something was added which signs in, with a code that takes it back.

    `change` is one of the mail's sentences.
    """
    wanted = _TELL_OF_ADDED_FACTOR(owner_id=user_id, change=change, asked_from=asked_from())
    await call(transaction, wanted)


async def undo_added_factor(transaction: Transaction, code_id: UUID) -> UndoneFactor | None:
    """Takes back what was added to sign in with; None when the code counts no more."""
    (row,) = await call_rows(transaction, _UNDO_ADDED_FACTOR(wanted=code_id))
    if row["user_id"] is None:
        return None
    return UndoneFactor(
        row["user_id"],
        row["has_another_address"],
        bool(row["password_ended"]),
        tuple(row["ended_sessions"] or ()),
    )


async def end_passkeys_at_reset(
    transaction: Transaction, user_id: UUID, *, also_older: bool
) -> list[str]:
    """Ends the passkeys that a reset password ends; gives the names of those that stay."""
    wanted = _END_PASSKEYS_AT_RESET(owner_id=user_id, also_older=also_older)
    (row,) = await call_rows(transaction, wanted)
    for passkey_id in row["ended_passkeys"]:
        await record_audit(
            transaction,
            user_id,
            "passkey_removed",
            method="password_reset",
            passkey_id=str(passkey_id),
        )
    kept: list[str] = row["kept_passkeys"]
    return kept
