"""The only writers of identities, of the state of sign-ins at providers, and of their codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql

from db.accounts.emails import email_key
from db.accounts.operations import CLOCK, Account, record_audit
from db.accounts.tables import Credential, Session, User, UserStatus
from db.codes.operations import claim_unconfirmed_account
from db.core.errors import DomainError, ErrorCode, not_found
from db.core.pool import Transaction
from db.emails.operations import queue_email
from db.identities.rules import MOST_IDENTITIES, ExternalIdentity, email_follows
from db.identities.tables import OAuthState, SignInCode, UsedIdToken, UserIdentity

STATE_LIFE = timedelta(minutes=10)
CODE_LIFE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that a browser began; `is_expired` when it took too long."""

    redirect_to: str
    code_challenge: str | None
    is_expired: bool


@dataclass(frozen=True, slots=True)
class TakenCode:
    """A sign-in code that cannot be used again, whatever comes of it now."""

    sealed: bytes
    code_challenge: str | None


@dataclass(frozen=True, slots=True)
class Owned:
    """The account behind an identity or an address, its row locked, and what it has of it.

    Its address `is_confirmed` when somebody has proven to read what is sent there. `known_email` is
    the one that the provider had verified before.
    """

    account: Account
    is_active: bool
    is_confirmed: bool
    email_key: str | None
    known_email: str | None = None


async def begin_sign_in(
    transaction: Transaction,
    *,
    state_hash: bytes,
    browser_hash: bytes,
    provider: str,
    redirect_to: str,
    code_challenge: str | None,
) -> None:
    """Remembers a browser that is sent to a provider."""
    await transaction.execute(
        insert(OAuthState).values(
            state_hash=state_hash,
            browser_hash=browser_hash,
            provider=provider,
            redirect_to=redirect_to,
            code_challenge=code_challenge,
            expires_at=CLOCK + STATE_LIFE,
        )
    )


async def take_sign_in(
    transaction: Transaction, *, state_hash: bytes, browser_hash: bytes, provider: str
) -> PendingSignIn | None:
    """Uses up a state: only in the browser that began, and only at the provider it was sent to."""
    row = await transaction.fetch_one(
        delete(OAuthState)
        .where(
            OAuthState.state_hash == state_hash,
            OAuthState.browser_hash == browser_hash,
            OAuthState.provider == provider,
        )
        .returning(
            OAuthState.redirect_to,
            OAuthState.code_challenge,
            (OAuthState.expires_at <= CLOCK).label("is_expired"),
        )
    )
    return PendingSignIn(*row) if row else None


async def store_code(
    transaction: Transaction, *, code_hash: bytes, sealed: bytes, code_challenge: str | None
) -> None:
    """Keeps what a provider said until the app asks for it."""
    await transaction.execute(
        insert(SignInCode).values(
            code_hash=code_hash,
            sealed=sealed,
            code_challenge=code_challenge,
            expires_at=CLOCK + CODE_LIFE,
        )
    )


async def take_code(transaction: Transaction, code_hash: bytes) -> TakenCode | None:
    """Uses up a code; of several who ask at once, one gets it."""
    row = await transaction.fetch_one(
        delete(SignInCode)
        .where(SignInCode.code_hash == code_hash, SignInCode.expires_at > CLOCK)
        .returning(SignInCode.sealed, SignInCode.code_challenge)
    )
    return TakenCode(*row) if row else None


