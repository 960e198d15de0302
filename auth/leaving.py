"""Deleting one's own account: proven once more, scheduled, and signed out everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from auth.accounts import wrong_password
from auth.codes import CodeProof, Codes
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, Demands
from auth.services import AccountServices
from auth.tokens import unauthenticated
from db.accounts import operations, rules
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
        self._sessions = services.sessions
        self._demands = Demands.of(services)
        self._codes = Codes.of(services)
        self._grace = timedelta(days=services.settings.account_deletion_days)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services)

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
            async with self._database.transaction(SERVICE) as transaction:
                credentials = await operations.find_credentials_of(transaction, user_id)
                is_there = credentials or await operations.user_exists(transaction, user_id)
            if not is_there:
                raise unauthenticated("The account of this token is gone; sign in again.")
            if password is None:
                return await self._codes.prove(
                    CodePurpose.SIGN_IN, code or "", network, user_id=user_id
                )
            stored_hash = credentials.password_hash if credentials else None
            forms = rules.hashed_forms(password)
            if not (await self._passwords.verify_any(stored_hash, forms, asker)).ok:
                raise wrong_password("password")
            return None
