"""What the server asks of imported users."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from db.accounts.bounds import end_oldest_sessions
from db.accounts.operations import record_audit
from db.core.pool import Transaction

# The same text as the index has.
_COST = text("""
    select max(substr(password_hash, 5, 2)) from credentials where password_hash like '$2%'
""")


async def find_imported_cost(transaction: Transaction) -> int | None:
    """The highest cost of the bcrypt hashes that nobody has replaced by signing in yet."""
    found: str | None = await transaction.fetch_value(_COST)
    return int(found) if found and found.isdigit() else None


# Of an account that is to be deleted, or was locked, there is none; one that was ended stays so.
_OPEN = text("""
    with account as (
        select u.id, u.is_anonymous from users u join imported_users i on i.user_id = u.id
        where u.id = :user_id and u.status = 'active'
          and not exists (select from account_deletions d where d.user_id = u.id)
        for share of u),
    opened as (
        insert into sessions as s (id, user_id, expires_at, address, user_agent, authenticated_at)
        select :session_id, a.id, :expires_at, :address, :user_agent, 'epoch' from account a
        on conflict (id) do update set last_used_at = clock_timestamp(),
            expires_at = greatest(s.expires_at, excluded.expires_at)
        where s.user_id = excluded.user_id and s.revoked_at is null
        returning s.user_id, s.xmax = 0 as is_new)
    select a.is_anonymous, o.is_new from account a join opened o on o.user_id = a.id
""")


async def open_foreign_session(
    transaction: Transaction,
    user_id: UUID,
    session_id: UUID,
    *,
    issuer: str,
    expires_at: datetime,
    address: str | None,
    user_agent: str | None,
) -> bool | None:
    """The session of an imported user that another issuer opened: whether they are a guest.

    None when there is no such user, they may not sign in, or the session was ended here.
    """
    row = await transaction.fetch_one(
        _OPEN,
        user_id=user_id,
        session_id=session_id,
        expires_at=expires_at,
        address=address,
        user_agent=user_agent,
    )
    if row is None:
        return None
    if row["is_new"]:
        await record_audit(transaction, user_id, "sign_in", provider=issuer)
        await end_oldest_sessions(transaction, user_id)
    is_anonymous: bool = row["is_anonymous"]
    return is_anonymous