async def use_id_token(transaction: Transaction, token_hash: bytes, expires_at: datetime) -> bool:
    """Uses up an ID token; False when it was used before."""
    used = (
        postgresql.insert(UsedIdToken)
        .values(token_hash=token_hash, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(UsedIdToken.token_hash)
    )
    return await transaction.fetch_value(used) is not None


async def find_by_identity(transaction: Transaction, external: ExternalIdentity) -> Owned | None:
    """The account that an identity belongs to."""
    statement = (
        select(
            *_owned_columns(),
            case((UserIdentity.is_email_verified, UserIdentity.email)).label("known_email"),
        )
        .join(UserIdentity, UserIdentity.user_id == User.id)
        .where(UserIdentity.provider == external.provider, UserIdentity.subject == external.subject)
        .with_for_update(of=User)
    )
    return _owned(await transaction.fetch_one(statement))


async def find_by_email(transaction: Transaction, email: str) -> Owned | None:
    """The account with an address, however it is spelled."""
    statement = (
        select(*_owned_columns()).where(User.email_key == email_key(email)).with_for_update()
    )
    return _owned(await transaction.fetch_one(statement))


async def lock_owner(transaction: Transaction, user_id: UUID) -> Owned | None:
    """An account whose identities are about to change; who changes them waits here in turn."""
    statement = select(*_owned_columns()).where(User.id == user_id).with_for_update()
    return _owned(await transaction.fetch_one(statement))


async def open_account(transaction: Transaction, external: ExternalIdentity) -> Account:
    """A new member; an address that the provider has not verified is not theirs yet."""
    statement = (
        insert(User)
        .values(**_verified(external), display_name=external.name, is_anonymous=False)
        .returning(*_owned_columns())
    )
    return _owned_for_sure(await transaction.fetch_one(statement)).account


async def convert_guest(
    transaction: Transaction, guest_id: UUID, session_id: UUID, external: ExternalIdentity
) -> Account | None:
    """Makes a guest a member; None when user or session is no longer what it was."""
    session_alive = exists().where(
        Session.id == session_id, Session.user_id == guest_id, Session.revoked_at.is_(None)
    )
    statement = (
        update(User)
        .where(
            User.id == guest_id, User.is_anonymous, User.status == UserStatus.ACTIVE, session_alive
        )
        .values(
            **_verified(external),
            display_name=func.coalesce(User.display_name, external.name),
            is_anonymous=False,
            updated_at=CLOCK,
        )
        .returning(*_owned_columns())
    )
    row = await transaction.fetch_one(statement)
    return _owned_for_sure(row).account if row else None


async def add_identity(
    transaction: Transaction, user_id: UUID, external: ExternalIdentity
) -> UUID | None:
    """Links an identity to an account; None when it belongs to one already."""
    added: UUID | None = await transaction.fetch_value(
        postgresql.insert(UserIdentity)
        .values(
            user_id=user_id,
            provider=external.provider,
            subject=external.subject,
            email=external.email,
            is_email_verified=external.is_email_verified,
            name=external.name,
        )
        .on_conflict_do_nothing()
        .returning(UserIdentity.id)
    )
    return added


async def note_use(transaction: Transaction, external: ExternalIdentity) -> None:
    """Keeps what the provider says today; Apple gives a name only the first time.

    An address that it has verified stays until it has verified another.
    """
    told: dict[str, Any] = {"email": external.verified_email, "is_email_verified": True}
    if external.verified_email is None:
        told = {
            "email": case(
                (UserIdentity.is_email_verified, UserIdentity.email),
                else_=func.coalesce(external.email, UserIdentity.email),
            )
        }
    await transaction.execute(
        update(UserIdentity)
        .where(UserIdentity.provider == external.provider, UserIdentity.subject == external.subject)
        .values(**told, name=func.coalesce(external.name, UserIdentity.name), last_used_at=CLOCK)
    )


async def follow_email(transaction: Transaction, owned: Owned, external: ExternalIdentity) -> None:
    """Gives the account the provider's new address, and tells the old one.

    Nothing changes when another account has the address.
    """
    user_id, email = owned.account.user_id, external.verified_email
    if email is None or not email_follows(
        external, known_email=owned.known_email, account_email_key=owned.email_key
    ):
        return
    old: str | None = await transaction.fetch_value(select(User.email).where(User.id == user_id))
    is_taken = exists(select(User.id).where(User.email_key == email_key(email)).correlate(None))
    moved = await transaction.fetch_value(
        update(User)
        .where(User.id == user_id, ~is_taken)
        .values(**_verified(external), updated_at=CLOCK)
        .returning(User.id)
    )
    if moved is None:
        return
    await record_audit(transaction, user_id, "email_followed", provider=external.provider)
    if old is not None:
        await queue_email(transaction, template="email_changed", recipient=old, user_id=user_id)


async def end_unconfirmed_ways_in(transaction: Transaction, owned: Owned) -> list[UUID]:
    """Takes from an account whatever was set up before its address was confirmed, as it is now.

    Returns the sessions that end.
    """
    claimed = await claim_unconfirmed_account(transaction, owned.account.user_id)
    return list(claimed.ended_sessions) if claimed else []


async def count_identities(transaction: Transaction, user_id: UUID) -> int:
    """How many an account has."""
    count: int = await transaction.fetch_value(
        select(func.count()).select_from(UserIdentity).where(UserIdentity.user_id == user_id)
    )
    return count


async def link(transaction: Transaction, user_id: UUID, external: ExternalIdentity) -> UUID:
    """Links an identity to an account whose row is locked; again, it is the same one."""
    mine = select(UserIdentity.id).where(
        UserIdentity.provider == external.provider,
        UserIdentity.subject == external.subject,
        UserIdentity.user_id == user_id,
    )
    linked: UUID | None = await transaction.fetch_value(mine)
    if linked is not None:
        return linked
    if await count_identities(transaction, user_id) >= MOST_IDENTITIES:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"An account has at most {MOST_IDENTITIES} identities; unlink one first.",
        )
    added = await add_identity(transaction, user_id, external)
    if added is None:
        raise DomainError(
            ErrorCode.IDENTITY_IN_USE,
            "This identity belongs to another account; sign in with it, and unlink it there first.",
        )
    await note_link(transaction, user_id, external)
    return added


