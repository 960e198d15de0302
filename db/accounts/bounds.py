"""How many sessions one user may have open, and how many refresh tokens one session keeps."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from db.core.pool import Transaction

SESSIONS_PER_USER = 100
# About ten days of refreshing every quarter of an hour. An older token is refused like any unknown
# one; to end its session, the theft must be noticed by a newer one.
TOKENS_PER_SESSION = 1_000

# Of two who sign in at once, the second waits for a row and sees then that the first has ended it.
_END_OLDEST = text("""
    update sessions set revoked_at = clock_timestamp(), revoked_reason = 'too_many_sessions'
    where revoked_at is null and id in (
        select id from sessions
        where user_id = :user_id and revoked_at is null and expires_at > now()
        order by last_used_at desc, id desc offset :kept)
""")
_FORGET_OLDEST = text("""
    delete from refresh_tokens where token_hash in (
        select token_hash from refresh_tokens where session_id = :session_id
        order by created_at desc, used_at desc nulls first offset :kept)
""")


async def end_oldest_sessions(transaction: Transaction, user_id: UUID) -> None:
    """Ends the sessions of a user that were used longest ago, when there are too many."""
    await transaction.execute(_END_OLDEST, user_id=user_id, kept=SESSIONS_PER_USER)


async def forget_oldest_tokens(transaction: Transaction, session_id: UUID) -> None:
    """Forgets the tokens of a session that were used up longest ago, when there are too many."""
    await transaction.execute(_FORGET_OLDEST, session_id=session_id, kept=TOKENS_PER_SESSION)
