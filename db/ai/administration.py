"""What operators, as the owner, see of the budgets of language models and set."""

from __future__ import annotations

import asyncpg

from db.accounts.operating import as_owner
from db.ai.operations import SET_BUDGET, AiAllowance
from db.core.commands import call_on

_BUDGETS = "select * from ai_budgets order by feature, plan_id nulls first"
_PLAN = "select exists (select from plans where id = $1)"


class UnknownPlanError(Exception):
    """There is no plan of that name."""


async def read_budgets(owner_url: str) -> list[asyncpg.Record]:
    """Every budget, that of everybody before those of plans."""
    async with as_owner(owner_url) as connection:
        return list(await connection.fetch(_BUDGETS))


async def set_budget(owner_url: str, budget: AiAllowance) -> None:
    """Sets one, for the users of a plan or for everybody else; the next run meets it."""
    async with as_owner(owner_url) as connection:
        if budget.plan_id is not None and not await connection.fetchval(_PLAN, budget.plan_id):
            raise UnknownPlanError(budget.plan_id)
        await call_on(connection, SET_BUDGET(**budget.arguments()))
