"""Verbs of the ledger that the server itself calls, each in its caller's transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from db.pool import Transaction

_EXPIRE_HOLDS = text("select app.expire_holds(:at_most)")
_EXPIRE_GRANTS = text("select app.expire_grants(:at_most)")
_PLAN_CREDITS_DUE = text("""
    select user_id from wallets where plan_credits_due_at <= now()
    order by plan_credits_due_at limit :at_most
""")
_GRANT_PLAN_CREDITS = text("select app.grant_plan_credits(:user_id)")


async def expire_holds(transaction: Transaction, at_most: int) -> int:
    """Releases holds whose time is over; returns how many."""
    expired: int = await transaction.fetch_value(_EXPIRE_HOLDS, at_most=at_most)
    return expired


async def expire_grants(transaction: Transaction, at_most: int) -> int:
    """Takes grants whose time is over out of their wallets; returns how many wallets."""
    wallets: int = await transaction.fetch_value(_EXPIRE_GRANTS, at_most=at_most)
    return wallets


async def plan_credits_due(transaction: Transaction, at_most: int) -> list[UUID]:
    """Users whose plan's month is over, those that wait longest first."""
    rows = await transaction.fetch_all(_PLAN_CREDITS_DUE, at_most=at_most)
    return [row["user_id"] for row in rows]


async def grant_plan_credits(transaction: Transaction, user_id: UUID) -> bool:
    """Gives the month's credits of a user's plan; false when none are due or the plan has none."""
    given: bool = await transaction.fetch_value(_GRANT_PLAN_CREDITS, user_id=user_id)
    return given
