"""Commands on one-time codes and on sign-ups that wait for one; each is the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text

from db.codes.tables import OneTimeCode, PendingSignUp
from db.core.commands import SqlFunction, call, call_rows
from db.core.pool import Transaction

_REQUEST = SqlFunction[None](
    "app.request_code",
    "void",
    purpose="text",
    key="text",
    place="bytea",
    account_holder="bytea",
    place_holder="bytea",
    area="text",
    area_holder="bytea",
)
_BEGIN_SIGN_UP = SqlFunction[None](
    "app.begin_sign_up",
    "void",
    address="text",
    key="text",
    place="bytea",
    account_holder="bytea",
    place_holder="bytea",
    new_password_hash="text",
    new_username="text",
    new_locale="text",
    guest="uuid",
)
_REQUEST_EMAIL_CHANGE = SqlFunction[None](
    "app.request_email_change",
    "void",
    owner_id="uuid",
    address="text",
    key="text",
    place="bytea",
    account_holder="bytea",
    place_holder="bytea",
)
_GUESS = SqlFunction[Any](
    "app.guess_code",
    "table(code_id uuid, user_id uuid)",
    wanted="text",
    key="text",
    owner_id="uuid",
    place="bytea",
)
_USE = SqlFunction[Any](
    "app.use_code",
    "table(user_id uuid, sign_up_id uuid, email text)",
    codes="uuid[]",
    wanted="text",
    key="text",
    owner_id="uuid",
)


_OWNER_NAMES = text("""
    select u.email, u.username from one_time_codes c join users u on u.id = c.user_id
    where c.id = any(cast(:codes as uuid[]))
""")


class CodePurpose(StrEnum):
    """What a code is for; it does nothing else."""

    CONFIRM_EMAIL = "CONFIRM_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"
    SIGN_IN = "SIGN_IN"
    CHANGE_EMAIL = "CHANGE_EMAIL"


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose codes are meant: those of an address, by its key, or of a user."""

    key: str | None = None
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """An address and a network as hashes: what is stored with a code, and who holds its budgets.

    `area` is the network around it, as sessions have it.
    """

    network_hash: bytes
    account_holder: bytes
    place_holder: bytes
    area: str | None
    area_holder: bytes


@dataclass(frozen=True, slots=True)
class UsedCode:
    """What a code proved: that the owner of a user or of a pending sign-up reads `email`."""

    user_id: UUID | None
    sign_up_id: UUID | None
    email: str


@dataclass(frozen=True, slots=True)
class SignUp:
    """What somebody signed up with, to be made an account once they have proven their address."""

    email: str
    password_hash: str
    username: str | None = None
    locale: str | None = None
    guest_id: UUID | None = None


async def request_code(
    transaction: Transaction, purpose: CodePurpose, key: str, place: Place
) -> None:
    """Mails a code, if the address has an account that needs one and its budgets allow it."""
    wanted = _REQUEST(
        purpose=purpose.value,
        key=key,
        place=place.network_hash,
        account_holder=place.account_holder,
        place_holder=place.place_holder,
        area=place.area,
        area_holder=place.area_holder,
    )
    await call(transaction, wanted)


async def begin_sign_up(transaction: Transaction, sign_up: SignUp, key: str, place: Place) -> None:
    """Keeps a sign-up and mails its code, or tells the owner of a known address."""
    wanted = _BEGIN_SIGN_UP(
        address=sign_up.email,
        key=key,
        place=place.network_hash,
        account_holder=place.account_holder,
        place_holder=place.place_holder,
        new_password_hash=sign_up.password_hash,
        new_username=sign_up.username,
        new_locale=sign_up.locale,
        guest=sign_up.guest_id,
    )
    await call(transaction, wanted)


async def request_email_change(
    transaction: Transaction, user_id: UUID, email: str, key: str, place: Place
) -> None:
    """Mails a code to a new address, or tells the owner of a known one."""
    wanted = _REQUEST_EMAIL_CHANGE(
        owner_id=user_id,
        address=email,
        key=key,
        place=place.network_hash,
        account_holder=place.account_holder,
        place_holder=place.place_holder,
    )
    await call(transaction, wanted)


async def guess_code(
    transaction: Transaction, purpose: CodePurpose, whose: Whose, network_hash: bytes
) -> dict[UUID, UUID | None]:
    """Counts a guess; gives the codes that it may be compared with, and whose each is.

    It counts once committed.
    """
    wanted = _GUESS(wanted=purpose.value, key=whose.key, owner_id=whose.user_id, place=network_hash)
    rows = await call_rows(transaction, wanted)
    return {row["code_id"]: row["user_id"] for row in rows}


async def owner_of_code(transaction: Transaction, code_id: UUID) -> Whose | None:
    """Whose code an id names; None when it is no code, or none any more."""
    row = await transaction.fetch_one(
        select(OneTimeCode.email_key, OneTimeCode.user_id).where(OneTimeCode.id == code_id)
    )
    return Whose(row["email_key"], row["user_id"]) if row else None


async def owner_names(transaction: Transaction, code_ids: Sequence[UUID]) -> list[str]:
    """The address and the username of those whose codes these are."""
    rows = await transaction.fetch_all(_OWNER_NAMES, codes=list(code_ids))
    return [name for row in rows for name in row if name is not None]


async def use_code(
    transaction: Transaction, code_ids: Sequence[UUID], purpose: CodePurpose, whose: Whose
) -> UsedCode | None:
    """Uses up whichever of the codes still counts; None when none does."""
    wanted = _USE(codes=list(code_ids), wanted=purpose.value, key=whose.key, owner_id=whose.user_id)
    rows = await call_rows(transaction, wanted)
    return UsedCode(*rows[0]) if rows else None


async def end_codes(transaction: Transaction, user_id: UUID) -> None:
    """Ends every code of a user, as when their password or address has changed."""
    await transaction.execute(delete(OneTimeCode).where(OneTimeCode.user_id == user_id))


async def find_sign_up_hash(transaction: Transaction, key: str, network_hash: bytes) -> str | None:
    """The password of the sign-up that waits for an address, where it was made."""
    password_hash: str | None = await transaction.fetch_value(
        select(PendingSignUp.password_hash).where(
            PendingSignUp.email_key == key,
            PendingSignUp.network_hash == network_hash,
            PendingSignUp.expires_at > func.clock_timestamp(),
        )
    )
    return password_hash


async def take_sign_up(
    transaction: Transaction, key: str, sign_up_id: UUID, network_hash: bytes
) -> SignUp | None:
    """The sign-up that a code confirms; all others with its address end.

    Whoever proves that an address is theirs becomes what they signed up as themselves, if it was at
    the same network, and not what somebody else signed up as with their address.
    """
    rows = await transaction.fetch_all(
        delete(PendingSignUp)
        .where(PendingSignUp.email_key == key)
        .returning(
            PendingSignUp.id,
            (
                (PendingSignUp.network_hash == network_hash)
                & (PendingSignUp.expires_at > func.clock_timestamp())
            ).label("is_own"),
            PendingSignUp.email,
            PendingSignUp.password_hash,
            PendingSignUp.username,
            PendingSignUp.locale,
            PendingSignUp.guest_id,
        )
    )
    chosen = [row for row in rows if row["is_own"]]
    chosen += [row for row in rows if row["id"] == sign_up_id]
    if not chosen:
        return None
    _id, _is_own, *values = chosen[0]
    return SignUp(*values)
