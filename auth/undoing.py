"""Taking back, by what a mail told, what somebody did to the ways into an account."""

from __future__ import annotations

from typing import Self

from auth.codes import Codes, code_invalid
from auth.limited_attempts import notes_limits
from auth.services import AccountServices
from db.audit.operations import record_audit
from db.codes.operations import CodePurpose
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode
from db.emails.operations import queue_email
from db.undoing import operations
from db.undoing.operations import UndoneEmailChange, UndoneFactor


class Undoing:
    """What one process takes back. Nobody is signed in by it."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._attempts = services.attempts
        self._failures = services.failures
        self._sessions = services.sessions
        self._codes = Codes(services)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services)

    @notes_limits("code")
    async def undo_email_change(self, code: str, *, network: str = "") -> UndoneEmailChange:
        """Gives an account its old address back, for who reads what is mailed there.

        All sessions end, and the password with them.
        """
        async with self._attempts.attempt(network, ""):
            proof = await self._codes.prove(CodePurpose.UNDO_EMAIL_CHANGE, code, network)
            async with self._database.transaction(SERVICE) as transaction:
                undone = await operations.undo_email_change(transaction, proof.code_ids[0])
                if undone is None:
                    raise code_invalid(CodePurpose.UNDO_EMAIL_CHANGE)
                await record_audit(transaction, undone.user_id, "email_change_undone")
                await queue_email(
                    transaction,
                    template="email_changed",
                    recipient=undone.replaced,
                    user_id=undone.user_id,
                )
        self._sessions.ended(undone.ended_sessions)
        return undone

    @notes_limits("code")
    async def undo_added_factor(self, code: str, *, network: str = "") -> UndoneFactor:
        """Removes from an account what was added to sign in with, and whoever added it.

        All sessions end, and the password with them.
        """
        purpose = CodePurpose.UNDO_ADDED_FACTOR
        async with self._attempts.attempt(network, ""):
            proof = await self._codes.prove(purpose, code, network)
            async with self._database.transaction(SERVICE) as transaction:
                undone = await operations.undo_added_factor(transaction, proof.code_ids[0])
                if undone is None:
                    raise code_invalid(purpose)
                if undone.has_another_address:
                    raise _another_address()
                await record_audit(transaction, undone.user_id, "added_factor_undone")
        self._sessions.ended(undone.ended_sessions)
        return undone


def _another_address() -> DomainError:
    return DomainError(
        ErrorCode.CODE_INVALID,
        "The account has another e-mail address since. Take that back first, with the code of the "
        "mail that told of it.",
        ("input", "code"),
    )
