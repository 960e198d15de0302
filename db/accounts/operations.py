"""The only writers of users and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from db.accounts.emails import email_key
from db.accounts.tables import (
    Credential,
    Session,
    User,
    UserStatus,
)
from db.audit.operations import record_audit as record_audit  # noqa: PLC0414 - called from here
from db.codes.tables import OneTimeCode
from db.core.commands import SqlFunction, call, call_as_service
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database, Transaction

_LOADED_SEED = SqlFunction[str | None]("app.loaded_seed", "text")
BUDGET_WAIT = SqlFunction[float | None](
    "app.budget_wait",
    "double precision",
    budget_kind="text",
    budget_holder="bytea",
    most="integer",
    span="interval",
)
TAKE_FROM_BUDGET = SqlFunction[float | None](
    "app.take_from_budget",
    "double precision",
    budget_kind="text",
    budget_holder="bytea",
    most="integer",
    span="interval",
)
BEGIN_PASSWORD_GUESS = SqlFunction[float | None](
    "app.begin_password_guess",
    "double precision",
    owner_id="uuid",
    area="text",
    account_holder="bytea",
    area_holder="bytea",
    most="integer",
)
FORGET_PASSWORD_GUESSES = SqlFunction[None](
    "app.forget_password_guesses", "void", account_holder="bytea", area_holder="bytea"
)
REVOKE_OWN_SESSION = SqlFunction[UUID](
    "app.revoke_own_session", "uuid", wanted="uuid", place="jsonb"
)
END_OWN_SESSIONS = SqlFunction[list[UUID]](
    "app.end_own_sessions", "uuid[]", kept="uuid", place="jsonb"
)
REQUIRED_ADMIN_ID = SqlFunction[UUID]("app.required_admin_id", "uuid")
IS_ADMIN = SqlFunction[bool]("app.is_admin", "boolean")
USER_OF_EMAIL_KEY = SqlFunction[UUID | None]("app.user_of_email_key", "uuid", key="text")
CHANGE_USER = SqlFunction[UUID]("app.change_user", "uuid", given="jsonb")
GRANT_SIGN_UP_BONUS = SqlFunction[int](
    "app.grant_sign_up_bonus", "integer", new_user_id="uuid", with_bonus="boolean"
)

# The clock itself, not the transaction's start, which lies before any wait for a lock.
CLOCK = func.clock_timestamp()


@dataclass(frozen=True, slots=True)
class Account:
    """What an access token says about its user."""

    user_id: UUID
    is_anonymous: bool
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """A stored password hash; `changed_at` moves when its owner chooses another password."""

    user_id: UUID
    password_hash: str
    changed_at: datetime
    is_confirmed: bool
    email_key: str | None


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """What a signed-in member has: an address and a password, or neither who signs in without."""

    email: str | None
    username: str
    locale: str | None
    password_hash: str | None
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChangedEmail:
    """A user has another address; `before` is the old one, if they had any.

    `was_confirmed` says that they had proven to read what is sent there.
    """

    before: str | None
    was_confirmed: bool


async def loaded_seed(database: Database) -> str | None:
    """The seed that was loaded last; nothing where none was."""
    return await call_as_service(database, _LOADED_SEED())


async def create_user(
    transaction: Transaction,
    *,
    email: str | None,
    username: str | None = None,
    locale: str | None = None,
    is_confirmed: bool = False,
) -> Account:
    """A new user, anonymous without an e-mail."""
    statement = (
        insert(User)
        .values(
            **_address(email, is_confirmed),
            **_said(username, locale),
            is_anonymous=email is None,
        )
        .returning(*account_columns())
    )
    with _in_use():
        return account_of(await transaction.fetch_one(statement))


async def convert_anonymous_user(
    transaction: Transaction,
    user_id: UUID,
    session_id: UUID,
    email: str,
    username: str | None = None,
    locale: str | None = None,
) -> Account | None:
    """Give an anonymous user an e-mail; None when user or session is no longer what it was."""
    session_alive = exists().where(
        Session.id == session_id, Session.user_id == user_id, Session.revoked_at.is_(None)
    )
    values = {**_address(email), **_said(username, locale)}
    return await _make_member(transaction, user_id, values, session_alive)


async def convert_guest(
    transaction: Transaction,
    user_id: UUID,
    *,
    email: str,
    username: str | None = None,
    locale: str | None = None,
    is_confirmed: bool = False,
) -> Account | None:
    """The same without a session of theirs: they have proven that the address is theirs."""
    values = {**_address(email, is_confirmed), **_said(username, locale)}
    return await _make_member(transaction, user_id, values)


async def _make_member(
    transaction: Transaction, user_id: UUID, values: dict[str, Any], *conditions: Any
) -> Account | None:
    statement = (
        update(User)
        .where(User.id == user_id, User.is_anonymous, User.status == UserStatus.ACTIVE, *conditions)
        .values(**values, is_anonymous=False, updated_at=CLOCK)
        .returning(*account_columns())
    )
    with _in_use():
        row = await transaction.fetch_one(statement)
    return account_of(row) if row else None


async def confirm_email(transaction: Transaction, user_id: UUID) -> Account | None:
    """Notes that a user reads what is sent to their address; None unless the account is active."""
    statement = (
        update(User)
        .where(User.id == user_id, User.status == UserStatus.ACTIVE, User.email.is_not(None))
        .values(email_confirmed_at=CLOCK)
        .returning(*account_columns())
    )
    row = await transaction.fetch_one(statement)
    return account_of(row) if row else None


async def create_credentials(transaction: Transaction, user_id: UUID, password_hash: str) -> None:
    """Store the first password of a user."""
    await transaction.execute(
        insert(Credential).values(user_id=user_id, password_hash=password_hash)
    )


async def set_password(transaction: Transaction, user_id: UUID, password_hash: str) -> None:
    """Give a user another password, or their first."""
    values = {"password_hash": password_hash, "updated_at": CLOCK}
    await transaction.execute(
        insert_or_update(Credential)
        .values(user_id=user_id, **values)
        .on_conflict_do_update(index_elements=[Credential.user_id], set_=values)
    )


async def lock_password(
    transaction: Transaction, user_id: UUID, changed_at: datetime | None
) -> bool:
    """Whether an active user's password is still the one of that time; their row is locked."""
    statement = (
        select(User.id)
        .join(Credential, Credential.user_id == User.id)
        .where(
            User.id == user_id,
            User.status == UserStatus.ACTIVE,
            Credential.updated_at == changed_at,
        )
        .with_for_update(key_share=True, of=User)
    )
    return await transaction.fetch_value(statement) is not None


