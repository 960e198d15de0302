"""Commands on refunds that admins ask providers for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.core.actor import Actor
from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database

_REQUEST = SqlFunction[Any](
    "app.request_refund",
    "record(request_id uuid, status text, provider text, payment_id text, paid_cents integer,"
    " currency text, amount_cents integer, refunded_before_cents integer,"
    " paid_at timestamp with time zone, names text[])",
    wanted="uuid",
    cents="integer",
    why="text",
    key="text",
)
_END = SqlFunction[None]("app.end_refund", "void", wanted="uuid", is_made="boolean")


@dataclass(frozen=True, slots=True)
class RequestedRefund:
    """A refund that was asked for, and the payment that it is of; `names` are the order's there."""

    request_id: UUID
    status: str
    provider: str
    payment_id: str
    paid_cents: int
    currency: str
    amount_cents: int
    refunded_before_cents: int
    paid_at: datetime
    names: list[str]


async def request_refund(
    database: Database,
    admin: Actor,
    *,
    order_id: UUID,
    amount_cents: int | None,
    reason: str,
    idempotency_key: str,
) -> RequestedRefund:
    """Notes that an admin wants a refund, or finds the one that the key has asked for."""
    wanted = _REQUEST(wanted=order_id, cents=amount_cents, why=reason, key=idempotency_key)
    async with database.transaction(admin) as transaction:
        row = await transaction.connection.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return RequestedRefund(**row)


async def end_refund(database: Database, request_id: UUID, *, is_made: bool) -> None:
    """Notes what came of it."""
    await call_as_service(database, _END(wanted=request_id, is_made=is_made))
