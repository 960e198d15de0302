"""Plans as the service and their users change them, with a clock that tests move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.plans.operations import due_plans

GRACE = timedelta(days=7)
START = text("select app.start_plan(:user, :plan, :until, :reference, :months)")
END = text("select app.end_plan(:user, :reference)")
CHANGE = text("select app.change_plan(:plan)")
CANCEL = text("select app.cancel_plan()")
MONTH = text("select app.grant_plan_credits(:user)")
SETTLE = text("select app.settle_plan(:user, :grace)")
BALANCE = text("select balance from app.lock_wallet(:user)")
REMIND = text("select app.remind_of_plan(:user, :ahead)")
# Another plan between `free` and `pro`, and the bonus of signing up, which is none here.
BASIC = """
insert into plans (id, name, monthly_credits, max_daily_credits, price_cents)
values ('basic', 'Basic', 40, 40, 400) on conflict do nothing
"""
MOVE_BACK = (
    "update wallets set plan_credits_due_at = plan_credits_due_at - $2::interval,"
    " plan_credits_anchor_at = plan_credits_anchor_at - $2::interval where user_id = $1",
    "update credit_grants set expires_at = expires_at - $2::interval,"
    " created_at = created_at - $2::interval where user_id = $1",
    "update plan_periods set starts_at = starts_at - $2::interval, ends_at = ends_at - $2::interval,"
    " created_at = created_at - $2::interval where user_id = $1",
    "update plan_credits set month_starts_at = month_starts_at - $2::interval"
    " where period_id in (select id from plan_periods where user_id = $1)",
    "update plan_subscriptions set started_at = started_at - $2::interval,"
    " current_period_start = current_period_start - $2::interval,"
    " current_period_end = current_period_end - $2::interval,"
    " grace_ends_at = grace_ends_at - $2::interval, reminded_of = reminded_of - $2::interval,"
    " ended_at = ended_at - $2::interval where user_id = $1",
    "update notifications set created_at = created_at - $2::interval where user_id = $1",
)


@dataclass(frozen=True)
class Plans:
    """The functions under their lawful actors; `owner` reads what they wrote."""

    database: Database
    owner: asyncpg.Connection

    async def _call(self, actor: Actor, statement: Any, **parameters: Any) -> Any:
        async with self.database.transaction(actor) as transaction:
            return await transaction.fetch_value(statement, **parameters)

    async def start(
        self,
        actor: Actor,
        plan: str = "pro",
        until: datetime | None = None,
        reference: str = "",
        months: int = 1,
    ) -> UUID:
        """A payment for a plan; gives its period."""
        period: UUID = await self._call(
            SERVICE,
            START,
            user=actor.user_id,
            plan=plan,
            until=until,
            reference=reference or str(uuid4()),
            months=months,
        )
        return period

    async def end(self, actor: Actor, reference: str | None) -> int | None:
        """A payment is refunded; gives how many of its credits are used up."""
        used: int | None = await self._call(SERVICE, END, user=actor.user_id, reference=reference)
        return used

    async def change(self, actor: Actor, plan: str) -> None:
        """The user chooses a plan."""
        await self._call(actor, CHANGE, plan=plan)

    async def cancel(self, actor: Actor) -> None:
        """The user cancels."""
        await self._call(actor, CANCEL)

    async def settle(self, actor: Actor, grace: timedelta = GRACE) -> bool:
        """What the clock does every minute."""
        return bool(await self._call(SERVICE, SETTLE, user=actor.user_id, grace=grace))

    async def month(self, actor: Actor) -> bool:
        """What the clock does for credits that are due."""
        return bool(await self._call(SERVICE, MONTH, user=actor.user_id))

    async def remind(self, actor: Actor, ahead: timedelta) -> bool:
        """What the clock does before an end."""
        return bool(await self._call(SERVICE, REMIND, user=actor.user_id, ahead=ahead))

    async def due(self) -> list[UUID]:
        """Who is due to be settled."""
        async with self.database.transaction(SERVICE) as transaction:
            return await due_plans(GRACE).next_users(UUID(int=0), 1000, transaction)

    async def pass_time(self, actor: Actor, **units: float) -> None:
        """Lets everything of the user's have happened so much earlier."""
        for statement in MOVE_BACK:
            await self.owner.execute(statement, actor.user_id, timedelta(**units))

    async def pass_period(self, actor: Actor, **more: float) -> None:
        """Lets the current period be over, by so much."""
        left = await self.owner.fetchval(
            "select current_period_end - now() from plan_subscriptions where user_id = $1",
            actor.user_id,
        )
        await self.pass_time(
            actor, seconds=(left + timedelta(**(more or {"seconds": 1}))).total_seconds()
        )

    async def subscription(self, actor: Actor) -> asyncpg.Record:
        """The user's row."""
        return await self.owner.fetchrow(
            "select s.*, u.plan_id as of_user, w.plan_credits_due_at as due_at from plan_subscriptions s"
            " join users u on u.id = s.user_id join wallets w on w.user_id = s.user_id"
            " where s.user_id = $1",
            actor.user_id,
        )

    async def state(self, actor: Actor) -> tuple[str, str, str | None]:
        """Status, the user's plan and the scheduled one."""
        row = await self.subscription(actor)
        assert row["status"] == "ENDED" or row["plan_id"] == row["of_user"]
        return row["status"], row["of_user"], row["scheduled_plan_id"]

    async def given(self, actor: Actor) -> list[tuple[str, int]]:
        """The plans' credits that were ever given, in order: of which plan, how many."""
        rows = await self.owner.fetch(
            "select reference_id, amount from credit_transactions"
            " where user_id = $1 and type = 'PLAN' order by created_at, id",
            actor.user_id,
        )
        return [(row["reference_id"], row["amount"]) for row in rows]

    async def balance(self, actor: Actor) -> int:
        """What is in the wallet, once expired grants are out of it."""
        return int(await self._call(SERVICE, BALANCE, user=actor.user_id))

    async def told(self, actor: Actor) -> list[str]:
        """What the user was notified of, in order."""
        rows = await self.owner.fetch(
            "select title_key from notifications where user_id = $1 order by created_at, id",
            actor.user_id,
        )
        return [row["title_key"].split(".")[1] for row in rows]