async def note_link(transaction: Transaction, user_id: UUID, external: ExternalIdentity) -> None:
    """Notes a new way into an account, and tells its owner."""
    await record_audit(transaction, user_id, "identity_linked", provider=external.provider)
    address = await transaction.fetch_value(select(User.email).where(User.id == user_id))
    if address is not None:
        await queue_email(
            transaction,
            template="identity_linked",
            recipient=address,
            user_id=user_id,
            parameters={"provider": external.provider},
        )


async def unlink(transaction: Transaction, user_id: UUID, identity_id: UUID) -> None:
    """Takes an identity from an account whose row is locked; the last way in stays.

    A passkey does not count: it may be gone with its device, and be removed by itself.
    """
    mine = UserIdentity.user_id == user_id
    provider: str | None = await transaction.fetch_value(
        select(UserIdentity.provider).where(UserIdentity.id == identity_id, mine)
    )
    if provider is None:
        raise not_found("identity", ("input", "id"))
    others = exists().where(UserIdentity.user_id == user_id, UserIdentity.id != identity_id)
    has_password = exists().where(Credential.user_id == user_id)
    if not await transaction.fetch_value(select(others | has_password)):
        raise DomainError(
            ErrorCode.LAST_IDENTITY,
            "An account keeps a password or an identity; set a password or link another one first.",
            ("input", "id"),
        )
    await transaction.execute(delete(UserIdentity).where(UserIdentity.id == identity_id, mine))
    await record_audit(transaction, user_id, "identity_unlinked", provider=provider)


def _verified(external: ExternalIdentity) -> dict[str, Any]:
    """The columns of an account's address, as far as the provider has verified one."""
    email = external.verified_email
    if email is None:
        return {"email": None, "email_key": None}
    return {"email": email, "email_key": email_key(email), "email_confirmed_at": CLOCK}


def _owned_columns() -> tuple[Any, ...]:
    return (
        User.id.label("user_id"),
        User.is_anonymous,
        (User.role == "admin").label("is_admin"),
        (User.status == UserStatus.ACTIVE).label("is_active"),
        User.email_confirmed_at.is_not(None).label("is_confirmed"),
        User.email_key,
    )


def _owned(row: Any) -> Owned | None:
    return _owned_for_sure(row) if row else None


def _owned_for_sure(row: Any) -> Owned:
    return Owned(
        Account(row["user_id"], row["is_anonymous"], row["is_admin"]),
        row["is_active"],
        row["is_confirmed"],
        row["email_key"],
        row.get("known_email"),
    )