async def find_locale(transaction: Transaction, user_id: UUID) -> str | None:
    """The language that a user chose."""
    locale: str | None = await transaction.fetch_value(
        select(User.locale).where(User.id == user_id)
    )
    return locale


async def change_email(transaction: Transaction, user_id: UUID, email: str) -> ChangedEmail | None:
    """Give a member another address that they have proven to read, or their first.

    None unless the account is active. EMAIL_IN_USE when it is somebody else's by now.
    """
    was = await transaction.fetch_one(
        select(User.email, User.email_confirmed_at.is_not(None))
        .where(User.id == user_id, User.status == UserStatus.ACTIVE, ~User.is_anonymous)
        .with_for_update(key_share=True)
    )
    if was is None:
        return None
    changed = (
        update(User)
        .where(User.id == user_id)
        .values(**_address(email, is_confirmed=True), updated_at=CLOCK)
    )
    with _in_use("code"):
        await transaction.execute(changed)
    return ChangedEmail(*was)


async def find_own_credentials(transaction: Transaction, user_id: UUID) -> OwnCredentials | None:
    """The address of a member and their password's hash, if they have them; None for a guest."""
    row = await transaction.fetch_one(
        select(
            User.email,
            User.username,
            User.locale,
            Credential.password_hash,
            Credential.updated_at,
        )
        .outerjoin(Credential, Credential.user_id == User.id)
        .where(User.id == user_id, ~User.is_anonymous, User.status == UserStatus.ACTIVE)
    )
    return OwnCredentials(*row) if row else None


async def user_exists(transaction: Transaction, user_id: UUID) -> bool:
    """Whether there is such an account."""
    found: bool = await transaction.fetch_value(select(exists().where(User.id == user_id)))
    return found


async def email_is_known(transaction: Transaction, email: str) -> bool:
    """Whether an account has this address, however it is spelled, or may take it back."""
    key = email_key(email)
    may_return = exists().where(
        OneTimeCode.email_key == key,
        OneTimeCode.purpose == "UNDO_EMAIL_CHANGE",
        OneTimeCode.expires_at > CLOCK,
    )
    known: bool = await transaction.fetch_value(
        select(or_(exists().where(User.email_key == key), may_return))
    )
    return known


