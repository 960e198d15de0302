"""Budgets: how often an address or a device may do what is expensive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from db.accounts.operations import BUDGET_WAIT, TAKE_FROM_BUDGET
from db.core.commands import SqlFunction, call
from db.core.pool import Transaction


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many uses within a span of time, for each holder."""

    kind: str
    most: int
    span: timedelta = timedelta(hours=1)


async def take(transaction: Transaction, budget: Budget, holder_hash: bytes) -> int | None:
    """Uses a budget once; how many seconds to wait when nothing is left of it."""
    return await _seconds(transaction, TAKE_FROM_BUDGET, budget, holder_hash)


async def look(transaction: Transaction, budget: Budget, holder_hash: bytes) -> int | None:
    """The same answer, nothing used."""
    return await _seconds(transaction, BUDGET_WAIT, budget, holder_hash)


async def _seconds(
    transaction: Transaction,
    function: SqlFunction[float | None],
    budget: Budget,
    holder_hash: bytes,
) -> int | None:
    wanted = function(
        budget_kind=budget.kind, budget_holder=holder_hash, most=budget.most, span=budget.span
    )
    wait = await call(transaction, wanted)
    return None if wait is None else max(1, math.ceil(wait))
