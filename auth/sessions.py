"""Sessions: every way into an account opens one here, and receives its tokens from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from auth.refresh_tokens import new_refresh_token, token_hash
from auth.tokens import AccessTokens
from db.accounts import operations, rules
from db.accounts.operations import Account
from db.core.actor import Actor
from db.core.pool import Transaction
from db.leaving.operations import cancel_deletion
from settings import Settings


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that is written but not yet told to anybody; its tokens are secret."""

    session_id: UUID
    refresh_token: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as its owner receives it; `expires_at` is the access token's.

    `bonus_credits` is what the account was opened with; null when it was there before.
    """

    user_id: UUID
    session_id: UUID
    access_token: str
    refresh_token: str
    expires_at: datetime
    actor: Actor
    bonus_credits: int | None = None


class Sessions:
    """Opens sessions, tells their owners of them, and ends them."""

    def __init__(self, tokens: AccessTokens, settings: Settings) -> None:
        self._tokens = tokens
        self.life = timedelta(days=settings.refresh_token_days)

    async def open(
        self,
        transaction: Transaction,
        account: Account,
        *,
        user_agent: str | None = None,
    ) -> OpenedSession:
        """A session for an account that has just been proven to be the asker's.

        Part of the caller's transaction: only when that has committed may the tokens be told. It
        keeps an account that was to be deleted.
        """
        await cancel_deletion(transaction, account.user_id)
        refresh_token = new_refresh_token()
        session_id = await operations.open_session(
            transaction,
            account.user_id,
            token_hash(refresh_token),
            session_life=self.life,
            user_agent=rules.clean_user_agent(user_agent),
        )
        return OpenedSession(session_id, refresh_token)

    def signed_in(
        self, account: Account, opened: OpenedSession, bonus_credits: int | None = None
    ) -> SignedIn:
        """The session's tokens, once it is committed."""
        issued = self._tokens.issue(
            account.user_id,
            opened.session_id,
            is_anonymous=account.is_anonymous,
            is_admin=account.is_admin,
        )
        actor = Actor(
            "authenticated",
            user_id=account.user_id,
            session_id=opened.session_id,
            is_anonymous=account.is_anonymous,
            is_admin=account.is_admin,
            expires_at=int(issued.expires_at.timestamp()),
        )
        return SignedIn(
            account.user_id,
            opened.session_id,
            issued.token,
            opened.refresh_token,
            issued.expires_at,
            actor,
            bonus_credits,
        )

    def ended(self, session_ids: Iterable[UUID]) -> None:
        """Refuses the tokens of sessions whose end is committed; other processes learn of it."""
        for session_id in session_ids:
            self._tokens.revoke_session(session_id)
