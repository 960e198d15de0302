"""Second factors: enrolling an authenticator app, recovery codes, and meeting a challenge.

What a wrong code changes is committed before it is refused.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from auth import totp
from auth.factor_changes import tell_added, tell_change
from auth.failed_attempts import FailedAttempts
from auth.guesses import CodeGuesses
from auth.reauthentication import ids_of_session, ids_to_prove
from auth.services import AccountServices
from auth.sessions import Sessions, SignedIn, challenge_ids
from auth.tokens import IssuedToken
from db.accounts.assurance import SignInMethod
from db.accounts.operations import lock_active_account
from db.audit.actions import AuditAction
from db.audit.operations import record_audit
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, RateLimited
from db.core.pool import Database, Transaction
from db.factors import operations, rules
from db.factors.tables import TotpFactor
from db.vault.sealing import Vault
from settings import Settings


@dataclass(frozen=True, slots=True)
class TotpOffer:
    """What an authenticator app needs; shown once."""

    secret: str
    uri: str


class SecondFactors:
    """The authenticator apps and recovery codes of a deployment."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        failures: FailedAttempts,
        settings: Settings,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._failures = failures
        self._vault = Vault(settings)
        self._guesses = CodeGuesses(settings)
        self._challenges = challenge_ids(settings)
        self._key = settings.secret("refresh-token-key").encode()
        self._issuer = settings.product_name

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of one process."""
        return cls(services.database, services.sessions, services.failures, services.settings)

    async def begin_totp(self, actor: Actor) -> TotpOffer:
        """A new secret; the account asks for its codes once one has confirmed it."""
        user_id, _ = ids_of_session(actor)
        secret = totp.new_secret()
        sealed = self._vault.seal(TotpFactor.sealed_secret, user_id, secret)
        async with self._database.transaction(SERVICE) as transaction:
            name = await operations.find_account_name(transaction, user_id)
            if name is None:
                raise invalid_state("A guest has no second factor; sign up first.")
            if not await operations.begin_totp(transaction, user_id, sealed):
                raise invalid_state("There is an authenticator app already; remove it first.")
        return TotpOffer(secret, totp.provisioning_uri(secret, name, self._issuer))

    async def confirm_totp(self, actor: Actor, code: str) -> list[str]:
        """Makes the app count; gives recovery codes, which are shown once.

        The actor's session has two factors from now on. The others, which have one, end.
        """
        user_id, session_id = ids_of_session(actor)
        async with self._database.transaction(SERVICE) as transaction:
            # A sign-in that saw no second factor is over by then, and its session ends with others.
            await operations.lock_sign_ins(transaction, user_id)
            stored = await operations.lock_totp(transaction, user_id)
            if stored is None or stored.is_confirmed:
                raise invalid_state("There is no authenticator app to confirm; begin with one.")
            method, plain = rules.clean_code(code) or (None, "")
            if method is not SignInMethod.TOTP or not await self._use(
                transaction, user_id, stored, plain
            ):
                raise code_invalid()
            codes = await self._new_recovery_codes(transaction, user_id)
            ended = await self._sessions.strengthen(
                transaction, user_id, session_id, SignInMethod.TOTP
            )
            await tell_added(transaction, user_id, "totp_added")
        self._sessions.ended(ended)
        return codes

    async def remove_totp(self, actor: Actor, code: str, *, network: str = "") -> None:
        """Forgets the app; a code of it or a recovery code says that its owner wants it."""
        user_id, _ = ids_of_session(actor)
        async with self._database.transaction(SERVICE) as transaction:
            stored = await operations.lock_totp(transaction, user_id)
            if stored is None or not stored.is_confirmed:
                raise code_invalid()
            method = await self._check(transaction, user_id, code, network)
            if method is not None:
                await operations.remove_totp(transaction, user_id)
                await tell_change(transaction, user_id, "totp_removed", method=method)
        if method is None:
            raise code_invalid()

    async def regenerate_recovery_codes(self, actor: Actor) -> list[str]:
        """Ten new recovery codes instead of those that are left."""
        user_id, _ = ids_of_session(actor)
        async with self._database.transaction(SERVICE) as transaction:
            if not await operations.find_second_factors(transaction, user_id):
                raise invalid_state("This account asks for no second factor.")
            codes = await self._new_recovery_codes(transaction, user_id)
            await tell_change(transaction, user_id, "recovery_codes_renewed")
        return codes

    async def verify(self, challenge_id: str, code: str, *, network: str = "") -> SignedIn:
        """Meets a challenge: gives the session that its first factor asked for."""
        known_id = self._challenges.row_id(challenge_id)
        if known_id is None:
            raise code_invalid()
        async with self._database.transaction(SERVICE) as transaction:
            challenge = await operations.lock_challenge(transaction, known_id)
            if challenge is None:
                raise code_invalid()
            user_id = challenge.account.user_id
            method = await self._check(transaction, user_id, code, network)
            if method is None:
                await operations.fail_challenge(transaction, known_id)
            else:
                opened = await self._sessions.meet(transaction, challenge, method, network)
        if method is None:
            raise code_invalid()
        return self._sessions.signed_in(challenge.account, opened)

    async def reauthenticate(self, actor: Actor, code: str, *, network: str = "") -> IssuedToken:
        """A token of the actor's session, whose owner a code has proven again."""
        user_id, session_id = ids_to_prove(actor)
        async with self._database.transaction(SERVICE) as transaction:
            account = await lock_active_account(transaction, user_id)
            if account is None:
                raise code_invalid()
            method = await self._check(transaction, user_id, code, network)
            if method is not None:
                issued = await self._sessions.prove_again(transaction, account, session_id, method)
        if method is None:
            raise code_invalid()
        return issued

    async def first_recovery_codes(
        self, transaction: Transaction, user_id: UUID
    ) -> list[str] | None:
        """Recovery codes for an account that has none; nothing for one that has some left."""
        if await operations.has_recovery_codes(transaction, user_id):
            return None
        return await self._new_recovery_codes(transaction, user_id)

    async def _check(
        self, transaction: Transaction, user_id: UUID, code: str, network: str
    ) -> SignInMethod | None:
        """What a code proves, which is used up by that; None for a wrong one, which counts."""
        cleaned = rules.clean_code(code)
        if cleaned is None:
            return None
        method, plain = cleaned
        if method is SignInMethod.RECOVERY_CODE:
            code_hash = self._hash(user_id, plain)
            if not await operations.use_recovery_code(transaction, user_id, code_hash):
                return None
            await tell_change(transaction, user_id, "recovery_code_used")
            return method
        stored = await operations.lock_totp(transaction, user_id)
        if stored is None or not stored.is_confirmed:
            return None
        try:
            await self._guesses.refuse(transaction, user_id, network)
        except RateLimited:
            self._failures.note(user_id, AuditAction.RATE_LIMITED, method)
            raise
        if await self._use(transaction, user_id, stored, plain):
            await self._guesses.note_right(transaction, user_id, network)
            return method
        await self._guesses.count_wrong(transaction, user_id, network)
        await record_audit(transaction, user_id, "second_factor_failed")
        return None

    async def _use(
        self, transaction: Transaction, user_id: UUID, stored: operations.StoredTotp, code: str
    ) -> bool:
        """Uses an app's code up; False when it is not a new one of now."""
        opened = self._vault.open(TotpFactor.sealed_secret, user_id, stored.sealed_secret)
        step = totp.matching_step(opened, code, after=stored.last_step)
        if step is None:
            return False
        sealed = stored.sealed_secret
        if not self._vault.is_current(sealed):
            sealed = self._vault.seal(TotpFactor.sealed_secret, user_id, opened)
        await operations.use_totp_step(transaction, user_id, step, sealed)
        return True

    async def _new_recovery_codes(self, transaction: Transaction, user_id: UUID) -> list[str]:
        codes = rules.new_recovery_codes()
        hashes = [self._hash(user_id, code.replace("-", "")) for code in codes]
        await operations.replace_recovery_codes(transaction, user_id, hashes)
        return codes

    def _hash(self, user_id: UUID, plain: str) -> bytes:
        """80 random bits need no slow hash, and the key keeps them from who reads the database."""
        return hmac.digest(self._key, f"recovery-code:{user_id}:{plain}".encode(), "sha256")


def code_invalid() -> DomainError:
    """Wrong, used and expired look alike."""
    return DomainError(
        ErrorCode.CODE_INVALID,
        "This code is not right, was used before, or came too late. Take the one that the "
        "authenticator app shows now, or a recovery code; if that is refused, too, sign in again.",
    )


def invalid_state(message: str) -> DomainError:
    """What is asked for does not fit what the account has."""
    return DomainError(ErrorCode.INVALID_STATE, message)
