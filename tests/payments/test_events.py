"""What events do, in whatever order they are told of, and those that the providers here do not have yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest

from payments.events import NeedsOperator, PaymentSucceeded, Purchase, Refunded
from payments.inbox import WebhookInbox, as_json
from payments.sandbox import SandboxProvider

from .conftest import AMOUNT, CREDITS, Shop
from .drivers import Told

# What is told of one order, and how it stands once all of it was, whatever came first.
STORIES: dict[str, tuple[list[tuple[str, dict[str, Any]]], str, tuple[int, int, int]]] = {
    "two refunds": (
        [
            ("SUCCEEDED", {}),
            ("REFUNDED", {"amount_cents": 100, "refund": "first"}),
            ("REFUNDED", {"amount_cents": 150, "refund": "second"}),
        ],
        "PARTIALLY_REFUNDED",
        (25, 0, 0),
    ),
    "a dispute that is lost": (
        [("SUCCEEDED", {}), ("DISPUTED", {}), ("LOST", {})],
        "REFUNDED",
        (0, 0, 0),
    ),
    "a refund, and a dispute that is won": (
        [("SUCCEEDED", {}), ("REFUNDED", {"amount_cents": 100, "refund": "one"}), ("WON", {})],
        "PARTIALLY_REFUNDED",
        (40, 0, 0),
    ),
    "a failure of another attempt": (
        [("FAILED", {"payment": "other"}), ("SUCCEEDED", {}), ("PENDING", {})],
        "PAID",
        (50, 0, 0),
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_the_order_of_deliveries_changes_nothing(sandbox_shop: Shop, story: str) -> None:
    events, status, wallet = STORIES[story]
    for order in permutations(events):
        buyer = await sandbox_shop.buyer()
        told = await sandbox_shop.order(buyer)
        for kind, changes in order:
            unique = {
                name: f"{value}-{told.payment}" if isinstance(value, str) else value
                for name, value in changes.items()
            }
            await sandbox_shop.tell(kind, told.but(**unique))
        kinds = [kind for kind, _ in order]
        assert (await sandbox_shop.status(told), await sandbox_shop.wallet(buyer)) == (
            status,
            wallet,
        ), kinds


class Store(SandboxProvider):
    """An app store: purchases begin there."""

    name = "store"
    sells_itself = True


async def store_of(shop: Shop) -> tuple[WebhookInbox, Store]:
    """A store that sells the same credits at prices of its own."""
    store = Store("a secret of the tests", "http://shop.test")
    await shop.owner.execute(
        "insert into product_prices (product_id, provider, amount_cents, currency, price_id)"
        " values ('credits-50', 'store', 500, 'USD', 'com.shop.credits50') on conflict do nothing"
    )
    return WebhookInbox(shop.database, {"store": store}, is_production=False), store


def bought(user_id: Any, payment: str, price: str = "com.shop.credits50") -> PaymentSucceeded:
    """A purchase at the store's local price."""
    return PaymentSucceeded(
        references=(f"store-{payment}",),
        payment_id=payment,
        amount_cents=479,
        currency="EUR",
        purchase=Purchase(user_id=user_id, price_id=price),
    )


async def test_a_purchase_that_began_at_a_store_has_an_order_made_for_it(
    sandbox_shop: Shop,
) -> None:
    inbox, store = await store_of(sandbox_shop)
    buyer = await sandbox_shop.buyer()
    payment = str(uuid4())
    for _ in range(2):
        settled = await inbox.apply(store, "test", [bought(buyer.user_id, payment)])
        assert settled.status == "PROCESSED"
    order = await sandbox_shop.owner.fetchrow(
        "select user_id, product_id, amount_cents, currency, status from orders where id = $1",
        settled.order_id,
    )
    assert order is not None
    assert tuple(order) == (buyer.user_id, "credits-50", 479, "EUR", "PAID")
    assert await sandbox_shop.wallet(buyer) == (CREDITS, 0, 0)
    # All that was refunded so far, told twice.
    back = Refunded(references=(), payment_id=payment, amount_cents=479, currency="EUR")
    for _ in range(2):
        assert (await inbox.apply(store, "test", [back])).status == "PROCESSED"
    assert await sandbox_shop.wallet(buyer) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price_id": "com.shop.unknown"}, "PRODUCT_MISMATCH"),
        ({"user_id": UUID(int=1)}, "UNKNOWN_USER"),
    ],
)
async def test_a_purchase_of_nothing_or_by_nobody_counts_not(
    sandbox_shop: Shop, changes: dict[str, Any], reason: str
) -> None:
    inbox, store = await store_of(sandbox_shop)
    buyer = await sandbox_shop.buyer()
    told = bought(buyer.user_id, str(uuid4()))
    assert told.purchase is not None
    wrong = replace(told, purchase=replace(told.purchase, **changes))
    settled = await inbox.apply(store, "test", [wrong])
    assert (settled.status, settled.reason) == ("QUARANTINED", reason)
    assert await sandbox_shop.wallet(buyer) == (0, 0, 0)


