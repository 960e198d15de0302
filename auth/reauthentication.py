"""Proving again by the password who one is, in the session that one has."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from auth.accounts import wrong_password
from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from auth.limited_attempts import notes_limits
from auth.password_guesses import PasswordGuesses
from auth.passwords import PasswordHasher
from auth.services import AccountServices
from auth.sessions import Sessions
from auth.tokens import IssuedToken, unauthenticated
from db.accounts import operations, rules
from db.accounts.assurance import SignInMethod
from db.accounts.operations import Credentials
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, sign_in_first
from db.core.fair_queue import Asker
from db.core.pool import Database


class Reauthentication:
    """Freshens sessions without ending them."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHasher,
        attempts: Attempts,
        sessions: Sessions,
        failures: FailedAttempts,
        guesses: PasswordGuesses,
    ) -> None:
        self._guesses = guesses
        self._failures = failures
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of one process."""
        return cls(
            services.database,
            services.passwords,
            services.attempts,
            services.sessions,
            services.failures,
            services.of(PasswordGuesses.of),
        )

    @notes_limits("password")
    async def by_password(self, actor: Actor, password: str, *, network: str = "") -> IssuedToken:
        """A token of the actor's session, signed in just now with the password."""
        user_id, session_id = ids_to_prove(actor)
        async with self._attempts.attempt(network, str(user_id)) as asker:
            credentials = await proven_credentials(
                self._database, self._passwords, self._guesses, user_id, password, asker
            )
            async with self._database.transaction(SERVICE) as transaction:
                account = await operations.lock_account_for_share(transaction, credentials)
                if account is None:
                    raise wrong_password("password")
                return await self._sessions.prove_again(
                    transaction, account, session_id, SignInMethod.PASSWORD
                )


async def proven_credentials(
    database: Database,
    passwords: PasswordHasher,
    guesses: PasswordGuesses,
    user_id: UUID,
    password: str,
    asker: Asker,
) -> Credentials:
    """The credentials of who knows their password; UNAUTHENTICATED for who is gone."""
    async with database.transaction(SERVICE) as transaction:
        credentials = await operations.find_credentials_of(transaction, user_id)
        account = (credentials.email_key if credentials else None) or str(user_id)
        await guesses.begin(transaction, account, user_id, asker.network)
    if credentials is None:
        await refuse_gone(database, user_id)
    stored_hash = credentials.password_hash if credentials else None
    verified = await passwords.verify_any(stored_hash, rules.hashed_forms(password), asker)
    if credentials is None or not verified.ok:
        raise wrong_password("password")
    async with database.transaction(SERVICE) as transaction:
        await guesses.forget(transaction, account, asker.network)
    return credentials


async def refuse_gone(database: Database, user_id: UUID) -> None:
    """Raises UNAUTHENTICATED for a user who is no more, before anything counts as a guess."""
    async with database.transaction(SERVICE) as transaction:
        if not await operations.user_exists(transaction, user_id):
            raise unauthenticated("The account of this token is gone; sign in again.")


def ids_to_prove(actor: Actor) -> tuple[UUID, UUID]:
    """The same of a session that may be proven again; FORBIDDEN for another issuer's.

    What that has opened stays what it is: never an admin's, and of one factor.
    """
    if actor.is_foreign:
        raise DomainError(
            ErrorCode.FORBIDDEN,
            "This token is another service's, and what it opened stays as it is. Sign in here.",
        )
    return ids_of_session(actor)


def ids_of_session(actor: Actor) -> tuple[UUID, UUID]:
    """Whose session it is, and which; refused when the actor has none."""
    if actor.user_id is None or actor.session_id is None:
        raise sign_in_first()
    return actor.user_id, actor.session_id
