"""What operators, as the owner, see of plans and give; every change is audited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import asyncpg

from db.accounts.operating import as_owner, find_user
from db.core.commands import call_on
from db.credits.administration import OperatorAction, end_of, in_transaction
from db.plans.operations import GIVE_PLAN

_PLAN = """
select coalesce(u.email, 'user_' || u.id) as name, p.name as plan, s.status,
       s.current_period_end, n.name as scheduled, s.grace_ends_at, w.plan_credits_due_at
from users u left join plans p on p.id = u.plan_id
left join plan_subscriptions s on s.user_id = u.id
left join plans n on n.id = s.scheduled_plan_id left join wallets w on w.user_id = u.id
where u.id = $1
"""
_PERIODS = """
select p.starts_at, p.ends_at, n.name as plan, p.kind, p.reference, p.revoked_at,
       (select coalesce(sum(c.amount), 0) from plan_credits c where c.period_id = p.id) as credits
from plan_periods p join plans n on n.id = p.plan_id
where p.user_id = $1 order by p.created_at desc, p.id desc
"""


@dataclass(frozen=True, slots=True)
class PlanStatement:
    """A user's plan as an operator reads it; periods newest first."""

    plan: asyncpg.Record
    periods: list[asyncpg.Record]


@asynccontextmanager
async def _user(owner_url: str, who: str) -> AsyncIterator[tuple[asyncpg.Connection, UUID]]:
    async with as_owner(owner_url) as connection:
        yield connection, await find_user(connection, who)


async def read_plan(owner_url: str, who: str) -> PlanStatement:
    """A user's plan and what was paid of it, read in one snapshot."""
    async with (
        _user(owner_url, who) as (connection, user_id),
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return PlanStatement(
            await connection.fetchrow(_PLAN, user_id), await connection.fetch(_PERIODS, user_id)
        )


async def give_plan(
    owner_url: str, who: str, plan_id: str, action: OperatorAction, last_day: date | None = None
) -> None:
    """Gives a user a plan, until the end of a day (UTC) or for good."""
    async with _user(owner_url, who) as (connection, user_id):
        wanted = GIVE_PLAN(
            owner_id=user_id,
            wanted_plan=plan_id,
            ends_at=end_of(last_day) if last_day else None,
            change_reason=action.reason,
            idempotency_key=action.key,
            given_by=action.by,
        )
        await in_transaction(connection, lambda: call_on(connection, wanted))