async def test_who_sells_nothing_by_itself_makes_no_orders(sandbox_shop: Shop) -> None:
    buyer = await sandbox_shop.buyer()
    told = bought(buyer.user_id, str(uuid4()))
    settled = await sandbox_shop.inbox.apply(sandbox_shop.driver.provider, "test", [told])
    assert (settled.status, settled.reason) == ("QUARANTINED", "UNKNOWN_ORDER")


async def test_a_renewal_is_an_order_of_its_own(sandbox_shop: Shop) -> None:
    inbox, store = await store_of(sandbox_shop)
    buyer = await sandbox_shop.buyer()
    first = bought(buyer.user_id, str(uuid4()))
    begun = await inbox.apply(store, "test", [first])
    renewal = replace(first, payment_id=str(uuid4()), amount_cents=499, renews=True, purchase=None)
    for _ in range(2):
        renewed = await inbox.apply(store, "test", [renewal])
        assert renewed.status == "PROCESSED"
    assert renewed.order_id != begun.order_id
    assert await sandbox_shop.wallet(buyer) == (2 * CREDITS, 0, 0)
    amounts = await sandbox_shop.owner.fetch(
        "select amount_cents, status from orders where user_id = $1 order by created_at, id",
        buyer.user_id,
    )
    assert [tuple(row) for row in amounts] == [(479, "PAID"), (499, "PAID")]


async def test_a_delivery_does_all_that_it_says_or_nothing(sandbox_shop: Shop) -> None:
    buyer = await sandbox_shop.buyer()
    told, other = await sandbox_shop.order(buyer), await sandbox_shop.order(buyer)
    provider = sandbox_shop.driver.provider
    good, wrong = _success(told), replace(_success(other), amount_cents=1)
    settled = await sandbox_shop.inbox.apply(provider, "test", [good, wrong])
    assert (settled.status, settled.reason) == ("QUARANTINED", "AMOUNT_MISMATCH")
    assert await sandbox_shop.wallet(buyer) == (0, 0, 0)
    both = replace(good, references=(told.reference, other.reference))
    settled = await sandbox_shop.inbox.apply(provider, "test", [both])
    assert (settled.status, settled.reason) == ("QUARANTINED", "ORDER_MISMATCH")
    person = NeedsOperator(references=(), reason="a purchase moved to another user")
    settled = await sandbox_shop.inbox.apply(provider, "test", [person])
    assert (settled.reason, settled.detail) == ("NEEDS_OPERATOR", person.reason)
    assert (await sandbox_shop.inbox.apply(provider, "test", [good])).status == "PROCESSED"
    assert await sandbox_shop.wallet(buyer) == (CREDITS, 0, 0)


def _success(told: Told) -> PaymentSucceeded:
    return PaymentSucceeded(
        references=(told.reference,),
        payment_id=told.payment,
        amount_cents=AMOUNT,
        currency="USD",
    )


def test_an_event_is_written_as_the_database_reads_it() -> None:
    user = uuid4()
    event = replace(bought(user, "p"), paid_until=datetime(2030, 1, 1, tzinfo=UTC))
    assert as_json(event) == {
        "type": "PaymentSucceeded",
        "references": ["store-p"],
        "payment_id": "p",
        "amount_cents": 479,
        "currency": "EUR",
        "listed_cents": None,
        "product": None,
        "user_id": None,
        "paid_until": "2030-01-01T00:00:00+00:00",
        "renews": False,
        "replaces": [],
        "began_at": None,
        "after_refund_of": None,
        "is_one_of_several": False,
        "purchase": {"user_id": str(user), "price_id": "com.shop.credits50"},
    }
