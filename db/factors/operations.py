"""The only writers of authenticator apps, recovery codes and second-factor challenges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    LargeBinary,
    and_,
    any_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.accounts.assurance import SignInMethod, assurance_level
from db.accounts.operations import CLOCK, Account, lock_active_account
from db.accounts.tables import Credential, Session, User
from db.core.commands import SqlFunction
from db.core.pool import Transaction
from db.factors.rules import CHALLENGE_MINUTES, GUESSES_PER_CHALLENGE, SecondFactor
from db.factors.tables import Passkey, RecoveryCodes, SecondFactorChallenge, TotpFactor

REMOVE_SECOND_FACTORS = SqlFunction[bool](
    "app.remove_second_factors", "boolean", wanted="uuid", given_by="text"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account asks for, and what a session of it was proven with so far."""

    asks_second_factor: bool
    assurance_level: int
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class StoredTotp:
    """An authenticator app as it is stored; its secret is sealed."""

    sealed_secret: bytes
    last_step: int
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    """A sign-in that waits: whose it is, how its first factor was proven, and where."""

    id: UUID
    account: Account
    method: SignInMethod
    user_agent: str | None


async def find_standing(
    transaction: Transaction, user_id: UUID, session_id: UUID | None, *, fresh_seconds: int
) -> Standing:
    """What a user's session is good for now; nothing for one that has ended."""
    is_fresh = Session.authenticated_at > CLOCK - timedelta(seconds=fresh_seconds)
    row = await transaction.fetch_one(
        select(
            _asks(user_id).label("asks"),
            Session.methods,
            func.coalesce(is_fresh, False).label("is_fresh"),
        )
        .select_from(select(true().label("one")).subquery())
        .outerjoin(
            Session,
            and_(
                Session.id == session_id,
                Session.user_id == user_id,
                Session.revoked_at.is_(None),
            ),
        )
    )
    assert row is not None
    return Standing(row["asks"], assurance_level(row["methods"] or ()), row["is_fresh"])


async def find_second_factors(transaction: Transaction, user_id: UUID) -> tuple[SecondFactor, ...]:
    """The second factors that a user may be asked for; none when the account asks for none."""
    row = await transaction.fetch_one(
        select(
            _asks(user_id).label("asks"),
            _has_totp(user_id).label("totp"),
            exists()
            .where(RecoveryCodes.user_id == user_id, RecoveryCodes.codes_left > 0)
            .label("recovery"),
            exists().where(Passkey.user_id == user_id).label("passkey"),
        )
    )
    if row is None or not row["asks"]:
        return ()
    offered = {
        SecondFactor.TOTP: row["totp"],
        SecondFactor.RECOVERY_CODE: row["recovery"],
        SecondFactor.PASSKEY: row["passkey"],
    }
    return tuple(factor for factor, is_there in offered.items() if is_there)


async def open_challenge(
    transaction: Transaction, user_id: UUID, method: SignInMethod, user_agent: str | None
) -> tuple[UUID, datetime]:
    """A challenge for somebody whose first factor was right; its id, and until when it is good."""
    await transaction.execute(
        delete(SecondFactorChallenge).where(
            SecondFactorChallenge.user_id == user_id, SecondFactorChallenge.expires_at <= CLOCK
        )
    )
    row = await transaction.fetch_one(
        insert(SecondFactorChallenge)
        .values(
            user_id=user_id,
            method=method,
            user_agent=user_agent,
            # Not the transaction's start: the same one may have set another password before.
            created_at=CLOCK,
            expires_at=CLOCK + timedelta(minutes=CHALLENGE_MINUTES),
        )
        .returning(SecondFactorChallenge.id, SecondFactorChallenge.expires_at)
    )
    assert row is not None
    return row["id"], row["expires_at"]


async def lock_challenge(transaction: Transaction, challenge_id: UUID) -> Challenge | None:
    """A challenge that may still be met, its row locked; None for one that is over.

    It is over, too, when the account is locked or its password is another one since.
    """
    has_new_password = exists().where(
        Credential.user_id == SecondFactorChallenge.user_id,
        Credential.updated_at > SecondFactorChallenge.created_at,
    )
    row = await transaction.fetch_one(
        select(
            SecondFactorChallenge.user_id,
            SecondFactorChallenge.method,
            SecondFactorChallenge.user_agent,
        )
        .where(
            SecondFactorChallenge.id == challenge_id,
            SecondFactorChallenge.used_at.is_(None),
            SecondFactorChallenge.expires_at > CLOCK,
            SecondFactorChallenge.failures < GUESSES_PER_CHALLENGE,
            ~has_new_password,
        )
        .with_for_update(of=SecondFactorChallenge)
    )
    account = await lock_active_account(transaction, row["user_id"]) if row else None
    if row is None or account is None:
        return None
    return Challenge(challenge_id, account, SignInMethod(row["method"]), row["user_agent"])


async def fail_challenge(transaction: Transaction, challenge_id: UUID) -> None:
    """Count a wrong guess."""
    await _update_challenge(transaction, challenge_id, failures=SecondFactorChallenge.failures + 1)


async def use_challenge(transaction: Transaction, challenge_id: UUID) -> None:
    """The challenge was met: nobody else can."""
    await _update_challenge(transaction, challenge_id, used_at=CLOCK)


