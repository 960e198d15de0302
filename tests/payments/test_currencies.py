"""Currencies without hundredths: what a price may be, and what Stripe and PayPal are asked for and tell."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest

from db.billing.currencies import (
    PAYPAL_TAKES,
    PAYPAL_WHOLE,
    WHOLE,
    least_price_cents,
    step_cents,
)
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.core.seeding import read_seed, read_tables, seed_names
from db.marketplace.rules import problems_of_price
from db.sales.rules import problems_of_code
from payments.paypal_events import WHOLE_UNITS
from payments.stripe_amounts import charged_part, from_stripe, to_stripe
from settings import Settings

from ..conftest import MakeUser
from ..fakes import stripe as fake
from ..fakes.stripe import stripe
from .stripe_sellers import Shop


@pytest.fixture
def shop(database: Database, owner: asyncpg.Connection, settings: Settings) -> Iterator[Shop]:
    with stripe() as running:
        yield Shop(running, database, owner, settings)


@pytest.mark.parametrize(
    ("cents", "currency", "amount"),
    [
        (1_999, "USD", 1_999),
        (50_000, "JPY", 500),
        (50_000, "jpy", 500),
        (-50_000, "KRW", -500),
        (50_000, "ISK", 50_000),
        (50_000, "UGX", 50_000),
        (1_050, "HUF", 1_050),
        (512, "KWD", 5_120),
    ],
)
def test_amounts_are_counted_as_stripe_counts_them(cents: int, currency: str, amount: int) -> None:
    assert to_stripe(cents, currency) == amount
    assert from_stripe(amount, currency) == cents


def test_what_cannot_be_counted_is_refused() -> None:
    for currency in ("JPY", "ISK", "UGX"):
        with pytest.raises(ValueError, match="whole units"):
            to_stripe(50_050, currency)
    with pytest.raises(ValueError, match="part of a hundredth"):
        from_stripe(5_125, "KWD")
    for amount, currency in ((1.5, "USD"), (True, "USD"), ("5", "USD"), (5, None)):
        with pytest.raises(TypeError):
            from_stripe(amount, currency)
    assert [charged_part(1_995, one) for one in ("usd", "jpy", "isk", "kwd")] == [
        1_995,
        1_995,
        1_900,
        1_990,
    ]


@pytest.mark.parametrize(
    ("cents", "currency", "wrong"),
    [
        (50, "USD", False),
        (49, "USD", True),
        (30, "GBP", False),
        (50_000, "JPY", False),
        (4_900, "JPY", True),
        (50_050, "JPY", True),
        (100_000_000, "JPY", False),
        (100_000_100, "JPY", True),
        (10_000_100, "USD", True),
        (20_000, "HUF", False),
        (20_050, "HUF", True),
        (512, "KWD", False),
        (100, "VND", False),
        (50, "VND", True),
    ],
)
def test_a_price_is_one_that_can_be_paid(cents: int, currency: str, wrong: bool) -> None:
    found = list(problems_of_price(cents, currency))
    assert [one.path for one in found] == ([("input", "price", "amountCents")] if wrong else [])


def test_amounts_of_discount_codes_can_be_taken_off() -> None:
    code = {"kind": "FIXED", "currency": "JPY", "amount_cents": 10_050, "max_discount_cents": 50}
    assert [one.path for one in problems_of_code(code)] == [
        ("input", "amountCents"),
        ("input", "maxDiscountCents"),
    ]
    assert not list(problems_of_code(code | {"amount_cents": 100, "max_discount_cents": 200}))


def test_seeds_have_prices_that_can_be_paid() -> None:
    seeds = [read_seed(name) | read_tables(name) for name in seed_names()]
    prices = [price for seed in seeds for price in seed.get("product_prices", ())]
    assert {"GBP", "USD"} <= {price["currency"] for price in prices}
    for price in prices:
        step = step_cents(price["provider"], price["currency"])
        assert step is not None, price
        assert price["amount_cents"] % step == 0, price


async def test_the_database_knows_the_same_currencies(owner: asyncpg.Connection) -> None:
    known = sorted(PAYPAL_TAKES | WHOLE | PAYPAL_WHOLE | {"KWD", "AED", "RON"})
    rows = await owner.fetch(
        "select p, c, app.currency_step(p, c) as step, app.least_payable_cents(p, c) as least"
        " from unnest('{paypal,stripe,sandbox}'::text[]) p, unnest($1::text[]) c",
        known,
    )
    assert {(row["p"], row["c"]): row["step"] for row in rows} == {
        (provider, currency): step_cents(provider, currency)
        for provider in ("paypal", "stripe", "sandbox")
        for currency in known
    }
    least = {c: max(row["least"] for row in rows if row["c"] == c) for c in known}
    assert least == {currency: least_price_cents(currency) for currency in known}
    # Whatever PayPal is told in whole units is asked for in whole units.
    assert {one for one in PAYPAL_TAKES if step_cents("paypal", one) == 100} == WHOLE_UNITS


async def test_yen_are_asked_for_split_given_back_and_disputed_as_yen(
    shop: Shop, make_user: MakeUser
) -> None:
    seller, admin = await make_user(), await make_user()
    await shop.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    product_id, account = await shop.sell(seller, 51_000, "JPY")
    order_id, payment = await shop.buy(await make_user(), product_id)
    session = next(reversed(shop.stripe.sessions.values()))
    assert (session["amount_subtotal"], session["currency"]) == (510, "jpy")
    # Five percent are ¥25.50, of which whoever runs the service keeps whole yen.
    assert session["split"] == {"fee": "25", "account": account}
    sale = "select status, amount_cents, fee_cents, refunded_cents from sales where order_id = $1"
    assert tuple(await shop.owner.fetchrow(sale, order_id)) == ("COMPLETED", 51_000, 2_500, 0)
    wanted = {"order_id": order_id, "reason": "asked"}
    with pytest.raises(asyncpg.PostgresError, match="whole units"):
        await shop.refunds.refund(admin, amount_cents=10_050, idempotency_key="half", **wanted)
    await shop.refunds.refund(admin, amount_cents=10_000, idempotency_key="k", **wanted)
    assert shop.stripe.charges[payment]["amount_refunded"] == 100
    assert (await shop.owner.fetchrow(sale, order_id))["refunded_cents"] == 10_000
    await shop.dispute(payment, "created", "needs_response")
    disputed = "select amount_cents from payment_disputes where provider_dispute_id = $1"
    assert await shop.owner.fetchval(disputed, f"dp_{payment}") == 51_000
    await shop.settle_transfers()
    assert [one["amount"] for one in shop.stripe.reversals] == ["410"]
    await shop.dispute(payment, "closed", "won")
    await shop.settle_transfers()
    assert [(one["amount"], one["currency"]) for one in shop.stripe.transfers] == [("390", "jpy")]


async def test_what_is_written_with_more_decimals_is_paid_as_it_was_asked(
    shop: Shop, make_user: MakeUser
) -> None:
    for cents, currency, amount, fee in (
        (51_000, "ISK", 51_000, "2500"),
        (510, "KWD", 5_100, "250"),
        (51_000, "UGX", 51_000, "2500"),
    ):
        product_id, _ = await shop.sell(await make_user(), cents, currency)
        order_id, _ = await shop.buy(await make_user(), product_id)
        session = next(reversed(shop.stripe.sessions.values()))
        assert (session["amount_subtotal"], session["split"]["fee"]) == (amount, fee)
        paid = "select amount_cents from payments where order_id = $1 and status = 'SUCCEEDED'"
        assert await shop.owner.fetchval(paid, order_id) == cents
        prices = await shop.owner.fetch(
            "select provider from product_prices where product_id = $1 order by 1", product_id
        )
        # PayPal takes none of the three.
        assert [row["provider"] for row in prices] == ["sandbox", "stripe"]


async def test_a_discount_takes_whole_units_off(shop: Shop, make_user: MakeUser) -> None:
    product_id, _ = await shop.sell(await make_user(), 50_500, "JPY")
    await shop.owner.execute(
        "insert into discount_codes (user_id, store_id, code, kind, percent)"
        " select seller_id, store_id, 'TENTH', 'PERCENTAGE', 10 from products where id = $1",
        product_id,
    )
    bought = await shop.checkouts.create(
        await make_user(),
        product_id=product_id,
        provider="stripe",
        success_url=None,
        cancel_url=None,
        idempotency_key=str(uuid4()),
        discount_code="tenth",
    )
    # A tenth would be ¥50.50.
    assert next(reversed(shop.stripe.sessions.values()))["amount_subtotal"] == 455
    amount = "select amount_cents from orders where id = $1"
    assert await shop.owner.fetchval(amount, bought.order_id) == 45_500


async def test_payouts_are_told_of_in_hundredths(shop: Shop, make_user: MakeUser) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    payout = {"id": f"po_{uuid4().hex}", "amount": 1_900, "currency": "jpy", "status": "paid"}
    about = payout | {"arrival_date": 1_900_000_000}
    await shop.tell(fake.connect_event("payout.paid", account, about))
    cents = "select amount_cents from payouts where store_id = $1"
    assert await shop.owner.fetchval(cents, store_id) == 190_000


async def test_a_price_that_stripe_cannot_charge_is_refused(
    shop: Shop, make_user: MakeUser
) -> None:
    # It was set before prices were checked.
    product_id, _ = await shop.sell(await make_user(), 50_050, "JPY")
    with pytest.raises(DomainError) as refused:
        await shop.buy(await make_user(), product_id)
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED
    assert shop.stripe.sessions == {}
