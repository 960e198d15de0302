"""Sessions: every way into an account opens one here, and receives its tokens from here.

Here it is also decided whether a second factor is needed first, for all ways at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload
from uuid import UUID

from auth.refresh_tokens import new_refresh_token, token_hash
from auth.signed_ids import SignedIds
from auth.tokens import AccessTokens, IssuedToken, unauthenticated
from db.accounts import operations
from db.accounts import sessions as account_sessions
from db.accounts.assurance import Assurance, SignInMethod, assurance_level
from db.accounts.new_devices import tell_new_device
from db.accounts.operations import Account
from db.accounts.sessions import SessionLife
from db.core.actor import Actor
from db.core.origin import clean_user_agent, coarse_network
from db.core.pool import Transaction
from db.factors.operations import (
    Challenge,
    find_second_factors,
    open_challenge,
    use_challenge,
)
from db.factors.rules import SecondFactor
from db.leaving.operations import cancel_deletion
from settings import Settings


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that is written but not yet told to anybody; its tokens are secret."""

    session_id: UUID
    refresh_token: str
    assurance: Assurance


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    """No session yet: the first factor was right, and the account asks for a second.

    `challenge_id` names the sign-in that waits for it; whoever has it has proven the first.
    """

    challenge_id: str
    factors: tuple[SecondFactor, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as its owner receives it; `expires_at` is the access token's.

    `bonus_credits` is what the account was opened with; null when it was there before.
    `password_required` says that the account has no password now, and its owner is to choose one.
    """

    user_id: UUID
    session_id: UUID
    access_token: str
    refresh_token: str
    expires_at: datetime
    actor: Actor
    bonus_credits: int | None = None
    password_required: bool = False


Opened = OpenedSession | SecondFactorNeeded
SignInResult = SignedIn | SecondFactorNeeded


def challenge_ids(settings: Settings) -> SignedIds:
    """How challenges are named to their clients, so that who reads the database can't meet one."""
    return SignedIds(settings, "second-factor-challenge")


class Sessions:
    """Opens sessions, tells their owners of them, and ends them."""

    def __init__(self, tokens: AccessTokens, settings: Settings) -> None:
        self._tokens = tokens
        self._challenges = challenge_ids(settings)
        self.life = SessionLife(
            unused=timedelta(days=settings.refresh_token_days),
            proven=timedelta(days=settings.session_lifetime_days),
            guest=timedelta(days=settings.guest_days),
        )

    async def open(
        self,
        transaction: Transaction,
        account: Account,
        *,
        method: SignInMethod,
        user_agent: str | None = None,
        network: str = "",
        is_new: bool = False,
    ) -> Opened:
        """A session for an account that has just been proven to be the asker's by `method`.

        Or none, where the account asks for a second factor and the method is only one. It notes the
        sign-in in the audit log, but not of an account that `is_new`: that is a sign-up. Part of
        the caller's transaction, which has locked the user's row (`lock_active_account()`), so that
        nobody adds a second factor meanwhile. Only when it has committed may anything be told.

        `user_agent` and `network` are kept so that its owner knows the device again, of the network
        only about where it is (`coarse_network()`).
        """
        if is_new:
            return await self.open_proven(transaction, account, (method,), user_agent, network)
        if assurance_level((method,)) < 2:
            needed = await self._challenge(transaction, account, method, user_agent)
            if needed is not None:
                return needed
        await operations.record_audit(transaction, account.user_id, "sign_in", method=method)
        opened = await self.open_proven(transaction, account, (method,), user_agent, network)
        await tell_new_device(transaction, account.user_id, opened.session_id)
        return opened

    async def open_proven(
        self,
        transaction: Transaction,
        account: Account,
        methods: tuple[SignInMethod, ...],
        user_agent: str | None,
        network: str = "",
    ) -> OpenedSession:
        """A session that nothing more is asked for, whatever the account asks for.

        It keeps an account that was to be deleted.
        """
        await cancel_deletion(transaction, account.user_id)
        refresh_token = new_refresh_token()
        session_id, assurance = await account_sessions.open_session(
            transaction,
            account.user_id,
            token_hash(refresh_token),
            session_life=self.life,
            user_agent=clean_user_agent(user_agent),
            methods=methods,
            address=coarse_network(network),
            is_guest=account.is_anonymous,
        )
        return OpenedSession(session_id, refresh_token, assurance)

    async def _challenge(
        self,
        transaction: Transaction,
        account: Account,
        method: SignInMethod,
        user_agent: str | None,
    ) -> SecondFactorNeeded | None:
        factors = await find_second_factors(transaction, account.user_id)
        if not factors:
            return None
        challenge_id, expires_at = await open_challenge(
            transaction, account.user_id, method, clean_user_agent(user_agent)
        )
        await operations.record_audit(
            transaction, account.user_id, "second_factor_asked", method=method
        )
        return SecondFactorNeeded(self._challenges.token(challenge_id), factors, expires_at)

    @overload
    def signed_in(
        self,
        account: Account,
        opened: OpenedSession,
        bonus_credits: int | None = None,
        *,
        password_required: bool = False,
    ) -> SignedIn: ...
    @overload
    def signed_in(
        self,
        account: Account,
        opened: Opened,
        bonus_credits: int | None = None,
        *,
        password_required: bool = False,
    ) -> SignInResult: ...
    def signed_in(
        self,
        account: Account,
        opened: Opened,
        bonus_credits: int | None = None,
        *,
        password_required: bool = False,
    ) -> SignInResult:
        """The session's tokens, once it is committed; or that a second factor is needed."""
        if isinstance(opened, SecondFactorNeeded):
            return opened
        assurance = opened.assurance
        issued = self.issue(account, opened.session_id, assurance)
        actor = Actor(
            "authenticated",
            user_id=account.user_id,
            session_id=opened.session_id,
            is_anonymous=account.is_anonymous,
            is_admin=account.is_admin,
            expires_at=int(issued.expires_at.timestamp()),
            assurance_level=assurance.level,
            authenticated_at=int(assurance.authenticated_at.timestamp()),
        )
        return SignedIn(
            account.user_id,
            opened.session_id,
            issued.token,
            opened.refresh_token,
            issued.expires_at,
            actor,
            bonus_credits,
            password_required,
        )

    async def meet(
        self, transaction: Transaction, challenge: Challenge, method: SignInMethod, network: str
    ) -> OpenedSession:
        """The session that waited for a second factor, which `method` has just proven."""
        user_id = challenge.account.user_id
        await use_challenge(transaction, challenge.id)
        await operations.record_audit(
            transaction, user_id, "sign_in", method=challenge.method, second_factor=method
        )
        methods = (challenge.method, method)
        opened = await self.open_proven(
            transaction, challenge.account, methods, challenge.user_agent, network
        )
        await tell_new_device(transaction, user_id, opened.session_id)
        return opened

    async def strengthen(
        self, transaction: Transaction, user_id: UUID, session_id: UUID, method: SignInMethod
    ) -> list[UUID]:
        """Notes a second factor that was just added; returns the sessions that end without it."""
        if await account_sessions.add_proof(transaction, session_id, user_id, method) is None:
            raise unauthenticated("This session has ended; sign in again.")
        return await account_sessions.revoke_weaker_sessions(
            transaction, user_id, session_id, "second_factor_added"
        )

    async def prove_again(
        self, transaction: Transaction, account: Account, session_id: UUID, method: SignInMethod
    ) -> IssuedToken:
        """A token of a session whose owner has just been proven by `method` once more.

        Part of the caller's transaction, as `open()` is.
        """
        assurance = await account_sessions.add_proof(
            transaction, session_id, account.user_id, method
        )
        if assurance is None:
            raise unauthenticated("This session has ended; sign in again.")
        await operations.record_audit(
            transaction, account.user_id, "reauthenticated", method=method
        )
        return self.issue(account, session_id, assurance)

    def issue(self, account: Account, session_id: UUID, assurance: Assurance) -> IssuedToken:
        """An access token of a session as it is now."""
        return self._tokens.issue(
            account.user_id,
            session_id,
            is_anonymous=account.is_anonymous,
            is_admin=account.is_admin,
            assurance=assurance,
        )

    def ended(self, session_ids: Iterable[UUID]) -> None:
        """Refuses the tokens of sessions whose end is committed; other processes learn of it."""
        for session_id in session_ids:
            self._tokens.revoke_session(session_id)