async def _update_challenge(transaction: Transaction, challenge_id: UUID, **values: Any) -> None:
    await transaction.execute(
        update(SecondFactorChallenge)
        .where(SecondFactorChallenge.id == challenge_id)
        .values(**values)
    )


async def lock_sign_ins(transaction: Transaction, user_id: UUID) -> None:
    """Wait for the sign-ins of a user that are under way, and let the next ones wait."""
    await transaction.execute(
        select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    )


async def find_email(transaction: Transaction, user_id: UUID) -> str | None:
    """A user's e-mail address; None for a guest."""
    email: str | None = await transaction.fetch_value(
        select(User.email).where(User.id == user_id, ~User.is_anonymous)
    )
    return email


async def find_account_name(transaction: Transaction, user_id: UUID) -> str | None:
    """What an authenticator app calls a user's account; None for a guest.

    That is their address, or their username where a provider told none.
    """
    name: str | None = await transaction.fetch_value(
        select(func.coalesce(User.email, User.username)).where(
            User.id == user_id, ~User.is_anonymous
        )
    )
    return name


async def begin_totp(transaction: Transaction, user_id: UUID, sealed_secret: bytes) -> bool:
    """Store the secret of an app that is still to be confirmed; False when there is one already."""
    wanted = insert(TotpFactor).values(user_id=user_id, sealed_secret=sealed_secret)
    stored = await transaction.fetch_value(
        wanted.on_conflict_do_update(
            index_elements=[TotpFactor.user_id],
            set_={
                "sealed_secret": wanted.excluded.sealed_secret,
                "last_step": 0,
                "created_at": CLOCK,
            },
            where=TotpFactor.confirmed_at.is_(None),
        ).returning(TotpFactor.user_id)
    )
    return stored is not None


async def lock_totp(transaction: Transaction, user_id: UUID) -> StoredTotp | None:
    """A user's authenticator app, its row locked: guesses of one account come one by one."""
    row = await transaction.fetch_one(
        select(
            TotpFactor.sealed_secret,
            TotpFactor.last_step,
            TotpFactor.confirmed_at.is_not(None).label("is_confirmed"),
        )
        .where(TotpFactor.user_id == user_id)
        .with_for_update()
    )
    if row is None:
        return None
    return StoredTotp(row["sealed_secret"], row["last_step"], row["is_confirmed"])


async def use_totp_step(
    transaction: Transaction, user_id: UUID, step: int, sealed_secret: bytes
) -> None:
    """A code was right: it and all before it are used up, and the app is confirmed."""
    await transaction.execute(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id)
        .values(
            last_step=step,
            sealed_secret=sealed_secret,
            confirmed_at=func.coalesce(TotpFactor.confirmed_at, CLOCK),
        )
    )


async def remove_totp(transaction: Transaction, user_id: UUID) -> None:
    """Forget an authenticator app, and the recovery codes where nothing asks for them now."""
    await transaction.execute(delete(TotpFactor).where(TotpFactor.user_id == user_id))
    await forget_useless_codes(transaction, user_id)


async def forget_useless_codes(transaction: Transaction, user_id: UUID) -> None:
    """Forget the recovery codes of a user whom nothing asks for a second factor any more."""
    await transaction.execute(
        delete(RecoveryCodes).where(RecoveryCodes.user_id == user_id, ~_asks(user_id))
    )


async def has_recovery_codes(transaction: Transaction, user_id: UUID) -> bool:
    """Whether a user has recovery codes that were not used yet."""
    found: bool = await transaction.fetch_value(
        select(exists().where(RecoveryCodes.user_id == user_id, RecoveryCodes.codes_left > 0))
    )
    return found


async def replace_recovery_codes(
    transaction: Transaction, user_id: UUID, code_hashes: list[bytes]
) -> None:
    """Store new recovery codes; the old ones are worth nothing any more."""
    wanted = insert(RecoveryCodes).values(
        user_id=user_id, code_hashes=code_hashes, codes_left=len(code_hashes)
    )
    await transaction.execute(
        wanted.on_conflict_do_update(
            index_elements=[RecoveryCodes.user_id],
            set_={
                "code_hashes": wanted.excluded.code_hashes,
                "codes_left": wanted.excluded.codes_left,
                "created_at": CLOCK,
            },
        )
    )


async def use_recovery_code(transaction: Transaction, user_id: UUID, code_hash: bytes) -> bool:
    """Use a recovery code up; False when there is no such one (any more)."""
    wanted = literal(code_hash, LargeBinary())
    used = await transaction.fetch_value(
        update(RecoveryCodes)
        .where(RecoveryCodes.user_id == user_id, wanted == any_(RecoveryCodes.code_hashes))
        .values(
            code_hashes=func.array_remove(RecoveryCodes.code_hashes, wanted),
            codes_left=RecoveryCodes.codes_left - 1,
        )
        .returning(RecoveryCodes.user_id)
    )
    return used is not None


def _has_totp(user_id: UUID) -> Any:
    return exists().where(TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None))


def _asks(user_id: UUID) -> Any:
    """Whether an account asks for a second factor."""
    has_passkey = exists().where(Passkey.user_id == user_id, Passkey.is_second_factor)
    return or_(_has_totp(user_id), has_passkey)
