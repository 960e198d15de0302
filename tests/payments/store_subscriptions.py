"""Subscriptions of a store for the tests: products with the store's names, and what became of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from db.core.actor import Actor
from payments.base import Delivery

from .conftest import Shop

# Not on sale, so that no list of products shows them.
PRODUCTS = """
insert into products (id, name, kind, credits, plan_id, is_active) values
    ('store-credits', 'Credits', 'CREDITS', 50, null, false),
    ('store-month', 'A month', 'SUBSCRIPTION', null, 'pro', false),
    ('store-year', 'A year', 'SUBSCRIPTION', null, 'pro', false)
on conflict do nothing
"""
PRICES = """
insert into product_prices (product_id, provider, amount_cents, currency, billing_interval, price_id)
values ('store-credits', $1, 500, 'USD', null, $2), ('store-month', $1, 499, 'USD', 'MONTH', $3),
    ('store-year', $1, 2999, 'USD', 'YEAR', $4)
on conflict do nothing
"""
SHIFTS = (
    "update plan_periods set starts_at = starts_at - $2::interval, ends_at = ends_at - $2::interval where user_id = $1",
    "update plan_subscriptions set current_period_start = current_period_start - $2::interval,"
    " current_period_end = current_period_end - $2::interval where user_id = $1",
    "update subscription_transactions set expires_at = expires_at - $2::interval,"
    " told_at = told_at - $2::interval where user_id = $1",
)


class Subscribers:
    """What the tests look at."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.owner = shop, shop.owner

    async def tell(self, *deliveries: Delivery) -> None:
        """The store delivers one after the other, and each is processed."""
        for delivery in deliveries:
            assert (await self.shop.receive(delivery)).refusal is None
            await self.shop.process()

    async def plan(self, user: Actor) -> tuple[Any, ...]:
        """Their plan, how their subscription stands, and whether their days have a limit."""
        row = await self.owner.fetchrow(
            "select u.plan_id, s.status, app.play_limit(u.id) is null as unlimited from users u"
            " left join plan_subscriptions s on s.user_id = u.id where u.id = $1",
            user.user_id,
        )
        return tuple(row) if row else ()

    async def transactions(self, user: Actor) -> list[tuple[Any, ...]]:
        """What the store told of, the first time first."""
        rows = await self.owner.fetch(
            "select t.status, t.auto_renews, t.grace_ends_at is not null from subscription_transactions t"
            " where user_id = $1 order by expires_at",
            user.user_id,
        )
        return [tuple(row) for row in rows]

    async def later(self, user: Actor, by: timedelta) -> None:
        """Time goes by."""
        for statement in SHIFTS:
            await self.owner.execute(statement, user.user_id, by)

    async def paid_until(self, user: Actor) -> Any:
        return await self.owner.fetchval(
            "select current_period_end from plan_subscriptions where user_id = $1", user.user_id
        )

    async def quarantined(self, user_id: UUID | str) -> list[str]:
        """Why deliveries are set aside whose address names somebody."""
        rows = await self.owner.fetch(
            "select reason from webhook_events where status = 'QUARANTINED' and query = $1",
            str(user_id),
        )
        return [row["reason"] for row in rows]


async def subscribers_of(shop: Shop, owner: asyncpg.Connection, *names: str) -> Subscribers:
    """A shop whose store sells credits, a month and a year, by these names."""
    await owner.execute(PRODUCTS)
    await owner.execute(PRICES, shop.driver.provider.name, *names)
    return Subscribers(shop)
