"""Verbs of the ledger that the server itself calls."""

from __future__ import annotations

from sqlalchemy import text

from db.pool import Transaction

_EXPIRE_HOLDS = text("select app.expire_holds(:at_most)")


async def expire_holds(transaction: Transaction, at_most: int) -> int:
    """Releases holds whose time is over; returns how many."""
    expired: int = await transaction.fetch_value(_EXPIRE_HOLDS, at_most=at_most)
    return expired
