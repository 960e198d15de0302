"""Proving again by the password who one is, in the session that one has."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from auth.attempts import Attempts
from auth.passwords import PasswordHasher
from auth.services import AccountServices
from auth.sessions import Sessions
from auth.tokens import IssuedToken
from db.accounts import operations, rules
from db.accounts.assurance import SignInMethod
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, sign_in_first
from db.core.pool import Database


class Reauthentication:
    """Freshens sessions without ending them."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHasher,
        attempts: Attempts,
        sessions: Sessions,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of one process."""
        return cls(services.database, services.passwords, services.attempts, services.sessions)

    async def by_password(self, actor: Actor, password: str, *, network: str = "") -> IssuedToken:
        """A token of the actor's session, signed in just now with the password."""
        user_id, session_id = ids_of_session(actor)
        password = rules.normalise_password(password)
        if not rules.is_hashable_password(password):
            raise _wrong_password()
        async with self._attempts.attempt(network, str(user_id)) as asker:
            async with self._database.transaction(SERVICE) as transaction:
                credentials = await operations.find_credentials_of(transaction, user_id)
            stored_hash = credentials.password_hash if credentials else None
            verified = await self._passwords.verify(stored_hash, password, asker)
            if credentials is None or not verified.ok:
                raise _wrong_password()
            async with self._database.transaction(SERVICE) as transaction:
                account = await operations.lock_account_for_share(transaction, credentials)
                if account is None:
                    raise _wrong_password()
                return await self._sessions.prove_again(
                    transaction, account, session_id, SignInMethod.PASSWORD
                )


def ids_of_session(actor: Actor) -> tuple[UUID, UUID]:
    """Whose session it is, and which; refused when the actor has none."""
    if actor.user_id is None or actor.session_id is None:
        raise sign_in_first()
    return actor.user_id, actor.session_id


def _wrong_password() -> DomainError:
    return DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The password is not right.", ("input", "password")
    )
