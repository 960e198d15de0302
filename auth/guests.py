"""Merging a guest into the account of the member who holds the guest's refresh token."""

from __future__ import annotations

from datetime import timedelta
from typing import Self
from uuid import UUID

from auth.refresh_tokens import is_refresh_token, successor_of, token_hash
from auth.services import AccountServices
from auth.tokens import unauthenticated
from db.accounts.operations import record_audit
from db.accounts.rules import RefreshDecision
from db.accounts.sessions import end_family, present_refresh_token, revoke_user_sessions
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, bad_input
from db.core.pool import Transaction
from db.core.retries import retried
from db.guests import operations
from db.guests.operations import Merged

TOKEN_PATH = ("input", "anonymousRefreshToken")
# Of what becomes of a refresh token, that it gives nothing.
NO_TOKENS = (RefreshDecision.REFUSE, RefreshDecision.EXPIRED)
# What the merge of one transaction came to: it must commit what a replayed token ends.
Ended = list[UUID]


class Guests:
    """Makes what a guest has a member's."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._sessions = services.sessions
        self._refresh_key = services.settings.secret("refresh-token-key").encode()
        self._reuse_window = timedelta(seconds=services.settings.refresh_reuse_seconds)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services)

    async def merge(self, member: Actor, refresh_token: str) -> Merged:
        """Merges the guest whose refresh token this is; again, it answers what it did.

        Whoever holds the newest refresh token is the guest: nobody else is asked. It works as it
        would for `refreshSession`, and one that was used up ends its session here, too.
        """
        assert member.user_id is not None
        if member.is_anonymous:
            raise _members_only()
        merged, ended = await retried(lambda: self._merge(member.user_id, refresh_token))
        self._sessions.ended(ended)
        if merged is None:
            raise _token_refused()
        return merged

    async def _merge(
        self, member_id: UUID | None, refresh_token: str
    ) -> tuple[Merged | None, Ended]:
        assert member_id is not None
        async with self._database.transaction(SERVICE) as transaction:
            await _require_member(transaction, member_id)
            if not is_refresh_token(refresh_token):
                return None, []
            guest = await operations.find_token_owner(transaction, token_hash(refresh_token))
            if guest is None:
                return None, []
            if not guest.is_anonymous:
                raise bad_input("This is no guest's refresh token.", *TOKEN_PATH)
            if not await operations.lock_for_merge(transaction, guest.user_id, member_id):
                return None, []
            await _require_member(transaction, member_id)
            before = await operations.find_merge(transaction, guest.user_id)
            if before is not None:
                return (before if before.user_id == member_id else None), []
            return await self._merge_locked(transaction, guest.user_id, member_id, refresh_token)

    async def _merge_locked(
        self, transaction: Transaction, guest_id: UUID, member_id: UUID, refresh_token: str
    ) -> tuple[Merged | None, Ended]:
        successor = successor_of(refresh_token, self._refresh_key)
        token = await present_refresh_token(
            transaction,
            token_hash(refresh_token),
            token_hash(successor),
            self._sessions.life,
            self._reuse_window,
        )
        if token is None or token.decision in NO_TOKENS:
            return None, []
        if token.decision is RefreshDecision.END_FAMILY:
            await end_family(transaction, token)
            return None, [token.session_id]
        if not token.account.is_anonymous:
            return None, []  # signed up while this waited
        merged = await operations.merge_guest(transaction, guest_id, member_id)
        ended = await revoke_user_sessions(transaction, guest_id, "merged")
        await record_audit(transaction, guest_id, "merged", into=f"user_{member_id}")
        await record_audit(transaction, member_id, "merge_guest", guest=f"user_{guest_id}")
        return merged, ended


async def _require_member(transaction: Transaction, user_id: UUID) -> None:
    """Refuses an account that is locked or gone: its access tokens live on for seconds."""
    if not await operations.is_member(transaction, user_id):
        raise unauthenticated("The account of this token cannot be used now; sign in again.")


def _members_only() -> DomainError:
    return DomainError(
        ErrorCode.FORBIDDEN,
        "Guests are merged into the account of a member. Sign in first, and send that token.",
    )


def _token_refused() -> DomainError:
    return DomainError(
        ErrorCode.UNAUTHENTICATED,
        "The guest's refresh token is not valid any more; there is nothing to take over.",
        TOKEN_PATH,
    )
