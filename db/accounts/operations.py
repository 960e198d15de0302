"""The only writers of users, credentials, sessions and refresh tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.orm import aliased

from db.accounts.assurance import Assurance, SignInMethod, assurance_level
from db.accounts.bounds import end_oldest_sessions, forget_oldest_tokens
from db.accounts.emails import email_key
from db.accounts.rules import RefreshDecision, decide_refresh
from db.accounts.tables import (
    Credential,
    DeletedSession,
    RefreshToken,
    Session,
    User,
    UserStatus,
)
from db.audit.operations import record_audit as record_audit  # noqa: PLC0414 - called from here
from db.core.commands import SqlFunction, call
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Transaction

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
REVOKE_OWN_SESSION = SqlFunction[UUID](
    "app.revoke_own_session", "uuid", wanted="uuid", place="jsonb"
)
END_OWN_SESSIONS = SqlFunction[list[UUID]](
    "app.end_own_sessions", "uuid[]", kept="uuid", place="jsonb"
)
REQUIRED_ADMIN_ID = SqlFunction[UUID]("app.required_admin_id", "uuid")
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


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """What a signed-in member has: an address and a password, or neither who signs in without."""

    email: str | None
    locale: str | None
    password_hash: str | None
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChangedEmail:
    """A user has another address; `before` is the old one, if they had any."""

    before: str | None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A session went on: the successor's hash is stored."""

    session_id: UUID
    account: Account
    assurance: Assurance


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A refresh token that somebody holds, its session's row locked; and what becomes of it."""

    session_id: UUID
    account: Account
    decision: RefreshDecision
    assurance: Assurance
    is_used: bool


@dataclass(frozen=True, slots=True)
class RefreshRefused:
    """No new tokens; `ended_session_id` names the session that this refresh revoked, if it did."""

    ended_session_id: UUID | None = None


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
        .returning(*_account_columns())
    )
    with _in_use():
        return _account(await transaction.fetch_one(statement))


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
        .returning(*_account_columns())
    )
    with _in_use():
        row = await transaction.fetch_one(statement)
    return _account(row) if row else None


async def confirm_email(transaction: Transaction, user_id: UUID) -> Account | None:
    """Notes that a user reads what is sent to their address; None unless the account is active."""
    statement = (
        update(User)
        .where(User.id == user_id, User.status == UserStatus.ACTIVE, User.email.is_not(None))
        .values(email_confirmed_at=CLOCK)
        .returning(*_account_columns())
    )
    row = await transaction.fetch_one(statement)
    return _account(row) if row else None


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
        select(User.email)
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
    with _in_use():
        await transaction.execute(changed)
    return ChangedEmail(was["email"])


async def find_own_credentials(transaction: Transaction, user_id: UUID) -> OwnCredentials | None:
    """The address of a member and their password's hash, if they have them; None for a guest."""
    row = await transaction.fetch_one(
        select(User.email, User.locale, Credential.password_hash, Credential.updated_at)
        .outerjoin(Credential, Credential.user_id == User.id)
        .where(User.id == user_id, ~User.is_anonymous, User.status == UserStatus.ACTIVE)
    )
    return OwnCredentials(*row) if row else None


async def user_exists(transaction: Transaction, user_id: UUID) -> bool:
    """Whether there is such an account."""
    found: bool = await transaction.fetch_value(select(exists().where(User.id == user_id)))
    return found


async def email_is_known(transaction: Transaction, email: str) -> bool:
    """Whether there is an account with this address, however it is spelled."""
    known: bool = await transaction.fetch_value(
        select(exists().where(User.email_key == email_key(email)))
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
        select(*_account_columns())
        .join(Credential, Credential.user_id == User.id)
        .where(
            User.id == credentials.user_id,
            User.status == UserStatus.ACTIVE,
            Credential.updated_at == credentials.changed_at,
        )
        .with_for_update(read=True, of=User)
    )
    row = await transaction.fetch_one(statement)
    return _account(row) if row else None


async def lock_active_account(transaction: Transaction, user_id: UUID) -> Account | None:
    """A user whom nobody has locked out, row locked `for share`."""
    statement = (
        select(*_account_columns())
        .where(User.id == user_id, User.status == UserStatus.ACTIVE)
        .with_for_update(read=True)
    )
    row = await transaction.fetch_one(statement)
    return _account(row) if row else None


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


async def open_session(
    transaction: Transaction,
    user_id: UUID,
    refresh_token_hash: bytes,
    *,
    session_life: timedelta,
    user_agent: str | None,
    methods: Sequence[SignInMethod],
    address: str | None = None,
) -> tuple[UUID, Assurance]:
    """A new session with its first refresh token, and what it was proven with."""
    row = await transaction.fetch_one(
        insert(Session)
        .values(
            user_id=user_id,
            expires_at=CLOCK + session_life,
            user_agent=user_agent,
            address=address,
            methods=list(methods),
            authenticated_at=CLOCK,
        )
        .returning(Session.id, *_assurance_columns())
    )
    assert row is not None
    await _store_refresh_token(transaction, row["id"], refresh_token_hash, session_life)
    await end_oldest_sessions(transaction, user_id)
    return row["id"], _assurance(row)


