"""Passkeys: registering them, and signing in with one alone or as the second factor.

A challenge is taken out before its answer is looked at, so that each is good for one.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from auth.ceremonies import Ceremonies, PasskeyAnswer, not_accepted
from auth.factor_changes import tell_added, tell_change
from auth.failed_attempts import FailedAttempts
from auth.limited_attempts import notes_limits
from auth.reauthentication import ids_of_session
from auth.second_factors import SecondFactors, invalid_state
from auth.services import AccountServices
from auth.sessions import Opened, Sessions, SignInResult, challenge_ids
from auth.shared_rates import SharedRates
from db.accounts.assurance import SignInMethod
from db.accounts.operations import Account, lock_active_account
from db.audit.operations import record_audit
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, RateLimited, not_found
from db.core.pool import Database, Transaction
from db.factors import operations, passkeys, rules
from db.factors.passkeys import ChallengePurpose, StoredPasskey
from db.factors.rules import PASSKEYS_PER_USER
from settings import Settings

CHALLENGE_BYTES = 32
HANDLE_BYTES = 32
# Challenges that one network may be given; each is a row for five minutes.
CHALLENGES_PER_MINUTE = 120


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey, and the recovery codes where it made the account ask for a second factor."""

    passkey_id: UUID
    recovery_codes: list[str] | None


