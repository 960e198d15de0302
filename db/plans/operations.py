"""Commands on plans: what users and admins change, and what the clock does."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from db.core.commands import FunctionCall, SqlFunction, call
from db.core.errors import Problems
from db.core.pool import Transaction
from db.credits.operations import Sweep
from db.credits.rules import problems_of_key, problems_of_reason

_CHANGE_PLAN = SqlFunction[UUID]("app.change_plan", "uuid", wanted="text").noting_place()
_CANCEL_PLAN = SqlFunction[UUID]("app.cancel_plan", "uuid").noting_place()
_GIVE_PLAN_AS_ADMIN = SqlFunction[UUID](
    "app.give_plan_as_admin",
    "uuid",
    owner_id="uuid",
    wanted_plan="text",
    ends_at="timestamptz",
    change_reason="text",
    idempotency_key="text",
).noting_place()
GIVE_PLAN = SqlFunction[UUID](
    "app.give_plan",
    "uuid",
    owner_id="uuid",
    wanted_plan="text",
    ends_at="timestamptz",
    change_reason="text",
    idempotency_key="text",
    given_by="text",
)
_SETTLE_PLAN = SqlFunction[bool]("app.settle_plan", "boolean", owner_id="uuid", grace="interval")
_REMIND_OF_PLAN = SqlFunction[bool](
    "app.remind_of_plan", "boolean", owner_id="uuid", ahead="interval"
)

_PLANS_DUE = text("""
    select user_id from plan_subscriptions
    where status <> 'ENDED' and coalesce(grace_ends_at, current_period_end) <= now()
        and user_id > :after
    order by user_id limit :at_most
""")
_REMINDERS_DUE = text("""
    select user_id from plan_subscriptions
    where status = 'ACTIVE' and coalesce(grace_ends_at, current_period_end)
        between now() and now() + cast(:ahead as interval)
        and reminded_of is distinct from current_period_end and user_id > :after
    order by user_id limit :at_most
""")


def change_plan(plan_id: str) -> FunctionCall[UUID]:
    """Sets which plan the caller is to have; gives the caller."""
    return _CHANGE_PLAN(wanted=plan_id)


def cancel_plan() -> FunctionCall[UUID]:
    """Has the caller's subscription end with its period; gives the caller."""
    return _CANCEL_PLAN()


def give_plan_as_admin(
    problems: Problems,
    *,
    user_id: UUID,
    plan_id: str,
    ends_at: datetime | None,
    reason: str,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Gives a user a plan on behalf of an admin; gives the user.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_reason(reason))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _GIVE_PLAN_AS_ADMIN(
        owner_id=user_id,
        wanted_plan=plan_id,
        ends_at=ends_at,
        change_reason=reason,
        idempotency_key=idempotency_key,
    )


def due_plans(grace: timedelta) -> Sweep:
    """The subscriptions whose period or grace is over, and what follows."""

    async def settle(user_id: UUID, transaction: Transaction) -> int:
        has_settled = await call(transaction, _SETTLE_PLAN(owner_id=user_id, grace=grace))
        return int(has_settled)

    return Sweep(_PLANS_DUE, settle)


def due_reminders(ahead: timedelta) -> Sweep:
    """The subscriptions that end soon, and how their users are told."""

    async def remind(user_id: UUID, transaction: Transaction) -> int:
        was_told = await call(transaction, _REMIND_OF_PLAN(owner_id=user_id, ahead=ahead))
        return int(was_told)

    return Sweep(_REMINDERS_DUE.bindparams(ahead=ahead), remind)
