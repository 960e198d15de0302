"""RevenueCat is asked about a user: what its deliveries told of counts once, what was lost is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.entitlements.operations import users_to_ask_about
from jobs.entitlements import ask_revenuecat
from payments.revenuecat import RevenueCatProvider
from settings import Settings

from ..fakes.revenuecat import API_KEY, AUTHORIZATION, FakeRevenueCat, fake_revenuecat
from .test_revenuecat import CREDITS, NAME, PRO, Store, store  # noqa: F401 - a fixture

NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)


@pytest.fixture
def fake() -> Iterator[FakeRevenueCat]:
    with fake_revenuecat() as made:
        yield made


@pytest.fixture
def provider(settings: Settings, fake: FakeRevenueCat) -> RevenueCatProvider:
    """The provider with a key, and the fake to ask."""
    given = {
        "revenuecat_api_url": fake.url,
        "revenuecat_api_key": SecretStr(API_KEY),
        "revenuecat_webhook_authorization": SecretStr(AUTHORIZATION),
    }
    return RevenueCatProvider(settings.model_copy(update=given))


def purchase(transaction: str, **said: Any) -> dict[str, Any]:
    """What the API says of a purchase."""
    return {
        "id": transaction[:8],
        "store_transaction_id": transaction,
        "is_sandbox": True,
        "store": "app_store",
        "purchase_date": NOW.isoformat(),
        "price": {"amount": 24.99, "currency": "USD"},
    } | said


def subscription(transaction: str, **said: Any) -> dict[str, Any]:
    return purchase(
        transaction,
        expires_date=(NOW + MONTH).isoformat(),
        ownership_type="PURCHASED",
        period_type="normal",
        refunded_at=None,
        unsubscribe_detected_at=None,
        **said,
    )


def pro(expires_at: datetime) -> dict[str, Any]:
    return {
        "pro": {
            "expires_date": expires_at.isoformat(),
            "grace_period_expires_date": None,
            "product_identifier": PRO,
            "purchase_date": NOW.isoformat(),
        }
    }


async def ask(store: Store, provider: RevenueCatProvider, actor: Actor) -> str | None:  # noqa: F811
    assert actor.user_id
    events = await provider.ask_about(actor.user_id)
    return (await store.shop.inbox.apply(provider, "inquiry", events)).status


async def test_what_was_lost_is_found_and_what_was_told_counts_once(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
) -> None:
    buyer, told, lost, first = await store.shop.buyer(), str(uuid4()), str(uuid4()), str(uuid4())
    await store.tell("NON_RENEWING_PURCHASE", **store.bought(buyer.user_id, told))
    await store.tell("INITIAL_PURCHASE", **store.subscribed(buyer.user_id, first))
    before, _, _ = await store.shop.wallet(buyer)
    fake.knows(
        buyer.user_id,
        non_subscriptions={CREDITS: [purchase(told), purchase(lost)]},
        subscriptions={PRO: subscription(f"{first}-0", price={"amount": 14.99, "currency": "USD"})},
        entitlements=pro(NOW + MONTH),
    )
    for _ in range(2):
        assert await ask(store, provider, buyer) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (before + 50, 0, 0)
    assert await store.entitlement(buyer) == (True, NOW + MONTH, True)
    rows = "select count(*) from provider_entitlements where user_id = $1"
    assert await store.shop.owner.fetchval(rows, buyer.user_id) == 1
    # The delivery that was late.
    late = store.bought(buyer.user_id, lost)
    assert await store.tell("NON_RENEWING_PURCHASE", **late) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (before + 50, 0, 0)


@pytest.mark.parametrize("booked", [{}, {"price_in_purchased_currency": None, "currency": None}])
async def test_what_a_booked_purchase_cost_is_what_is_said_of_it_last(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
    booked: dict[str, Any],
) -> None:
    """A delivery may know no price, and an answer a day later what was charged, and where."""
    buyer, once, first, lost = await store.shop.buyer(), *(str(uuid4()) for _ in range(3))
    await store.tell("NON_RENEWING_PURCHASE", **store.bought(buyer.user_id, once, **booked))
    await store.tell("INITIAL_PURCHASE", **store.subscribed(buyer.user_id, first, **booked))
    before, _, _ = await store.shop.wallet(buyer)
    charged = {"price": {"amount": 26.99, "currency": "EUR"}}
    fake.knows(
        buyer.user_id,
        non_subscriptions={CREDITS: [purchase(once, **charged), purchase(lost, **charged)]},
        subscriptions={PRO: subscription(f"{first}-0", **charged)},
        entitlements=pro(NOW + MONTH),
    )
    for _ in range(2):
        assert await ask(store, provider, buyer) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (before + 50, 0, 0)
    paid = await store.shop.owner.fetch(
        "select o.amount_cents, o.currency, p.amount_cents, p.currency, p.status from orders o"
        " join payments p on p.order_id = o.id where o.user_id = $1",
        buyer.user_id,
    )
    assert [tuple(row) for row in paid] == [(2699, "EUR", 2699, "EUR", "SUCCEEDED")] * 3
    # What goes back is a part of that; what is said of the price then changes nothing more.
    back = store.bought(buyer.user_id, once, currency="EUR", price_in_purchased_currency=-13.5)
    await store.tell("CANCELLATION", **back, cancel_reason="CUSTOMER_SUPPORT")
    fake.knows(buyer.user_id, non_subscriptions={CREDITS: [purchase(once)]})
    assert await ask(store, provider, buyer) == "PROCESSED"
    assert await store.shop.wallet(buyer) == (before + 50 - 25, 0, 0)
    kept = await store.shop.owner.fetchrow(
        "select amount_cents, currency, status from payments where provider_payment_id = $1", once
    )
    assert tuple(kept or ()) == (2699, "EUR", "PARTIALLY_REFUNDED")


async def test_a_refund_and_an_end_that_were_not_told_of_are_found(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    await store.tell("INITIAL_PURCHASE", **store.subscribed(buyer.user_id, first))
    refunded = subscription(f"{first}-0", price={"amount": 14.99, "currency": "USD"})
    fake.knows(
        buyer.user_id,
        subscriptions={PRO: refunded | {"refunded_at": NOW.isoformat()}},
        entitlements=pro(NOW - timedelta(minutes=1)),
    )
    assert await ask(store, provider, buyer) == "PROCESSED"
    assert await store.orders(buyer) == [("pro-month", 1499, "REFUNDED")]
    assert await store.plan(buyer) != "pro"


@pytest.mark.parametrize(
    "said",
    [{"store": "stripe"}, {"ownership_type": "FAMILY_SHARED"}, {"store_transaction_id": None}],
    ids=["by Stripe", "shared", "unnamed"],
)
async def test_what_was_not_paid_here_makes_no_order(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
    said: dict[str, Any],
) -> None:
    buyer = await store.shop.buyer()
    fake.knows(buyer.user_id, subscriptions={PRO: subscription(str(uuid4())) | said})
    assert await ask(store, provider, buyer) == "PROCESSED"
    assert await store.orders(buyer) == []


async def test_an_answer_that_makes_no_sense_fails(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
) -> None:
    buyer = await store.shop.buyer()
    fake.stub.answers[f"/v1/subscribers/{buyer.user_id}"] = lambda _: (200, {"subscriber": {}})
    for _ in range(2):
        with pytest.raises(DomainError) as failure:
            await ask(store, provider, buyer)
        assert failure.value.code is ErrorCode.PROVIDER_FAILED
        del fake.stub.answers[f"/v1/subscribers/{buyer.user_id}"]
        fake.stub.answers[f"/v1/subscribers/{buyer.user_id}"] = lambda _: (404, {})


async def test_the_job_asks_about_those_of_whom_nothing_was_heard(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,
    fake: FakeRevenueCat,
    owner: asyncpg.Connection,
) -> None:
    buyer, first = await store.shop.buyer(), str(uuid4())
    await store.tell("INITIAL_PURCHASE", **store.subscribed(buyer.user_id, first))
    await owner.execute(
        "update provider_entitlements set expires_at = now() - interval '10 minutes',"
        " told_at = now() - interval '1 hour' where user_id = $1",
        buyer.user_id,
    )
    # Others of this worker's database are of no concern.
    await owner.execute("delete from provider_entitlements where user_id <> $1", buyer.user_id)
    assert await users_to_ask_about(store.shop.database, NAME, 10) == [buyer.user_id]
    fake.knows(buyer.user_id, entitlements=pro(NOW + 2 * MONTH))
    store.shop.inbox.providers = {NAME: provider}  # type: ignore[assignment]
    services = SimpleNamespace(
        database=store.shop.database, of=lambda _: store.shop.inbox, wake=lambda: None
    )
    await ask_revenuecat(services)  # type: ignore[arg-type]
    assert await store.entitlement(buyer) == (True, NOW + 2 * MONTH, True)
    assert await users_to_ask_about(store.shop.database, NAME, 10) == []
