"""What an operator sees of payments and webhooks and does to them, as the database's owner."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from db.accounts.operating import as_owner, find_user
from db.core.commands import call_on
from db.webhooks.operations import REPLAY_WEBHOOK

_LIST = """
select id, received_at, provider, kind, status, verified, reason, deliveries, order_id
from webhook_events
where ($1::text is null or status = $1) and ($2::text is null or provider = $2)
order by received_at desc, id desc limit $3
"""
_WEBHOOK = """
select id, received_at, processed_at, provider, event_id, kind, status, verified, reason, detail,
       deliveries, attempts, order_id, waits_for, headers, query, body
from webhook_events where id = $1
"""
_PAYMENTS = """
select p.created_at, p.provider, p.provider_payment_id, p.order_id, p.amount_cents, p.currency,
       p.status, p.refunded_cents, p.reason
from payments p where p.user_id = $1 order by p.created_at desc, p.id desc limit $2
"""
_ORDERS = """
select o.id, o.created_at, o.product_id, o.provider, o.amount_cents, o.currency, o.status,
       o.refunded_cents, o.credits, o.credits_taken_back, o.paid_at
from orders o where o.user_id = $1 order by o.created_at desc, o.id desc limit $2
"""


@dataclass(frozen=True, slots=True)
class PaymentsOverview:
    """A user's orders and payments, newest first."""

    orders: list[asyncpg.Record]
    payments: list[asyncpg.Record]


async def list_webhooks(
    owner_url: str, status: str | None, provider: str | None, limit: int
) -> list[asyncpg.Record]:
    """What providers delivered, newest first."""
    async with as_owner(owner_url) as connection:
        found: list[asyncpg.Record] = await connection.fetch(_LIST, status, provider, limit)
        return found


async def read_webhook(owner_url: str, webhook_id: UUID) -> asyncpg.Record | None:
    """One delivery as it came."""
    async with as_owner(owner_url) as connection:
        return await connection.fetchrow(_WEBHOOK, webhook_id)


async def replay_webhook(owner_url: str, webhook_id: UUID) -> bool:
    """Has a delivery processed again; False when there is none, or it is done."""
    async with as_owner(owner_url) as connection:
        return await call_on(connection, REPLAY_WEBHOOK(wanted=webhook_id))


async def read_payments(owner_url: str, who: str, limit: int) -> PaymentsOverview:
    """A user's orders and payments, read in one snapshot."""
    async with (
        as_owner(owner_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        user_id = await find_user(connection, who)
        return PaymentsOverview(
            await connection.fetch(_ORDERS, user_id, limit),
            await connection.fetch(_PAYMENTS, user_id, limit),
        )
