"""Commands on wallets: what their users and admins do, and what the clock does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from db.core.commands import FunctionCall, SqlFunction, call, call_as_service
from db.core.errors import Problems, refuse_any
from db.core.pool import Database, Transaction
from db.credits.rules import problems_of_grant, problems_of_movement

CREDIT_USAGE = SqlFunction[Any](
    "app.credit_usage",
    "table(day timestamp with time zone, tool_id text, tool_slug text, used integer,"
    " refunded integer, movements integer)",
    actor_id="uuid",
    summed_by="text",
    from_at="timestamptz",
    to_at="timestamptz",
)
LEDGER_DISCREPANCIES = SqlFunction[Any](
    "app.ledger_discrepancies", "table(user_id uuid, discrepancy text)", wallet_ids="uuid[]"
)
LOCK_WALLET = SqlFunction[Any]("app.lock_wallet", "wallets", owner_id="uuid")
GIVE_CREDITS = SqlFunction[UUID](
    "app.give_credits",
    "uuid",
    receiver_id="uuid",
    amount="integer",
    expires_at="timestamptz",
    movement_reason="text",
    idempotency_key="text",
    given_by="text",
)
REFUND_CREDITS = SqlFunction[UUID](
    "app.refund_credits",
    "uuid",
    spend_id="uuid",
    amount="integer",
    refund_reason="text",
    idempotency_key="text",
)
TRANSFER_CREDITS = SqlFunction[UUID](
    "app.transfer_credits",
    "uuid",
    sender_id="uuid",
    receiver_id="uuid",
    amount="integer",
    transfer_reason="text",
    idempotency_key="text",
)
_SPEND_CREDITS = SqlFunction[UUID](
    "app.spend_credits",
    "uuid",
    amount="integer",
    reason="text",
    reference_id="text",
    idempotency_key="text",
)
_GIVE_CREDITS_AS_ADMIN = SqlFunction[UUID](
    "app.give_credits_as_admin",
    "uuid",
    receiver_id="uuid",
    amount="integer",
    expires_at="timestamptz",
    movement_reason="text",
    idempotency_key="text",
).noting_place()
_EXPIRE_HOLDS = SqlFunction[int]("app.expire_holds", "integer", owner_id="uuid")
_PAY_DEBT = SqlFunction[int]("app.pay_debt", "integer", owner_id="uuid")
_GRANT_PLAN_CREDITS = SqlFunction[bool]("app.grant_plan_credits", "boolean", owner_id="uuid")
_SET_LOW_BALANCE = SqlFunction[None]("app.set_low_balance", "void", credits="integer")

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
_DEBTS_DUE = text("""
    select user_id from wallets
    where debt > 0 and balance > held and closed_at is null and user_id > :after
    order by user_id limit :at_most
""")
_PLAN_CREDITS_DUE = text("""
    select w.user_id from wallets w
    where w.plan_credits_due_at <= now() and w.user_id > :after and not exists (
        select from plan_subscriptions s where s.user_id = w.user_id and s.status <> 'ENDED'
        and s.current_period_end <= now())
    order by w.user_id limit :at_most
""")


def spend_credits(
    *, amount: int, reason: str | None, reference_id: str | None, idempotency_key: str
) -> FunctionCall[UUID]:
    """Spends credits of the actor's at once; gives the movement."""
    refuse_any(
        problems_of_movement(amount, idempotency_key, reason=reason, referenceId=reference_id)
    )
    return _SPEND_CREDITS(
        amount=amount, reason=reason, reference_id=reference_id, idempotency_key=idempotency_key
    )


def give_credits_as_admin(
    problems: Problems,
    *,
    receiver_id: UUID,
    amount: int,
    expires_at: datetime | None,
    reason: str,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Gives a user credits on behalf of an admin; gives the movement.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_grant(amount, reason, idempotency_key))
    problems.refuse()
    return _GIVE_CREDITS_AS_ADMIN(
        receiver_id=receiver_id,
        amount=amount,
        expires_at=expires_at,
        movement_reason=reason,
        idempotency_key=idempotency_key,
    )


async def expire_holds(user_id: UUID, transaction: Transaction) -> int:
    """Releases a user's holds whose time is over; returns how many."""
    return await call(transaction, _EXPIRE_HOLDS(owner_id=user_id))


async def expire_grants(user_id: UUID, transaction: Transaction) -> int:
    """Takes a user's grants whose time is over out of the wallet, as every lock of it does."""
    await call(transaction, LOCK_WALLET(owner_id=user_id))
    return 1


async def grant_plan_credits(user_id: UUID, transaction: Transaction) -> int:
    """Gives the month's credits of a user's plan; 0 when none are due or the plan has none."""
    given = await call(transaction, _GRANT_PLAN_CREDITS(owner_id=user_id))
    return int(given)


async def set_low_balance(database: Database, credits: int) -> None:
    """Sets at how many credits users are told that they run low; 0: never."""
    await call_as_service(database, _SET_LOW_BALANCE(credits=credits))


async def pay_debt(user_id: UUID, transaction: Transaction) -> int:
    """Pays what a user owes with what they have; 0 when that is nothing."""
    paid = await call(transaction, _PAY_DEBT(owner_id=user_id))
    return int(paid > 0)


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
DEBTS = Sweep(_DEBTS_DUE, pay_debt)
PLANS_MONTHS = Sweep(_PLAN_CREDITS_DUE, grant_plan_credits)
