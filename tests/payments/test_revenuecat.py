"""RevenueCat: what app stores sell is in the same wallet, and entitlements follow every event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from db.core.actor import Actor
from db.core.pool import Database
from payments.base import Delivery, DeliveryRefusal, DeliveryRefused
from payments.revenuecat import make_revenuecat
from settings import Settings

from ..conftest import MakeUser
from ..fakes.revenuecat import event, milliseconds
from .conftest import Shop, open_shop

NAME = "revenuecat"
CREDITS, PRO = "com.aura.popular", "com.aura.pro"
PRICES = """
update product_prices set price_id = case product_id
    when 'credits-50' then 'com.aura.popular' when 'pro-month' then 'com.aura.pro' end
where provider = 'revenuecat' and product_id in ('credits-50', 'pro-month')
"""
# Not sold to anybody else; what was bought in a store is given all the same.
YEAR = """
with product as (
    insert into products (id, name, kind, plan_id, is_active)
    values ('store-year', 'Pro for a year', 'SUBSCRIPTION', 'pro', false)
    on conflict (id) do update set is_active = false returning id)
insert into product_prices (product_id, provider, amount_cents, currency, billing_interval, price_id)
select id, 'revenuecat', 11999, 'USD', 'YEAR', 'com.aura.year' from product
on conflict (product_id, provider) do update set price_id = excluded.price_id
"""
NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)


@dataclass
class Store:
    """An app store's buyers as RevenueCat tells of them."""

    shop: Shop

    async def deliver(self, delivery: Delivery) -> asyncpg.Record:
        """It is taken in and processed; what became of it."""
        assert (await self.shop.receive(delivery)).refusal is None
        await self.shop.process()
        said = self.shop.driver.provider.parse(delivery)
        row = await self.shop.owner.fetchrow(
            "select status, reason, waits_for from webhook_events where event_id = $1",
            said.event_id,
        )
        assert row is not None
        return row

    async def tell(self, kind: str, **said: Any) -> str:
        """The same for an event; how it stands then."""
        return str((await self.deliver(event(kind, **said)))["status"])

    def bought(self, user: object, transaction: str, **said: Any) -> dict[str, Any]:
        """What is said of a consumable."""
        return {
            "app_user_id": str(user),
            "original_app_user_id": str(user),
            "aliases": [str(user)],
            "product_id": CREDITS,
            "transaction_id": transaction,
            "original_transaction_id": transaction,
            "currency": "USD",
            "price": 24.99,
            "price_in_purchased_currency": 24.99,
            "purchased_at_ms": milliseconds(NOW),
            "expiration_at_ms": None,
        } | said

    def subscribed(self, user: object, first: str, period: int = 0, **said: Any) -> dict[str, Any]:
        """What is said of a subscription's period, the first of which is going on."""
        made = {
            "original_transaction_id": f"{first}-0",
            "product_id": PRO,
            "entitlement_ids": ["pro"],
            "price": 14.99,
            "price_in_purchased_currency": 14.99,
            "purchased_at_ms": milliseconds(NOW + period * MONTH),
            "expiration_at_ms": milliseconds(NOW + (period + 1) * MONTH),
            "event_timestamp_ms": milliseconds(NOW + timedelta(minutes=period)),
        }
        return self.bought(user, f"{first}-{period}", **(made | said))

    async def entitlement(self, actor: Actor) -> tuple[bool, datetime | None, bool | None] | None:
        """Whether `pro` is theirs, until when, and whether it will be renewed."""
        row = await self.shop.owner.fetchrow(
            "select is_active, expires_at, will_renew from app.entitlements_of($1)"
            " where name = 'pro' and store is not null",
            actor.user_id,
        )
        return tuple(row) if row else None  # type: ignore[return-value]

    async def plan(self, actor: Actor) -> str | None:
        plan: str | None = await self.shop.owner.fetchval(
            "select plan_id from users where id = $1", actor.user_id
        )
        return plan

    async def orders(self, actor: Actor) -> list[tuple[str, int, str]]:
        rows = await self.shop.owner.fetch(
            "select product_id, amount_cents, status from orders where user_id = $1 order by id",
            actor.user_id,
        )
        return [tuple(row) for row in rows]  # type: ignore[misc]