async def grant_sign_up_bonus(
    transaction: Transaction, user_id: UUID, *, with_bonus: bool = True
) -> int:
    """Grant the plan and the credits that the terms still owe this user; returns how many."""
    wanted = GRANT_SIGN_UP_BONUS(new_user_id=user_id, with_bonus=with_bonus)
    return await call(transaction, wanted)


async def find_credentials(transaction: Transaction, email: str) -> Credentials | None:
    """The credentials behind an e-mail, however it is spelled; a locked account's too."""
    return await _find_credentials(transaction, User.email_key == email_key(email))


async def find_credentials_of(transaction: Transaction, user_id: UUID) -> Credentials | None:
    """The credentials of a user; None for one without a password."""
    return await _find_credentials(transaction, User.id == user_id)


async def lock_account_for_share(
    transaction: Transaction, credentials: Credentials
) -> Account | None:
    """The active account, row locked `for share`; None when locked out or with a new password."""
    statement = (
        select(*account_columns())
        .join(Credential, Credential.user_id == User.id)
        .where(
            User.id == credentials.user_id,
            User.status == UserStatus.ACTIVE,
            Credential.updated_at == credentials.changed_at,
        )
        .with_for_update(read=True, of=User)
    )
    row = await transaction.fetch_one(statement)
    return account_of(row) if row else None


async def lock_active_account(transaction: Transaction, user_id: UUID) -> Account | None:
    """A user whom nobody has locked out, row locked `for share`."""
    statement = (
        select(*account_columns())
        .where(User.id == user_id, User.status == UserStatus.ACTIVE)
        .with_for_update(read=True)
    )
    row = await transaction.fetch_one(statement)
    return account_of(row) if row else None


async def upgrade_password_hash(
    transaction: Transaction, credentials: Credentials, new_hash: str
) -> None:
    """Replace a hash of an older kind; the password, and so `updated_at`, stays the same."""
    await transaction.execute(
        update(Credential)
        .where(
            Credential.user_id == credentials.user_id,
            Credential.password_hash == credentials.password_hash,
        )
        .values(password_hash=new_hash)
    )


async def _find_credentials(transaction: Transaction, is_wanted: Any) -> Credentials | None:
    row = await transaction.fetch_one(
        select(
            Credential.user_id,
            Credential.password_hash,
            Credential.updated_at,
            User.email_confirmed_at.is_not(None),
            User.email_key,
        )
        .join(User, User.id == Credential.user_id)
        .where(is_wanted)
    )
    return Credentials(*row) if row else None


def _address(email: str | None, is_confirmed: bool = False) -> dict[str, Any]:
    """All columns of an address."""
    return {
        "email": email,
        "email_key": None if email is None else email_key(email),
        "email_confirmed_at": CLOCK if is_confirmed else None,
    }


def _said(username: str | None, locale: str | None) -> dict[str, str]:
    """What a new member says of themselves; what they leave out keeps its default."""
    return {
        name: value
        for name, value in (("username", username), ("locale", locale))
        if value is not None
    }


def account_columns() -> tuple[Any, ...]:
    """What `account_of()` reads."""
    return (User.id.label("user_id"), User.is_anonymous, (User.role == "admin").label("is_admin"))


def account_of(row: Any) -> Account:
    """The account in a row that has `account_columns()`."""
    return Account(row["user_id"], row["is_anonymous"], row["is_admin"])


@contextmanager
def _in_use(field: str = "email") -> Iterator[None]:
    """The unique indexes decide races; their refusals are facts that the client can act on.

    `field` is the input's that the address came by.
    """
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        is_name = error.constraint_name == "uq_users_username_key"
        raise (username_in_use() if is_name else email_in_use(field)) from None


def username_in_use() -> DomainError:
    """The refusal of a username that is somebody else's."""
    return DomainError(
        ErrorCode.USERNAME_IN_USE,
        "This username is taken; choose another one.",
        ("input", "username"),
    )


def email_in_use(field: str = "email") -> DomainError:
    """The refusal of an address that is another account's."""
    return DomainError(
        ErrorCode.EMAIL_IN_USE,
        "An account with this e-mail address exists; sign in instead.",
        ("input", field),
    )
