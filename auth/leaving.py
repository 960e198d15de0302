"""Deleting one's own account: proven once more, scheduled, and signed out everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from auth.codes import CodeProof, Codes
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, Demands
from auth.limited_attempts import notes_limits
from auth.password_guesses import PasswordGuesses
from auth.reauthentication import proven_credentials, refuse_gone
from auth.services import AccountServices
from db.codes.operations import CodePurpose
from db.core.actor import SERVICE, Actor
from db.core.errors import bad_input, sign_in_first
from db.leaving.operations import schedule_deletion


class Leaving:
    """The way out of an account for good, of one process."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._passwords = services.passwords
        self._attempts = services.attempts
        self._failures = services.failures
        self._sessions = services.sessions
        self._demands = Demands.of(services)
        self._codes = Codes.of(services)
        self._guesses = services.of(PasswordGuesses.of)
        self._grace = timedelta(days=services.settings.account_deletion_days)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services)

    @notes_limits("delete_account")
    async def delete_account(
        self, actor: Actor, *, password: str | None, code: str | None, network: str = ""
    ) -> datetime:
        """Has the actor's account deleted; returns when. All its sessions end now.

        With the password or a code for signing in, or within minutes of signing in; and with the
        second factor, if there is one. A guest proves nothing, cannot sign in again, and is deleted
        at once.
        """
        if actor.user_id is None:
            raise sign_in_first()
        if password is not None and code is not None:
            raise bad_input("Send either the password or a code.", "input")
        proof: CodeProof | None = None
        if password is None and code is None:
            await self._demands.meet(actor, FRESH_SIGN_IN | STRONG_SIGN_IN)
        else:
            proof = await self._prove(actor.user_id, password, code, network)
            await self._demands.meet(actor, STRONG_SIGN_IN)
        grace = timedelta(0) if actor.is_anonymous else self._grace
        async with self._database.transaction(SERVICE) as transaction:
            if proof is not None:
                await proof.use(transaction)
            scheduled = await schedule_deletion(transaction, actor.user_id, grace)
        self._sessions.ended(scheduled.ended_sessions)
        return scheduled.deletes_at

    async def _prove(
        self, user_id: UUID, password: str | None, code: str | None, network: str
    ) -> CodeProof | None:
        async with self._attempts.attempt(network, str(user_id)) as asker:
            if password is None:
                await refuse_gone(self._database, user_id)
                return await self._codes.prove(
                    CodePurpose.SIGN_IN, code or "", network, user_id=user_id
                )
            await proven_credentials(
                self._database, self._passwords, self._guesses, user_id, password, asker
            )
            return None
