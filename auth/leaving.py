"""Deleting one's own account: proven once more, scheduled, and signed out everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from auth.attempts import Attempts
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, Demands
from auth.passwords import PasswordHasher
from auth.services import AccountServices
from auth.sessions import Sessions
from auth.tokens import unauthenticated
from db.accounts import operations, rules
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, sign_in_first
from db.core.pool import Database
from db.leaving.operations import schedule_deletion
from settings import Settings


class Leaving:
    """The way out of an account for good."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHasher,
        attempts: Attempts,
        sessions: Sessions,
        demands: Demands,
        settings: Settings,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._demands = demands
        self._grace = timedelta(days=settings.account_deletion_days)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of one process."""
        return cls(
            services.database,
            services.passwords,
            services.attempts,
            services.sessions,
            Demands.of(services),
            services.settings,
        )

    async def delete_account(
        self, actor: Actor, password: str | None, *, network: str = ""
    ) -> datetime:
        """Has the actor's account deleted; returns when. All its sessions end now.

        With the password, or within minutes of signing in; and with the second factor, if there is
        one. A guest proves nothing, cannot sign in again, and is deleted at once.
        """
        if actor.user_id is None:
            raise sign_in_first()
        if password is None:
            await self._demands.meet(actor, FRESH_SIGN_IN | STRONG_SIGN_IN)
        else:
            await self._prove(actor.user_id, password, network)
            await self._demands.meet(actor, STRONG_SIGN_IN)
        grace = timedelta(0) if actor.is_anonymous else self._grace
        async with self._database.transaction(SERVICE) as transaction:
            scheduled = await schedule_deletion(transaction, actor.user_id, grace)
        self._sessions.ended(scheduled.ended_sessions)
        return scheduled.deletes_at

    async def _prove(self, user_id: UUID, password: str, network: str) -> None:
        password = rules.normalise_password(password)
        if not rules.is_hashable_password(password):
            raise _wrong_password()
        async with self._attempts.attempt(network, str(user_id)) as asker:
            async with self._database.transaction(SERVICE) as transaction:
                credentials = await operations.find_credentials_of(transaction, user_id)
                is_there = credentials or await operations.user_exists(transaction, user_id)
            if not is_there:
                raise unauthenticated("The account of this token is gone; sign in again.")
            stored_hash = credentials.password_hash if credentials else None
            verified = await self._passwords.verify(stored_hash, password, asker)
            if not verified.ok:
                raise _wrong_password()


def _wrong_password() -> DomainError:
    return DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The password is not right.", ("input", "password")
    )