class Passkeys:
    """The passkeys of a deployment."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        factors: SecondFactors,
        settings: Settings,
        rates: SharedRates,
        failures: FailedAttempts,
    ) -> None:
        self._database = database
        self._failures = failures
        self._sessions = sessions
        self._factors = factors
        self._ceremonies = Ceremonies(settings)
        self._challenges = challenge_ids(settings)
        self._begun = rates.limit("passkey_challenges", CHALLENGES_PER_MINUTE, 60.0)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of one process."""
        factors = services.of(SecondFactors.of)
        return cls(
            services.database,
            services.sessions,
            factors,
            services.settings,
            services.rates,
            services.failures,
        )

    async def begin_registration(self, actor: Actor, *, is_second_factor: bool) -> dict[str, Any]:
        """The options for a browser to make a passkey with."""
        user_id, _ = ids_of_session(actor)
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        async with self._database.transaction(SERVICE) as transaction:
            owner = await passkeys.find_owner(transaction, user_id)
            if owner is None:
                raise invalid_state("A guest has no passkey; sign up first.")
            _refuse_too_many(len(owner.credential_ids))
            handle = owner.user_handle or secrets.token_bytes(HANDLE_BYTES)
            wanted = ChallengePurpose(user_id, handle, None, is_second_factor=is_second_factor)
            await passkeys.store_challenge(transaction, _hash(challenge), wanted)
        return await self._ceremonies.creation_options(
            challenge=challenge,
            user_handle=handle,
            email=owner.email,
            name=owner.display_name,
            known=owner.credential_ids,
            is_second_factor=is_second_factor,
        )

    async def finish_registration(self, actor: Actor, credential: object, name: str) -> Registered:
        """Keeps a passkey that a browser has made."""
        user_id, session_id = ids_of_session(actor)
        name = rules.check_passkey_name(name)
        answer = self._ceremonies.read(credential)
        challenge = await self._take(answer)
        if challenge.registers_for != user_id or challenge.user_handle is None:
            raise not_accepted()
        made = await self._ceremonies.verify_registration(
            answer, name, is_second_factor=challenge.is_second_factor
        )
        ended: list[UUID] = []
        codes = None
        async with self._database.transaction(SERVICE) as transaction:
            await operations.lock_sign_ins(transaction, user_id)
            _refuse_too_many(len(await passkeys.find_credential_ids(transaction, user_id)))
            passkey_id = await passkeys.store_passkey(
                transaction, user_id, challenge.user_handle, made
            )
            if passkey_id is None:
                raise not_accepted()
            if challenge.is_second_factor:
                method = _method(is_user_verified=made.is_user_verified)
                ended = await self._sessions.strengthen(transaction, user_id, session_id, method)
                codes = await self._factors.first_recovery_codes(transaction, user_id)
            await tell_added(transaction, user_id, "passkey_added", passkey_id=str(passkey_id))
        self._sessions.ended(ended)
        return Registered(passkey_id, codes)

    @notes_limits("passkey")
    async def begin_sign_in(self, network: str, challenge_id: str | None) -> dict[str, Any]:
        """The options for a browser to sign in with: any passkey, or those of a challenge."""
        if wait := self._begun.use(network):
            raise RateLimited("Too many sign-ins were begun from this address.", int(wait) + 1)
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        known: list[bytes] = []
        waiting_id = None
        async with self._database.transaction(SERVICE) as transaction:
            if challenge_id is not None:
                waiting_id = self._challenges.row_id(challenge_id)
                known = await self._known_of_challenge(transaction, waiting_id)
            wanted = ChallengePurpose(None, None, waiting_id, is_second_factor=bool(waiting_id))
            await passkeys.store_challenge(transaction, _hash(challenge), wanted)
        return await self._ceremonies.request_options(
            challenge=challenge, known=known, is_second_factor=bool(waiting_id)
        )

    async def _known_of_challenge(
        self, transaction: Transaction, waiting_id: UUID | None
    ) -> list[bytes]:
        """The passkeys that may meet a challenge."""
        waiting = None
        if waiting_id is not None:
            waiting = await operations.lock_challenge(transaction, waiting_id)
        if waiting is None:
            raise not_accepted()
        known = await passkeys.find_credential_ids(transaction, waiting.account.user_id)
        if not known:
            raise not_accepted()
        return known

    async def finish_sign_in(
        self, credential: object, *, network: str = "", user_agent: str | None = None
    ) -> SignInResult:
        """The session of whoever has the passkey that a browser has used."""
        answer = self._ceremonies.read(credential)
        challenge = await self._take(answer)
        if challenge.registers_for is not None:
            raise not_accepted()
        async with self._database.transaction(SERVICE) as transaction:
            stored = await passkeys.find_passkey(transaction, answer.credential_id)
        if stored is None or not _is_of_owner(answer, stored, challenge):
            raise not_accepted()
        used = await self._ceremonies.verify_sign_in(
            answer, stored.public_key, is_second_factor=challenge.is_second_factor
        )
        async with self._database.transaction(SERVICE) as transaction:
            account = await lock_active_account(transaction, stored.user_id)
            if account is None:
                raise not_accepted()
            is_original = await passkeys.use_passkey(
                transaction, stored.id, used.sign_count, is_synced=used.is_synced
            )
            if is_original:
                method = _method(is_user_verified=used.is_user_verified)
                opened = await self._open(
                    transaction, account, challenge, method, user_agent, network
                )
            else:
                await record_audit(
                    transaction, stored.user_id, "passkey_refused", passkey_id=str(stored.id)
                )
        if not is_original:
            raise not_accepted()
        return self._sessions.signed_in(account, opened)

    async def remove(self, actor: Actor, passkey_id: UUID) -> None:
        """Forgets a passkey."""
        user_id, _ = ids_of_session(actor)
        async with self._database.transaction(SERVICE) as transaction:
            if not await passkeys.remove_passkey(transaction, user_id, passkey_id):
                raise not_found("passkey", ("input", "id"))
            await operations.forget_useless_codes(transaction, user_id)
            await tell_change(transaction, user_id, "passkey_removed", passkey_id=str(passkey_id))

    async def _take(self, answer: PasskeyAnswer) -> ChallengePurpose:
        """The challenge of an answer, for nobody else from now on."""
        async with self._database.transaction(SERVICE) as transaction:
            challenge = await passkeys.take_challenge(transaction, _hash(answer.challenge))
        if challenge is None:
            raise not_accepted()
        return challenge

    async def _open(
        self,
        transaction: Transaction,
        account: Account,
        challenge: ChallengePurpose,
        method: SignInMethod,
        user_agent: str | None,
        network: str,
    ) -> Opened:
        if challenge.second_factor_id is None:
            return await self._sessions.open(
                transaction, account, method=method, user_agent=user_agent, network=network
            )
        waiting = await operations.lock_challenge(transaction, challenge.second_factor_id)
        if waiting is None or waiting.account.user_id != account.user_id:
            raise not_accepted()
        return await self._sessions.meet(transaction, waiting, method, network)


def _is_of_owner(answer: PasskeyAnswer, stored: StoredPasskey, challenge: ChallengePurpose) -> bool:
    """WebAuthn, 7.2: who was not known before says whose passkey it is, and rightly."""
    if answer.user_handle is None:
        return challenge.is_second_factor
    return answer.user_handle == stored.user_handle


def _method(*, is_user_verified: bool) -> SignInMethod:
    return SignInMethod.PASSKEY if is_user_verified else SignInMethod.PASSKEY_TOUCHED


def _refuse_too_many(count: int) -> None:
    if count >= PASSKEYS_PER_USER:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"An account has at most {PASSKEYS_PER_USER} passkeys. Remove one first.",
        )


def _hash(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