@pytest.fixture
async def store(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> AsyncIterator[Store]:
    """A store whose products have names at RevenueCat while a test runs."""
    shop = await open_shop(NAME, database, owner, settings, make_user)
    await owner.execute(PRICES)
    yield Store(shop)
    await owner.execute("update product_prices set price_id = null where provider = 'revenuecat'")


async def test_a_consumable_is_granted_once_at_the_stores_own_price(store: Store) -> None:
    buyer, transaction = await store.shop.buyer(3), str(uuid4())
    said = store.bought(
        f"user_{buyer.user_id}", transaction, currency="eur", price_in_purchased_currency=26.99
    )
    # The same under another id, too: one purchase is one payment.
    for _ in range(2):
        assert await store.tell("NON_RENEWING_PURCHASE", **said) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (53, 0, 0)
    assert await store.orders(buyer) == [("credits-50", 2699, "PAID")]


async def test_a_store_refund_takes_back_what_it_gave_also_when_told_of_first(store: Store) -> None:
    buyer, transaction = await store.shop.buyer(), str(uuid4())
    said = store.bought(buyer.user_id, transaction)
    back = said | {
        "cancel_reason": "CUSTOMER_SUPPORT",
        "price": -24.99,
        "price_in_purchased_currency": -24.99,
    }
    assert await store.tell("CANCELLATION", **back) == "PARKED"
    assert await store.tell("NON_RENEWING_PURCHASE", **said) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (0, 0, 0)
    assert await store.orders(buyer) == [("credits-50", 2499, "REFUNDED")]
    # What it says of no price is a refund of all, and what was used is owed.
    other = str(uuid4())
    await store.tell("NON_RENEWING_PURCHASE", **store.bought(buyer.user_id, other))
    await store.shop.spend(buyer, 20)
    unpriced = store.bought(
        buyer.user_id, other, price_in_purchased_currency=None, currency=None
    ) | {"cancel_reason": "CUSTOMER_SUPPORT"}
    await store.tell("CANCELLATION", **unpriced)
    assert await store.shop.wallet(buyer) == (0, 0, 20)


async def test_a_refund_told_with_the_price_that_was_paid_is_one(store: Store) -> None:
    buyer, transaction = await store.shop.buyer(), str(uuid4())
    said = store.bought(buyer.user_id, transaction)
    await store.tell("NON_RENEWING_PURCHASE", **said)
    await store.tell("CANCELLATION", **said | {"cancel_reason": "CUSTOMER_SUPPORT"})
    assert await store.shop.wallet(buyer) == (0, 0, 0)
    assert await store.orders(buyer) == [("credits-50", 2499, "REFUNDED")]


@pytest.mark.parametrize("price", [-24.99, 1e300, 1e308])
async def test_a_payment_of_an_impossible_price_waits_for_a_person(
    store: Store, price: float
) -> None:
    buyer = await store.shop.buyer()
    said = store.bought(buyer.user_id, str(uuid4()), price_in_purchased_currency=price)
    with pytest.raises(DeliveryRefused, match="not as RevenueCat documents it"):
        await store.tell("NON_RENEWING_PURCHASE", **said)
    assert await store.orders(buyer) == []


async def test_a_purchase_of_an_unknown_price_is_at_the_products(store: Store) -> None:
    buyer, transaction = await store.shop.buyer(), str(uuid4())
    said = store.bought(buyer.user_id, transaction, price_in_purchased_currency=None, currency=None)
    assert await store.tell("NON_RENEWING_PURCHASE", **said) == "PROCESSED"
    assert await store.orders(buyer) == [("credits-50", 500, "PAID")]


async def test_a_subscription_gives_the_plan_and_each_period_its_order(store: Store) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    assert await store.tell("INITIAL_PURCHASE", **store.subscribed(buyer.user_id, first)) == (
        "PROCESSED"
    )
    assert await store.plan(buyer) == "pro"
    assert await store.entitlement(buyer) == (True, NOW + MONTH, True)
    await store.tell("RENEWAL", **store.subscribed(buyer.user_id, first, 1))
    assert await store.entitlement(buyer) == (True, NOW + 2 * MONTH, True)
    assert await store.orders(buyer) == [("pro-month", 1499, "PAID")] * 2
    until = "select current_period_end from plan_subscriptions where user_id = $1"
    assert await store.shop.owner.fetchval(until, buyer.user_id) == NOW + 2 * MONTH


async def test_every_order_of_its_events_comes_to_the_same(store: Store) -> None:
    for order in permutations(range(4)):
        buyer, first = await store.shop.buyer(), str(uuid4())
        events = [
            ("INITIAL_PURCHASE", store.subscribed(buyer.user_id, first)),
            ("RENEWAL", store.subscribed(buyer.user_id, first, 1)),
            (
                "CANCELLATION",
                store.subscribed(buyer.user_id, first, 1, cancel_reason="UNSUBSCRIBE")
                | {"event_timestamp_ms": milliseconds(NOW + timedelta(minutes=9))},
            ),
            ("BILLING_ISSUE", store.subscribed(buyer.user_id, first)),
        ]
        for n in order:
            kind, said = events[n]
            assert await store.tell(kind, **said) == "PROCESSED", order
        assert await store.entitlement(buyer) == (True, NOW + 2 * MONTH, False), order
        assert await store.orders(buyer) == [("pro-month", 1499, "PAID")] * 2, order
        assert await store.plan(buyer) == "pro", order


async def test_a_pause_takes_nothing_and_an_expiration_ends_it(store: Store) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    said = store.subscribed(buyer.user_id, first)
    ended = said | {
        "expiration_reason": "SUBSCRIPTION_PAUSED",
        "expiration_at_ms": milliseconds(NOW - timedelta(seconds=5)),
        "event_timestamp_ms": milliseconds(NOW + timedelta(minutes=5)),
    }
    assert await store.tell("EXPIRATION", **ended) == "PARKED"
    paused = said | {"auto_resume_at_ms": milliseconds(NOW + 3 * MONTH)}
    other = await store.shop.buyer()
    theirs = paused | store.subscribed(other.user_id, str(uuid4()))
    await store.tell("INITIAL_PURCHASE", **theirs)
    await store.tell("SUBSCRIPTION_PAUSED", **theirs)
    assert await store.entitlement(other) == (True, NOW + MONTH, False)
    assert await store.plan(other) == "pro"
    # The end that was told of first.
    await store.tell("INITIAL_PURCHASE", **said)
    assert await store.plan(buyer) != "pro"
    assert not await store.shop.owner.fetchval(
        "select is_active from app.entitlements_of($1) where name = 'pro'", buyer.user_id
    )


async def test_a_billing_issue_lasts_through_its_grace(store: Store) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    said = store.subscribed(buyer.user_id, first)
    await store.tell("INITIAL_PURCHASE", **said)
    grace = NOW + MONTH + timedelta(days=16)
    issue = said | {"grace_period_expiration_at_ms": milliseconds(grace)}
    await store.tell("BILLING_ISSUE", **issue)
    row = await store.shop.owner.fetchrow(
        "select is_active, expires_at, has_billing_issue from app.entitlements_of($1)"
        " where name = 'pro' and store is not null",
        buyer.user_id,
    )
    assert row is not None
    assert tuple(row) == (True, grace, True)


async def test_a_change_of_the_product_begins_an_order_of_its_own(
    store: Store, owner: asyncpg.Connection
) -> None:
    await owner.execute(YEAR)
    buyer, first = await store.shop.buyer(), str(uuid4())
    said = store.subscribed(buyer.user_id, first)
    await store.tell("INITIAL_PURCHASE", **said)
    await store.tell("PRODUCT_CHANGE", **(said | {"new_product_id": "com.aura.year"}))
    renewed = store.subscribed(
        buyer.user_id, first, 1, product_id="com.aura.year:annual", price_in_purchased_currency=119
    )
    assert await store.tell("RENEWAL", **renewed) == "PROCESSED"
    assert await store.orders(buyer) == [
        ("pro-month", 1499, "PAID"),
        ("store-year", 11900, "PAID"),
    ]


async def test_what_was_bought_without_an_account_waits_until_it_has_one(store: Store) -> None:
    device, transaction = f"$RCAnonymousID:{uuid4().hex}", str(uuid4())
    waiting = await store.deliver(
        event("NON_RENEWING_PURCHASE", **store.bought(device, transaction))
    )
    assert (waiting["status"], waiting["waits_for"]) == ("PARKED", f"user:{device}")
    buyer = await store.shop.buyer()
    alias = store.bought(buyer.user_id, "none", aliases=[device, str(buyer.user_id)])
    assert await store.tell("SUBSCRIBER_ALIAS", **alias) == "PROCESSED"
    await store.shop.process()
    assert await store.shop.wallet(buyer) == (50, 0, 0)
    # And what that device buys from then on is theirs at once.
    again = store.bought(device, str(uuid4()))
    assert await store.tell("NON_RENEWING_PURCHASE", **again) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (100, 0, 0)


async def test_a_transfer_moves_the_entitlement_and_what_is_paid_from_then_on(
    store: Store,
) -> None:
    giver, receiver, first = await store.shop.buyer(), await store.shop.buyer(), str(uuid4())
    await store.tell("INITIAL_PURCHASE", **store.subscribed(giver.user_id, first))
    moved = {
        "transferred_from": [str(giver.user_id)],
        "transferred_to": [f"$RCAnonymousID:{uuid4().hex}", str(receiver.user_id)],
        "event_timestamp_ms": milliseconds(NOW + timedelta(seconds=30)),
    }
    assert await store.tell("TRANSFER", **moved) == "PROCESSED"
    assert await store.entitlement(giver) is None
    assert await store.entitlement(receiver) == (True, NOW + MONTH, True)
    # Late word of before takes nothing back.
    await store.tell("UNCANCELLATION", **store.subscribed(giver.user_id, first))
    assert await store.entitlement(giver) is None
    await store.tell("RENEWAL", **store.subscribed(receiver.user_id, first, 1))
    assert await store.entitlement(receiver) == (True, NOW + 2 * MONTH, True)
    assert len(await store.orders(giver)) == len(await store.orders(receiver)) == 1


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        ("SOMETHING_NEW", {}, "NEEDS_OPERATOR"),
        ("REFUND_REVERSED", {}, "NEEDS_OPERATOR"),
        ("NON_RENEWING_PURCHASE", {"product_id": "com.other"}, "PRODUCT_MISMATCH"),
    ],
)
async def test_what_is_not_understood_is_kept_for_a_person(
    store: Store, kind: str, said: dict[str, Any], reason: str
) -> None:
    buyer = await store.shop.buyer()
    kept = await store.deliver(event(kind, **store.bought(buyer.user_id, str(uuid4()), **said)))
    assert (kept["status"], kept["reason"]) == ("QUARANTINED", reason)
    assert await store.shop.wallet(buyer) == (0, 0, 0)


