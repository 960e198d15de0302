"""What the clock does to wallets: which are due, and the function for each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import TextClause, text

from db.core.pool import Transaction

_HOLDS_DUE = text("""
    select distinct user_id from credit_holds
    where status = 'OPEN' and expires_at <= now() and user_id > :after
    order by user_id limit :at_most
""")
_GRANTS_DUE = text("""
    select distinct user_id from credit_grants
    where usable and expires_at is not null and expires_at <= now() and user_id > :after
    order by user_id limit :at_most
""")
_PLAN_CREDITS_DUE = text("""
    select user_id from wallets where plan_credits_due_at <= now() and user_id > :after
    order by user_id limit :at_most
""")
_EXPIRE_HOLDS = text("select app.expire_holds(:user_id)")
_LOCK_WALLET = text("select from app.lock_wallet(:user_id)")
_GRANT_PLAN_CREDITS = text("select app.grant_plan_credits(:user_id)")


async def expire_holds(user_id: UUID, transaction: Transaction) -> int:
    """Releases a user's holds whose time is over; returns how many."""
    expired: int = await transaction.fetch_value(_EXPIRE_HOLDS, user_id=user_id)
    return expired


async def expire_grants(user_id: UUID, transaction: Transaction) -> int:
    """Takes a user's grants whose time is over out of the wallet, as every lock of it does."""
    await transaction.execute(_LOCK_WALLET, user_id=user_id)
    return 1


async def grant_plan_credits(user_id: UUID, transaction: Transaction) -> int:
    """Gives the month's credits of a user's plan; 0 when none are due or the plan has none."""
    given: bool = await transaction.fetch_value(_GRANT_PLAN_CREDITS, user_id=user_id)
    return int(given)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Wallets for which something is due, and what is done to each; it returns how often."""

    due: TextClause
    settle: Callable[[UUID, Transaction], Awaitable[int]]

    async def next_users(self, after: UUID, at_most: int, transaction: Transaction) -> list[UUID]:
        """The next users whose wallets are due, in the order of their ids."""
        rows = await transaction.fetch_all(self.due, after=after, at_most=at_most)
        return [row["user_id"] for row in rows]


OVERDUE_HOLDS = Sweep(_HOLDS_DUE, expire_holds)
EXPIRED_GRANTS = Sweep(_GRANTS_DUE, expire_grants)
PLANS_MONTHS = Sweep(_PLAN_CREDITS_DUE, grant_plan_credits)
