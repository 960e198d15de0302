"""Sellers at Stripe: onboarding, what Stripe tells of them, and the money that goes to and fro."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest

from db.billing import operations as billing
from db.core.errors import DomainError
from db.core.pool import Database
from payments.base import DeliveryRefusal
from settings import Settings

from ..conftest import MakeUser
from ..fakes import stripe as fake
from ..fakes.stripe import stripe
from .stripe_sellers import READY, Shop


@pytest.fixture
def shop(database: Database, owner: asyncpg.Connection, settings: Settings) -> Iterator[Shop]:
    with stripe() as running:
        yield Shop(running, database, owner, settings)


async def test_5_2_a_seller_is_onboarded_as_stripe_tells(shop: Shop, make_user: MakeUser) -> None:
    seller = await make_user()
    store_id, product_id = await shop.open(seller)
    with pytest.raises(asyncpg.PostgresError, match="cannot be paid at this provider yet"):
        await shop.buy(await make_user(), product_id)
    account = await shop.onboard(seller, store_id)
    assert await shop.status(store_id) == "PENDING"
    given = shop.stripe.accounts[account]["given"]
    assert (given["type"], given["capabilities[transfers][requested]"]) == ("express", "true")
    # The same account is completed again, and its name is nowhere in the open.
    assert await shop.onboard(seller, store_id) == account
    kept = await shop.owner.fetchval("select seller_accounts::text from seller_accounts")
    assert account not in kept
    assert account.encode().hex() not in kept
    await shop.connect(account, details_submitted=True)
    assert await shop.status(store_id) == "INCOMPLETE"
    await shop.connect(account, **READY)
    assert await shop.status(store_id) == "COMPLETE"
    profile = "select onboarded_at is not null from creator_profiles where user_id = $1"
    assert await shop.owner.fetchval(profile, seller.user_id)
    # A stranger learns nothing, and what Stripe tells of strangers is set aside.
    with pytest.raises(asyncpg.PostgresError, match="There is no such store"):
        await shop.onboard(await make_user(), store_id)
    await shop.connect("acct_unknown", **READY)
    reason = "select reason from webhook_events where provider = 'stripe-connect' order by id desc limit 1"
    assert await shop.owner.fetchval(reason) == "UNKNOWN_ACCOUNT"
    gone = fake.connect_event("account.application.deauthorized", account, {"id": "ca_1"})
    await shop.tell(gone)
    assert await shop.status(store_id) == "NOT_CONNECTED"


async def test_an_account_that_stripe_forgot_is_made_anew(shop: Shop, make_user: MakeUser) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    first = await shop.onboard(seller, store_id)
    del shop.stripe.accounts[first]
    assert await shop.onboard(seller, store_id) != first
    assert await shop.status(store_id) == "PENDING"


async def test_connect_has_a_secret_of_its_own(shop: Shop, make_user: MakeUser) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    signed_as_payments = fake.event(
        "account.updated", fake.connected_account(account, **READY), account=account
    )
    received = await shop.tell(signed_as_payments)
    assert received.refusal is DeliveryRefusal.FORGED
    assert await shop.status(store_id) == "PENDING"
    # Whoever is back from the page does not wait for the webhook.
    shop.stripe.accounts[account] |= READY
    await shop.sellers.refresh(seller, store_id, provider="stripe")
    assert await shop.status(store_id) == "COMPLETE"


async def test_a_sale_is_split_and_a_refund_takes_it_back(shop: Shop, make_user: MakeUser) -> None:
    seller, admin = await make_user(), await make_user()
    await shop.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    store_id, product_id = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    await shop.connect(account, **READY)
    order_id, payment = await shop.buy(await make_user(), product_id)
    session = next(reversed(shop.stripe.sessions.values()))
    assert session["split"] == {"fee": "100", "account": account}
    sale = await shop.owner.fetchrow(
        "select status, fee_cents, seller_cents from sales where order_id = $1", order_id
    )
    assert tuple(sale) == ("COMPLETED", 100, 1_900)
    await shop.refunds.refund(
        admin, order_id=order_id, amount_cents=500, reason="asked", idempotency_key="k"
    )
    assert shop.stripe.reversed_with == ["true"]
    assert shop.stripe.charges[payment]["amount_refunded"] == 500
    status = "select status from sales where order_id = $1"
    assert await shop.owner.fetchval(status, order_id) == "PARTIALLY_REFUNDED"


async def test_a_dispute_takes_the_transfer_back_until_it_is_won(
    shop: Shop, make_user: MakeUser
) -> None:
    seller = await make_user()
    store_id, product_id = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    await shop.connect(account, **READY)
    _, payment = await shop.buy(await make_user(), product_id)
    await shop.dispute(payment, "created", "needs_response")
    await shop.settle_transfers()
    assert [one["amount"] for one in shop.stripe.reversals] == ["2000"]
    assert shop.stripe.transfers == []
    await shop.dispute(payment, "closed", "won")
    # Whatever is told again, also when Stripe has forgotten the keys, nothing moves twice.
    shop.stripe.remembered.clear()
    await shop.dispute(payment, "created", "needs_response")
    for _ in range(2):
        await shop.settle_transfers()
    assert len(shop.stripe.reversals) == 1
    assert [(one["amount"], one["destination"]) for one in shop.stripe.transfers] == [
        ("1900", account)
    ]


async def test_a_seller_is_given_nothing_again_that_was_not_taken(
    shop: Shop, make_user: MakeUser
) -> None:
    seller = await make_user()
    store_id, product_id = await shop.open(seller)
    await shop.connect(await shop.onboard(seller, store_id), **READY)
    _, payment = await shop.buy(await make_user(), product_id)
    # The end is told of first, and the beginning later.
    await shop.dispute(payment, "closed", "won")
    await shop.settle_transfers()
    await shop.dispute(payment, "created", "needs_response")
    await shop.settle_transfers()
    assert (shop.stripe.reversals, shop.stripe.transfers) == ([], [])


async def test_a_dispute_takes_what_a_refund_has_left(shop: Shop, make_user: MakeUser) -> None:
    seller, admin = await make_user(), await make_user()
    await shop.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    store_id, product_id = await shop.open(seller)
    await shop.connect(await shop.onboard(seller, store_id), **READY)
    order_id, payment = await shop.buy(await make_user(), product_id)
    await shop.refunds.refund(
        admin, order_id=order_id, amount_cents=500, reason="asked", idempotency_key="k"
    )
    await shop.dispute(payment, "created", "needs_response")
    await shop.dispute(payment, "closed", "lost")
    await shop.settle_transfers()
    assert [one["amount"] for one in shop.stripe.reversals] == ["1500"]
    assert shop.stripe.transfers == []


async def test_of_two_who_onboard_at_once_one_account_is_completed(
    shop: Shop, make_user: MakeUser
) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    accounts = await asyncio.gather(*(shop.onboard(seller, store_id) for _ in range(4)))
    assert len(set(accounts)) == 1
    await shop.connect(accounts[0], **READY)
    assert await shop.status(store_id) == "COMPLETE"


async def test_a_checkout_without_the_sellers_account_is_refused(
    shop: Shop, make_user: MakeUser
) -> None:
    seller, buyer = await make_user(), await make_user()
    store_id, product_id = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    await shop.connect(account, **READY)
    key = str(uuid4())
    shop.stripe.fails_next = [500] * 9
    with pytest.raises(DomainError):
        await shop.buy(buyer, product_id, key)
    shop.stripe.fails_next = []
    # The order is open, and there is nobody any more who would get the money.
    gone = fake.connect_event("account.application.deauthorized", account, {"id": "ca_1"})
    await shop.tell(gone)
    with pytest.raises(DomainError, match="cannot be paid"):
        await shop.buy(buyer, product_id, key)
    assert shop.stripe.sessions == {}


async def test_payouts_are_shown_as_stripe_tells_of_them(shop: Shop, make_user: MakeUser) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    payout = {
        "id": f"po_{uuid4().hex}",
        "amount": 1_900,
        "currency": "usd",
        "arrival_date": 1_900_000_000,
    }
    told = [("payout.created", "pending"), ("payout.paid", "paid"), ("payout.created", "pending")]
    for kind, status in told:
        await shop.tell(fake.connect_event(kind, account, payout | {"status": status}))
    rows = await shop.owner.fetch(
        "select amount_cents, currency, status, user_id from payouts where store_id = $1", store_id
    )
    assert [tuple(row) for row in rows] == [(1_900, "USD", "PAID", seller.user_id)]


async def test_what_is_no_stores_is_refunded_as_before(shop: Shop) -> None:
    assert not await billing.is_split(shop.database, uuid4())