async def test_an_entitlement_is_shown_also_of_a_product_that_is_not_sold_here(
    store: Store,
) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    told = store.subscribed(buyer.user_id, first) | {"product_id": "com.other"}
    kept = await store.deliver(event("INITIAL_PURCHASE", **told))
    assert (kept["status"], kept["reason"]) == ("QUARANTINED", "PRODUCT_MISMATCH")
    assert await store.entitlement(buyer) == (True, NOW + MONTH, True)
    assert await store.orders(buyer) == []
    # What is told of a payment that never came is not booked either.
    ended = told | {"event_timestamp_ms": milliseconds(NOW + timedelta(minutes=1))}
    assert await store.tell("EXPIRATION", **ended) == "PARKED"
    assert await store.entitlement(buyer) == (True, NOW + MONTH, False)


@pytest.mark.parametrize(
    "said",
    [
        {"store": "STRIPE"},
        {"store": "PROMOTIONAL", "price_in_purchased_currency": 0},
        {"is_family_share": True},
    ],
    ids=["stripe", "given away", "shared"],
)
async def test_what_was_not_paid_here_gives_the_entitlement_alone(
    store: Store, said: dict[str, Any]
) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    told = store.subscribed(buyer.user_id, first) | said
    assert await store.tell("INITIAL_PURCHASE", **told) == "PROCESSED"
    assert await store.entitlement(buyer) == (True, NOW + MONTH, True)
    assert await store.orders(buyer) == []


