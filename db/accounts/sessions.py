"""The only writers of sessions and refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import aliased

from db.accounts.assurance import Assurance, SignInMethod, assurance_level
from db.accounts.bounds import end_oldest_sessions, forget_oldest_tokens
from db.accounts.operations import CLOCK, Account, account_columns, account_of
from db.accounts.rules import RefreshDecision, decide_refresh
from db.accounts.tables import DeletedSession, RefreshToken, Session, User, UserStatus
from db.audit.operations import record_audit
from db.core.pool import Transaction


@dataclass(frozen=True, slots=True)
class SessionLife:
    """How long a session goes on unused, and how long after its owner last proved who they are.

    A guest's goes on while it is used within `guest`: they could not sign in again.
    """

    unused: timedelta
    proven: timedelta
    guest: timedelta | None = None

    def unused_by(self, *, is_guest: bool) -> timedelta:
        """How long a session and its newest refresh token last without use."""
        return self.guest if is_guest and self.guest is not None else self.unused

    def end(self, authenticated_at: Any, *, is_guest: bool) -> Any:
        """When a session that is used now ends, as SQL."""
        unused = CLOCK + self.unused_by(is_guest=is_guest)
        return unused if is_guest else func.least(unused, authenticated_at + self.proven)

    def sign_in_is_over(self) -> Any:
        """Whether a session's owner has to prove anew who they are, as SQL."""
        return ~User.is_anonymous & (Session.authenticated_at + self.proven <= CLOCK)


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
    """No new tokens; `ended_session_id` names the session that this refresh revoked, if it did.

    `sign_in_is_over` says that a new sign-in is due, and that the token was good.
    """

    ended_session_id: UUID | None = None
    sign_in_is_over: bool = False


async def open_session(
    transaction: Transaction,
    user_id: UUID,
    refresh_token_hash: bytes,
    *,
    session_life: SessionLife,
    user_agent: str | None,
    methods: Sequence[SignInMethod],
    address: str | None = None,
    is_guest: bool = False,
) -> tuple[UUID, Assurance]:
    """A new session with its first refresh token, and what it was proven with."""
    row = await transaction.fetch_one(
        insert(Session)
        .values(
            user_id=user_id,
            expires_at=session_life.end(CLOCK, is_guest=is_guest),
            user_agent=user_agent,
            address=address,
            methods=list(methods),
            authenticated_at=CLOCK,
        )
        .returning(Session.id, *_assurance_columns())
    )
    assert row is not None
    unused = session_life.unused_by(is_guest=is_guest)
    await _store_refresh_token(transaction, row["id"], refresh_token_hash, unused)
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
    session_life: SessionLife,
    reuse_window: timedelta,
    address: str | None = None,
) -> Refreshed | RefreshRefused:
    """Use up a refresh token in favour of its successor; a replayed one ends its session.

    `address` is where the session is now. It never raises for a bad token: the transaction must
    commit what a replay revokes.
    """
    token = await present_refresh_token(
        transaction, presented_hash, successor_hash, session_life, reuse_window
    )
    if token is None or token.decision is RefreshDecision.REFUSE:
        return RefreshRefused()
    if token.decision is RefreshDecision.EXPIRED:
        return RefreshRefused(sign_in_is_over=True)
    session_id, account = token.session_id, token.account
    if token.decision is RefreshDecision.END_FAMILY:
        await end_family(transaction, token)
        return RefreshRefused(session_id)
    if token.decision is RefreshDecision.ROTATE:
        await _use_up(transaction, presented_hash, successor_hash)
        unused = session_life.unused_by(is_guest=account.is_anonymous)
        await _store_refresh_token(transaction, session_id, successor_hash, unused)
        await forget_oldest_tokens(transaction, session_id)
        ends = session_life.end(Session.authenticated_at, is_guest=account.is_anonymous)
        await _prolong_session(transaction, session_id, ends, address)
    return Refreshed(session_id, account, token.assurance)


async def present_refresh_token(
    transaction: Transaction,
    presented_hash: bytes,
    successor_hash: bytes,
    session_life: SessionLife,
    reuse_window: timedelta,
) -> PresentedToken | None:
    """What becomes of a refresh token, which nobody else touches until the transaction ends.

    None when there is no such token.
    """
    session_id = await _lock_session_of(transaction, presented_hash)
    if session_id is None:
        return None
    row = await transaction.fetch_one(
        _refresh_state(presented_hash, successor_hash, session_life, reuse_window)
    )
    if row is None:
        return None
    decision = decide_refresh(
        sign_in_is_over=row["sign_in_is_over"],
        session_alive=row["session_alive"],
        account_active=row["account_active"],
        token_used=row["token_used"],
        within_reuse_window=row["within_reuse_window"],
        successor_unused=row["successor_unused"],
    )
    return PresentedToken(session_id, account_of(row), decision, _assurance(row), row["token_used"])


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


def _assurance_columns() -> tuple[Any, ...]:
    return (Session.methods, Session.authenticated_at)


def _assurance(row: Any) -> Assurance:
    return Assurance(tuple(row["methods"]), row["authenticated_at"])


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


def _refresh_state(
    presented_hash: bytes,
    successor_hash: bytes,
    session_life: SessionLife,
    reuse_window: timedelta,
) -> Any:
    """Read after the lock is held, by a statement of its own: it sees what the others did."""
    successor = aliased(RefreshToken)
    return (
        select(
            *account_columns(),
            *_assurance_columns(),
            (User.status == UserStatus.ACTIVE).label("account_active"),
            (
                Session.revoked_at.is_(None)
                & ((Session.expires_at > CLOCK) | session_life.sign_in_is_over())
                & (RefreshToken.expires_at > CLOCK)
            ).label("session_alive"),
            session_life.sign_in_is_over().label("sign_in_is_over"),
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
    transaction: Transaction, session_id: UUID, ends: Any, address: str | None
) -> None:
    await transaction.execute(
        update(Session)
        .where(Session.id == session_id)
        .values(
            last_used_at=CLOCK,
            expires_at=ends,
            address=func.coalesce(address, Session.address),
        )
    )
