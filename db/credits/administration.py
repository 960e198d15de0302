"""What operators, as the owner, and admins see and do in the ledger; every change is audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from db.accounts.operating import as_owner, find_user
from db.core.commands import call_on
from db.core.retries import retried
from db.credits.operations import (
    GIVE_CREDITS,
    LOCK_WALLET,
    REFUND_CREDITS,
    TRANSFER_CREDITS,
)

_WALLET = """
select coalesce(u.email, 'user_' || u.id) as name, p.name as plan,
       p.max_daily_credits as daily_limit,
       coalesce(w.balance, 0) as balance, coalesce(w.held, 0) as held,
       coalesce(w.unlimited, false) as unlimited,
       case when w.daily_used_on = (now() at time zone 'UTC')::date then w.daily_used else 0 end
           as daily_used,
       w.plan_credits_due_at
from users u left join wallets w on w.user_id = u.id left join plans p on p.id = u.plan_id
where u.id = $1
"""
_GRANTS = """
select source, amount, remaining, expires_at, reference_id from credit_grants
where user_id = $1 and usable order by source = 'PURCHASE', expiry_rank, created_at, id
"""
_HOLDS = """
select amount, reference_id, unlimited, expires_at from credit_holds
where user_id = $1 and status = 'OPEN' order by created_at, id
"""
_MOVEMENTS = """
select id, created_at, type, amount, held_change, used, balance_after, reason, reference_id
from credit_transactions where user_id = $1 order by created_at desc, id desc limit $2
"""
_AUDIT = """
insert into audit_log (user_id, action, detail)
select $1::uuid, $2::text, $3::jsonb where not exists (
    select from audit_log
    where user_id = $1 and action = $2 and detail ->> 'transaction' = $3::jsonb ->> 'transaction')
"""
_SET_UNLIMITED = """
update wallets set unlimited = $2, updated_at = now()
where ($1::uuid is null or user_id = $1) and unlimited <> $2 returning user_id
"""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Who changes a wallet and why, as the audit log keeps it; the same key does it once."""

    by: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class WalletStatement:
    """A wallet as an operator reads it; grants in their order of use, movements newest first."""

    wallet: asyncpg.Record
    grants: list[asyncpg.Record]
    holds: list[asyncpg.Record]
    movements: list[asyncpg.Record]


async def read_statement(owner_url: str, who: str, movements: int) -> WalletStatement:
    """A user's wallet with what is in it and its last movements, read in one snapshot."""
    async with (
        as_owner(owner_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        user_id = await find_user(connection, who)
        return WalletStatement(
            await connection.fetchrow(_WALLET, user_id),
            await connection.fetch(_GRANTS, user_id),
            await connection.fetch(_HOLDS, user_id),
            await connection.fetch(_MOVEMENTS, user_id, movements),
        )


async def in_transaction[T](connection: asyncpg.Connection, work: Callable[[], Awaitable[T]]) -> T:
    """The work in a transaction of the owner's, again after a deadlock."""

    async def attempt() -> T:
        async with connection.transaction():
            return await work()

    return await retried(attempt)


async def _audit(
    connection: asyncpg.Connection,
    user_id: UUID,
    action: str,
    operator_action: OperatorAction,
    **detail: Any,
) -> None:
    """Notes a movement in the audit log, once however often it is repeated."""
    noted = {"by": operator_action.by, "reason": operator_action.reason, **detail}
    await connection.execute(_AUDIT, user_id, action, orjson.dumps(noted).decode())


async def give_credits(
    owner_url: str,
    who: str,
    amount: int,
    operator_action: OperatorAction,
    last_day: date | None = None,
) -> UUID:
    """Gives a user credits, until the end of a day (UTC) or for good; returns the transaction."""
    async with as_owner(owner_url) as connection:
        user_id = await find_user(connection, who)
        expires_at = end_of(last_day) if last_day else None

        async def work() -> UUID:
            wanted = GIVE_CREDITS(
                receiver_id=user_id,
                amount=amount,
                expires_at=expires_at,
                movement_reason=operator_action.reason,
                idempotency_key=operator_action.key,
                given_by=operator_action.by,
            )
            return await call_on(connection, wanted)

        return await in_transaction(connection, work)


def end_of(day: date) -> datetime:
    """When a day is over (UTC)."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


async def refund_spend(
    owner_url: str, spend_id: UUID, amount: int | None, operator_action: OperatorAction
) -> UUID:
    """Gives a spend's credits back, all that are left when no amount is given."""
    async with as_owner(owner_url) as connection:

        async def work() -> UUID:
            wanted = REFUND_CREDITS(
                spend_id=spend_id,
                amount=amount,
                refund_reason=operator_action.reason,
                idempotency_key=operator_action.key,
            )
            refund = await call_on(connection, wanted)
            user_id = await connection.fetchval(
                "select user_id from credit_transactions where id = $1", refund
            )
            await _audit(
                connection,
                user_id,
                "refund_credits",
                operator_action,
                spend=str(spend_id),
                transaction=str(refund),
            )
            return refund

        return await in_transaction(connection, work)


async def transfer_credits(
    owner_url: str,
    sender: str,
    receiver: str,
    amount: int,
    operator_action: OperatorAction,
) -> UUID:
    """Moves credits from one user to another; returns the sender's transaction."""
    async with as_owner(owner_url) as connection:
        sender_id = await find_user(connection, sender)
        receiver_id = await find_user(connection, receiver)

        async def work() -> UUID:
            wanted = TRANSFER_CREDITS(
                sender_id=sender_id,
                receiver_id=receiver_id,
                amount=amount,
                transfer_reason=operator_action.reason,
                idempotency_key=operator_action.key,
            )
            sent = await call_on(connection, wanted)
            await _audit(
                connection,
                sender_id,
                "transfer_credits",
                operator_action,
                amount=amount,
                receiver=str(receiver_id),
                transaction=str(sent),
            )
            return sent

        return await in_transaction(connection, work)


async def set_unlimited(
    owner_url: str, who: str | None, *, unlimited: bool, by: str, reason: str
) -> int:
    """Lets a user, or with no name everybody, spend without debit; returns how many changed."""
    async with as_owner(owner_url) as connection:
        user_id = await find_user(connection, who) if who is not None else None

        async def work() -> int:
            if user_id is not None:
                await call_on(connection, LOCK_WALLET(owner_id=user_id))
            changed = await connection.fetch(_SET_UNLIMITED, user_id, unlimited)
            detail = {"by": by, "reason": reason, "unlimited": unlimited}
            await connection.executemany(
                "insert into audit_log (user_id, action, detail) values ($1, 'set_unlimited', $2)",
                [(row["user_id"], orjson.dumps(detail).decode()) for row in changed],
            )
            return len(changed)

        return await in_transaction(connection, work)
