"""Signing in by what a provider says, and the identities that are linked to an account."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import asyncpg

from auth.browser_sign_in import BrowserSignIn
from auth.budgets import AccountBudgets
from auth.limited_attempts import notes_limits
from auth.services import AccountServices
from auth.sessions import SignInResult
from auth.tokens import unauthenticated
from auth.turns import Turns
from db.accounts.assurance import SignInMethod
from db.accounts.operations import Account, grant_sign_up_bonus, record_audit
from db.accounts.sessions import revoke_user_sessions
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from db.core.pool import Transaction
from db.identities import operations, rules
from db.identities.operations import Owned
from db.identities.rules import Arrival, ExternalIdentity
from db.notifications.operations import welcome

# Accounts of one network that wait to be opened.
WAITING_PER_NETWORK = 64
# Somebody else may have opened the same account in between.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """From where somebody asks, with what, and the guest who they are until now."""

    network: str = ""
    user_agent: str | None = None
    guest: Actor | None = None


@dataclass(frozen=True, slots=True)
class _Proven:
    """Who somebody has proven to be; an ID token that says so is used up by what comes of it."""

    identity: ExternalIdentity
    token_hash: bytes | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """The account that somebody has come into, its bonus where it is new, and what ends by it."""

    account: Account
    is_new: bool = False
    bonus_credits: int | None = None
    ended: tuple[UUID, ...] = ()


class Identities:
    """The ways into an account by an identity at a provider."""

    def __init__(self, services: AccountServices) -> None:
        self.browsers = services.of(BrowserSignIn.of)
        self._database = services.database
        self._failures = services.failures
        self._sessions = services.sessions
        self._budgets = AccountBudgets(services.settings)
        self._turns = Turns[str](WAITING_PER_NETWORK)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """The one of a process."""
        return cls(services)

    async def sign_in_with_code(
        self, code: str, verifier: str | None, caller: Caller
    ) -> SignInResult:
        """Signs in who brought a code back from a provider.

        Only a code that the asker can prove to have begun makes the asking guest a member:
        otherwise a stranger's code would give the guest's rows to the stranger.
        """
        external = await self.browsers.identity_of_code(code, verifier)
        if verifier is None:
            caller = Caller(caller.network, caller.user_agent)
        return await self._sign_in(_Proven(external), caller)

    async def sign_in_with_token(
        self, provider: str, id_token: str, nonce: str, caller: Caller
    ) -> SignInResult:
        """Signs in whom an ID token names that an app got for itself; a token works once."""
        return await self._sign_in(await self._proven(provider, id_token, nonce), caller)

    async def link_token(self, actor: Actor, provider: str, id_token: str, nonce: str) -> UUID:
        """Links whom an ID token names to the actor's account; gives the identity."""
        return await self._link(actor, await self._proven(provider, id_token, nonce))

    async def link_code(self, actor: Actor, code: str, verifier: str) -> UUID:
        """Links who brought a code back from a provider; gives the identity."""
        return await self._link(
            actor, _Proven(await self.browsers.identity_of_code(code, verifier))
        )

    async def unlink(self, actor: Actor, identity_id: UUID) -> None:
        """Takes an identity from the actor's account."""
        async with self._database.transaction(SERVICE) as transaction:
            owned = await self._own(transaction, actor)
            await operations.unlink(transaction, owned.account.user_id, identity_id)

    async def _proven(self, name: str, id_token: str, nonce: str) -> _Proven:
        proven = await self.browsers.provider(name).identity_of_token(id_token, nonce)
        token_hash = hashlib.sha256(id_token.encode()).digest()
        return _Proven(proven.identity, token_hash, proven.expires_at)

    async def _link(self, actor: Actor, proven: _Proven) -> UUID:
        async with self._database.transaction(SERVICE) as transaction:
            owned = await self._own(transaction, actor)
            await _use_up(transaction, proven)
            return await operations.link(transaction, owned.account.user_id, proven.identity)

    async def _own(self, transaction: Transaction, actor: Actor) -> Owned:
        assert actor.user_id is not None
        owned = await operations.lock_owner(transaction, actor.user_id)
        if owned is None or not owned.is_active:
            raise unauthenticated("The account of this token is gone; sign in again.")
        if owned.account.is_anonymous:
            raise DomainError(
                ErrorCode.FORBIDDEN,
                "Guests have no identities. Sign in with the provider instead; what you have stays "
                "yours.",
            )
        return owned

    @notes_limits("provider")
    async def _sign_in(self, proven: _Proven, caller: Caller) -> SignInResult:
        """Whoever comes first with an identity opens its account; a second at once signs in.

        Accounts of one network are opened in turn, since they meet at its budgets.
        """
        for _ in range(TRIES):
            try:
                if entered := await self._enter(proven, caller, may_open=False):
                    return entered
                async with self._turns.of(caller.network):
                    if entered := await self._enter(proven, caller, may_open=True):
                        return entered
            except asyncpg.UniqueViolationError:
                continue
        raise unavailable()

    async def _enter(
        self, proven: _Proven, caller: Caller, *, may_open: bool
    ) -> SignInResult | None:
        """A session of the identity's account; None where that would have to be opened first."""
        async with self._database.transaction(SERVICE) as transaction:
            arrived = await self._arrive(transaction, proven.identity, caller, may_open=may_open)
            if arrived is None:
                return None
            await _use_up(transaction, proven)
            opened = await self._sessions.open(
                transaction,
                arrived.account,
                method=SignInMethod.PROVIDER,
                user_agent=caller.user_agent,
                network=caller.network,
                is_new=arrived.is_new,
            )
        self._sessions.ended(arrived.ended)
        return self._sessions.signed_in(arrived.account, opened, arrived.bonus_credits)

    async def _arrive(
        self,
        transaction: Transaction,
        external: ExternalIdentity,
        caller: Caller,
        *,
        may_open: bool,
    ) -> _Arrived | None:
        known = await operations.find_by_identity(transaction, external)
        if known is not None:
            return await self._come_again(transaction, known, external)
        email = external.verified_email
        owner = await operations.find_by_email(transaction, email) if email else None
        if owner is None and not may_open:
            return None
        arrival = rules.decide_arrival(
            has_account=owner is not None, is_confirmed=owner is not None and owner.is_confirmed
        )
        if owner is None:
            arrived = await self._open(transaction, external, caller)
        else:
            arrived = await self._join(transaction, owner, arrival, caller)
        user_id = arrived.account.user_id
        if await operations.add_identity(transaction, user_id, external) is None:
            raise asyncpg.UniqueViolationError("the identity has just been linked")
        if owner is None:
            await record_audit(transaction, user_id, "sign_up", provider=external.provider)
            await welcome(transaction, user_id)
        else:
            await operations.note_link(transaction, user_id, external)
        return arrived

    async def _come_again(
        self, transaction: Transaction, known: Owned, external: ExternalIdentity
    ) -> _Arrived:
        _refuse_locked(known)
        await operations.follow_email(transaction, known, external)
        await operations.note_use(transaction, external)
        return _Arrived(known.account)

    async def _join(
        self, transaction: Transaction, owner: Owned, arrival: Arrival, caller: Caller
    ) -> _Arrived:
        """Into an account that has the same address, which the provider has verified."""
        _refuse_locked(owner)
        if arrival is Arrival.LINK:
            return _Arrived(owner.account)
        ended = await operations.end_unconfirmed_ways_in(transaction, owner)
        bonus = await self._grant_bonus(transaction, owner.account, caller)
        return _Arrived(owner.account, False, bonus or None, tuple(ended))

    async def _open(
        self, transaction: Transaction, external: ExternalIdentity, caller: Caller
    ) -> _Arrived:
        await self._budgets.open_account(transaction, caller.network, is_guest=False)
        guest = caller.guest
        if guest is None or guest.user_id is None or guest.session_id is None:
            account = await operations.open_account(transaction, external)
            return _Arrived(account, True, await self._grant_bonus(transaction, account, caller))
        converted = await operations.convert_guest(
            transaction, guest.user_id, guest.session_id, external
        )
        if converted is None:
            raise unauthenticated("This anonymous session has ended; sign in again.")
        bonus = await self._grant_bonus(transaction, converted, caller)
        ended = await revoke_user_sessions(transaction, converted.user_id, "converted")
        return _Arrived(converted, True, bonus, tuple(ended))

    async def _grant_bonus(self, transaction: Transaction, account: Account, caller: Caller) -> int:
        with_bonus = await self._budgets.allows_bonus(transaction, caller.network, is_guest=False)
        return await grant_sign_up_bonus(transaction, account.user_id, with_bonus=with_bonus)


async def _use_up(transaction: Transaction, proven: _Proven) -> None:
    """Refuses a second use, in the transaction of what the first one did."""
    if proven.token_hash is None or proven.expires_at is None:
        return
    if not await operations.use_id_token(transaction, proven.token_hash, proven.expires_at):
        raise DomainError(
            ErrorCode.INVALID_CREDENTIALS,
            "The ID token is not valid; get a new one and try again.",
        )


def _refuse_locked(owned: Owned) -> None:
    """As with a password: a locked account is told from nothing else."""
    if not owned.is_active:
        raise DomainError(
            ErrorCode.INVALID_CREDENTIALS, "This account can't be signed in to with this identity."
        )