async def add_proof(
    transaction: Transaction, session_id: UUID, user_id: UUID, method: SignInMethod
) -> Assurance | None:
    """Note that a session's owner has just proven themselves again; None when it has ended."""
    row = await transaction.fetch_one(
        update(Session)
        .where(
            Session.id == session_id,
            Session.user_id == user_id,
            Session.revoked_at.is_(None),
            Session.expires_at > CLOCK,
        )
        .values(
            methods=func.array_append(func.array_remove(Session.methods, method), method),
            authenticated_at=CLOCK,
        )
        .returning(*_assurance_columns())
    )
    return _assurance(row) if row else None


async def rotate_refresh_token(
    transaction: Transaction,
    presented_hash: bytes,
    successor_hash: bytes,
    *,
    session_life: timedelta,
    reuse_window: timedelta,
    address: str | None = None,
) -> Refreshed | RefreshRefused:
    """Use up a refresh token in favour of its successor; a replayed one ends its session.

    `address` is where the session is now. It never raises for a bad token: the transaction must
    commit what a replay revokes.
    """
    token = await present_refresh_token(transaction, presented_hash, successor_hash, reuse_window)
    if token is None or token.decision is RefreshDecision.REFUSE:
        return RefreshRefused()
    session_id, account = token.session_id, token.account
    if token.decision is RefreshDecision.END_FAMILY:
        await end_family(transaction, token)
        return RefreshRefused(session_id)
    if token.decision is RefreshDecision.ROTATE:
        await _use_up(transaction, presented_hash, successor_hash)
        await _store_refresh_token(transaction, session_id, successor_hash, session_life)
        await forget_oldest_tokens(transaction, session_id)
        await _prolong_session(transaction, session_id, session_life, address)
    return Refreshed(session_id, account, token.assurance)


async def present_refresh_token(
    transaction: Transaction,
    presented_hash: bytes,
    successor_hash: bytes,
    reuse_window: timedelta,
) -> PresentedToken | None:
    """What becomes of a refresh token, which nobody else touches until the transaction ends.

    None when there is no such token.
    """
    session_id = await _lock_session_of(transaction, presented_hash)
    if session_id is None:
        return None
    row = await transaction.fetch_one(_refresh_state(presented_hash, successor_hash, reuse_window))
    if row is None:
        return None
    decision = decide_refresh(
        session_alive=row["session_alive"],
        account_active=row["account_active"],
        token_used=row["token_used"],
        within_reuse_window=row["within_reuse_window"],
        successor_unused=row["successor_unused"],
    )
    return PresentedToken(session_id, _account(row), decision, _assurance(row), row["token_used"])


async def end_family(transaction: Transaction, token: PresentedToken) -> None:
    """Ends the session of a token that came back, or whose account is locked."""
    reason = "refresh_token_reused" if token.is_used else "account_locked"
    await revoke_session(transaction, token.session_id, reason)
    await record_audit(transaction, token.account.user_id, reason, session_id=str(token.session_id))


async def revoke_session(transaction: Transaction, session_id: UUID, reason: str) -> bool:
    """End a session; False when it had ended before."""
    revoked = await transaction.fetch_value(
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .values(revoked_at=CLOCK, revoked_reason=reason)
        .returning(Session.id)
    )
    return revoked is not None


async def revoke_user_sessions(
    transaction: Transaction, user_id: UUID, reason: str, *, but: UUID | None = None
) -> list[UUID]:
    """End every session of a user, `but` one perhaps; returns those that were open."""
    rows = await transaction.fetch_all(
        update(Session)
        .where(Session.user_id == user_id, Session.revoked_at.is_(None), Session.id != but)
        .values(revoked_at=CLOCK, revoked_reason=reason)
        .returning(Session.id)
    )
    return [row["id"] for row in rows]


async def revoke_weaker_sessions(
    transaction: Transaction, user_id: UUID, kept_id: UUID, reason: str
) -> list[UUID]:
    """End the open sessions of a user that one factor opened, but one; returns those."""
    rows = await transaction.fetch_all(
        select(Session.id, Session.methods).where(
            Session.user_id == user_id, Session.id != kept_id, Session.revoked_at.is_(None)
        )
    )
    weaker = [row["id"] for row in rows if assurance_level(row["methods"]) < 2]
    return [key for key in weaker if await revoke_session(transaction, key, reason)]