@pytest.mark.parametrize("kind", ["TEST", "INVOICE_ISSUANCE", "VIRTUAL_CURRENCY_TRANSACTION"])
async def test_what_is_none_of_our_concern_is_done_at_once(store: Store, kind: str) -> None:
    assert await store.tell(kind) == "PROCESSED"


async def test_it_is_off_without_its_value_and_refuses_what_comes_without_it(store: Store) -> None:
    delivery = event("TEST")
    for headers in ({}, {"authorization": "Bearer of nobody"}, {"authorization": "old, Bearer"}):
        received = await store.shop.receive(Delivery(headers, delivery.body, NOW))
        assert received.refusal is DeliveryRefusal.FORGED
    assert (await store.shop.receive(Delivery({"authorization": "old"}, delivery.body, NOW))) == (
        await store.shop.receive(delivery)
    )


@pytest.mark.parametrize(
    ("environment", "value", "is_on"),
    [
        ("development", "", False),
        ("development", "Bearer of the tests", True),
        ("production", "Bearer of the tests", False),
        ("production", "Bearer Qx7-vU2k_Lm93Tz-Ra81Wc_0dEyHs5Bj", True),
    ],
)
def test_in_production_a_value_that_can_be_guessed_leaves_it_off(
    settings: Settings, environment: str, value: str, is_on: bool
) -> None:
    given = settings.model_copy(
        update={
            "environment": environment,
            "revenuecat_webhook_authorization": SecretStr(value),
            "revenuecat_api_key": SecretStr("sk_something"),
        }
    )
    assert (make_revenuecat(given) is not None) is is_on
