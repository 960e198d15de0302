"""Budgets: how often an address or a device may do what is expensive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import TextClause, text

from db.core.pool import Transaction

_TAKE = text("select app.take_from_budget(:kind, :holder_hash, :most, :span)")
_LOOK = text("select app.budget_wait(:kind, :holder_hash, :most, :span)")


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many uses within a span of time, for each holder."""

    kind: str
    most: int
    span: timedelta = timedelta(hours=1)


async def take(transaction: Transaction, budget: Budget, holder_hash: bytes) -> int | None:
    """Uses a budget once; how many seconds to wait when nothing is left of it."""
    return await _seconds(transaction, _TAKE, budget, holder_hash)


async def look(transaction: Transaction, budget: Budget, holder_hash: bytes) -> int | None:
    """The same answer, nothing used."""
    return await _seconds(transaction, _LOOK, budget, holder_hash)


async def _seconds(
    transaction: Transaction, statement: TextClause, budget: Budget, holder_hash: bytes
) -> int | None:
    wait: float | None = await transaction.fetch_value(
        statement,
        kind=budget.kind,
        holder_hash=holder_hash,
        most=budget.most,
        span=budget.span,
    )
    return None if wait is None else max(1, math.ceil(wait))
