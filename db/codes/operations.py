"""Commands on one-time codes and on sign-ups that wait for one; each is the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text

from db.accounts.devices import device_name
from db.audit.operations import record_audit
from db.codes.rules import SignUp, WaitingSignUp
from db.codes.tables import OneTimeCode, PendingSignUp
from db.core.commands import SqlFunction, call, call_rows
from db.core.origin import clean_user_agent, coarse_network, current_origin
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
    asked_from="jsonb",
)
_BEGIN_SIGN_UP = SqlFunction[UUID](
    "app.begin_sign_up",
    "uuid",
    address="text",
    key="text",
    place="bytea",
    account_holder="bytea",
    place_holder="bytea",
    new_password_hash="text",
    new_username="text",
    new_locale="text",
    guest="uuid",
    asked_from="jsonb",
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
    asked_from="jsonb",
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
    "table(user_id uuid, sign_up_id uuid, email text, is_resent boolean)",
    codes="uuid[]",
    wanted="text",
    key="text",
    owner_id="uuid",
)
_CLAIM = SqlFunction[Any](
    "app.claim_unconfirmed_account",
    "record(ended_sessions uuid[], password_ended boolean)",
    claimed="uuid",
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
    UNDO_EMAIL_CHANGE = "UNDO_EMAIL_CHANGE"
    UNDO_ADDED_FACTOR = "UNDO_ADDED_FACTOR"


# What takes something back: whoever did that could end it, too, so it stays when others end.
_TAKING_BACK = (CodePurpose.UNDO_EMAIL_CHANGE.value, CodePurpose.UNDO_ADDED_FACTOR.value)


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
    is_resent: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """What ended when an address's owner came into the account that somebody had opened with it."""

    ended_sessions: tuple[UUID, ...] = ()
    password_ended: bool = False


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
        asked_from=asked_from(),
    )
    await call(transaction, wanted)


async def begin_sign_up(transaction: Transaction, sign_up: SignUp, key: str, place: Place) -> UUID:
    """Keeps a sign-up and mails its code, or tells the owner of a known address; gives its id."""
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
        asked_from=asked_from(),
    )
    return await call(transaction, wanted)


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
        asked_from=asked_from(),
    )
    await call(transaction, wanted)


def asked_from() -> dict[str, str]:
    """The device and about the network of the request, as mails show them to their reader."""
    origin = current_origin()
    if origin is None:
        return {}
    shown = {
        "device": device_name(clean_user_agent(origin.user_agent)),
        "address": coarse_network(origin.address),
    }
    return {name: value for name, value in shown.items() if value}


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
    """Ends every code of a user, but those that take something back.

    As when their password or address has changed.
    """
    await transaction.execute(
        delete(OneTimeCode).where(
            OneTimeCode.user_id == user_id,
            *(OneTimeCode.purpose != purpose for purpose in _TAKING_BACK),
        )
    )


async def claim_unconfirmed_account(transaction: Transaction, user_id: UUID) -> Claimed | None:
    """Confirms an address for who has just proven that they read it.

    What was set up before that ends: the account is its address's owner's. None where the address
    was confirmed before, and everything stays.
    """
    (row,) = await call_rows(transaction, _CLAIM(claimed=user_id))
    if row["ended_sessions"] is None:
        return None
    await record_audit(transaction, user_id, "unconfirmed_account_claimed")
    return Claimed(tuple(row["ended_sessions"]), row["password_ended"])


async def find_sign_up_hashes(
    transaction: Transaction, key: str, network_hash: bytes
) -> frozenset[str]:
    """The passwords of the sign-ups that wait for an address, where they were made."""
    rows = await transaction.fetch_all(
        select(PendingSignUp.password_hash).where(
            PendingSignUp.email_key == key,
            PendingSignUp.network_hash == network_hash,
            PendingSignUp.expires_at > func.clock_timestamp(),
        )
    )
    return frozenset(row["password_hash"] for row in rows)


async def take_sign_ups(
    transaction: Transaction, key: str, network_hash: bytes
) -> tuple[WaitingSignUp, ...]:
    """All sign-ups with an address, which end: one of them may be confirmed."""
    is_mailed = exists().where(OneTimeCode.sign_up_id == PendingSignUp.id)
    rows = await transaction.fetch_all(
        delete(PendingSignUp)
        .where(PendingSignUp.email_key == key)
        .returning(
            PendingSignUp.id,
            (PendingSignUp.network_hash == network_hash).label("is_here"),
            (PendingSignUp.expires_at <= func.clock_timestamp()).label("is_over"),
            is_mailed.label("is_mailed"),
            PendingSignUp.email,
            PendingSignUp.password_hash,
            PendingSignUp.username,
            PendingSignUp.locale,
            PendingSignUp.guest_id,
        )
    )
    return tuple(
        WaitingSignUp(
            row["id"], row["is_here"], row["is_over"], row["is_mailed"], SignUp(*tuple(row)[4:])
        )
        for row in rows
    )