async def lock_account(transaction: Transaction, user_id: UUID) -> list[UUID]:
    """Lock an account out: no sign-in, no refresh; returns the sessions that end with it."""
    await transaction.execute(
        update(User).where(User.id == user_id).values(status=UserStatus.LOCKED, updated_at=CLOCK)
    )
    await record_audit(transaction, user_id, "account_locked")
    return await revoke_user_sessions(transaction, user_id, "account_locked")


async def list_sessions_just_ended(transaction: Transaction, user_id: UUID) -> list[UUID]:
    """The sessions of a user that were revoked during the last minute."""
    since = CLOCK - timedelta(minutes=1)
    ended = select(Session.id).where(Session.user_id == user_id, Session.revoked_at > since)
    return [row["id"] for row in await transaction.fetch_all(ended)]


async def list_revoked_sessions(transaction: Transaction, since_seconds: float) -> list[UUID]:
    """The sessions revoked, or deleted with their account, during the last `since_seconds`."""
    since = CLOCK - timedelta(seconds=since_seconds)
    revoked = select(Session.id).where(Session.revoked_at > since)
    deleted = select(DeletedSession.id).where(DeletedSession.deleted_at > since)
    rows = await transaction.fetch_all(revoked.union_all(deleted))
    return [row["id"] for row in rows]


async def _find_credentials(transaction: Transaction, is_wanted: Any) -> Credentials | None:
    row = await transaction.fetch_one(
        select(
            Credential.user_id,
            Credential.password_hash,
            Credential.updated_at,
            User.email_confirmed_at.is_not(None),
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


def _account_columns() -> tuple[Any, ...]:
    return (User.id.label("user_id"), User.is_anonymous, (User.role == "admin").label("is_admin"))


def _assurance_columns() -> tuple[Any, ...]:
    return (Session.methods, Session.authenticated_at)


def _assurance(row: Any) -> Assurance:
    return Assurance(tuple(row["methods"]), row["authenticated_at"])


def _account(row: Any) -> Account:
    return Account(row["user_id"], row["is_anonymous"], row["is_admin"])


@contextmanager
def _in_use() -> Iterator[None]:
    """The unique indexes decide races; their refusals are facts that the client can act on."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        is_name = error.constraint_name == "uq_users_username_key"
        raise (username_in_use() if is_name else email_in_use()) from None


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


async def _lock_session_of(transaction: Transaction, presented_hash: bytes) -> UUID | None:
    """Everything that touches one family of tokens waits here for its turn."""
    session_of_token = (
        select(RefreshToken.session_id)
        .where(RefreshToken.token_hash == presented_hash)
        .scalar_subquery()
    )
    session_id: UUID | None = await transaction.fetch_value(
        select(Session.id).where(Session.id == session_of_token).with_for_update()
    )
    return session_id


def _refresh_state(presented_hash: bytes, successor_hash: bytes, reuse_window: timedelta) -> Any:
    """Read after the lock is held, by a statement of its own: it sees what the others did."""
    successor = aliased(RefreshToken)
    return (
        select(
            *_account_columns(),
            *_assurance_columns(),
            (User.status == UserStatus.ACTIVE).label("account_active"),
            (
                Session.revoked_at.is_(None)
                & (Session.expires_at > CLOCK)
                & (RefreshToken.expires_at > CLOCK)
            ).label("session_alive"),
            RefreshToken.used_at.is_not(None).label("token_used"),
            func.coalesce(RefreshToken.used_at > CLOCK - reuse_window, False).label(
                "within_reuse_window"
            ),
            (successor.token_hash.is_not(None) & successor.used_at.is_(None)).label(
                "successor_unused"
            ),
        )
        .select_from(RefreshToken)
        .join(Session, Session.id == RefreshToken.session_id)
        .join(User, User.id == Session.user_id)
        .outerjoin(
            successor,
            (successor.token_hash == RefreshToken.replaced_by)
            & (successor.token_hash == successor_hash),
        )
        .where(RefreshToken.token_hash == presented_hash)
    )


async def _use_up(transaction: Transaction, presented_hash: bytes, successor_hash: bytes) -> None:
    await transaction.execute(
        update(RefreshToken)
        .where(RefreshToken.token_hash == presented_hash)
        .values(used_at=CLOCK, replaced_by=successor_hash)
    )


async def _store_refresh_token(
    transaction: Transaction, session_id: UUID, refresh_token_hash: bytes, life: timedelta
) -> None:
    await transaction.execute(
        insert(RefreshToken).values(
            token_hash=refresh_token_hash, session_id=session_id, expires_at=CLOCK + life
        )
    )


async def _prolong_session(
    transaction: Transaction, session_id: UUID, session_life: timedelta, address: str | None
) -> None:
    await transaction.execute(
        update(Session)
        .where(Session.id == session_id)
        .values(
            last_used_at=CLOCK,
            expires_at=CLOCK + session_life,
            address=func.coalesce(address, Session.address),
        )
    )
