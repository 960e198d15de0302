"""PayPal over HTTP: orders that are captured once agreed to, subscriptions, refunds and inquiries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from db.core.errors import DomainError
from payments.base import DeliveryRefusal, DeliveryRefused, NewCheckout, PaidOrder, Split
from payments.events import (
    CheckoutEnded,
    NeedsOperator,
    OrderApproved,
    PaymentSucceeded,
    Refunded,
)
from payments.paypal import PayPalProvider, make_paypal
from payments.paypal_events import money, written_money
from settings import Settings

from ..fakes import paypal as fake
from ..fakes.paypal import FakePayPal, paypal

ORDER = NewCheckout(
    order_id=uuid4(),
    user_id=uuid4(),
    email="buyer@example.com",
    product_id="credits-50",
    product_name="50 credits",
    kind="CREDITS",
    amount_cents=1_999,
    currency="USD",
)


@pytest.fixture
def running() -> Iterator[FakePayPal]:
    with paypal() as made:
        yield made


@pytest.fixture
def provider(running: FakePayPal, settings: Settings) -> PayPalProvider:
    given = {name.lower(): value for name, value in running.settings.items()}
    made = make_paypal(Settings.model_validate(settings.model_dump() | given))
    assert made is not None
    return made


def paid(reference: str, payment: str | None = None) -> PaidOrder:
    """An order to be asked about."""
    return PaidOrder(ORDER.order_id, payment, 1_999, "USD", (reference,))


async def test_5_3_an_order_is_captured_once_its_buyer_agreed(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    checkout = await provider.create_checkout(ORDER)
    assert checkout == replace(
        await provider.create_checkout(ORDER), expires_at=checkout.expires_at
    )
    (reference,) = checkout.references
    (unit,) = running.orders[reference]["purchase_units"]
    assert unit["amount"] == {"currency_code": "USD", "value": "19.99"}
    assert unit["custom_id"] == str(ORDER.order_id)
    delivery = running.approve(reference)
    await provider.verify(delivery)
    assert provider.parse(delivery).events == (OrderApproved(references=(reference,)),)
    told = [await provider.capture(paid(reference), reference) for _ in range(2)]
    (event,) = told[0]
    assert isinstance(event, PaymentSucceeded)
    assert (event.references, event.amount_cents, event.currency) == ((reference,), 1_999, "USD")
    assert told[0] == told[1]
    # What an inquiry finds is the same payment.
    assert await provider.fetch(paid(reference)) == told[0]
    assert running.stub.count("/v1/oauth2/token") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"order_id": uuid4()},
        {"amount_cents": 1_998},
        {"currency": "EUR"},
    ],
)
async def test_what_is_not_as_it_was_made_is_not_captured(
    provider: PayPalProvider, running: FakePayPal, other: dict[str, Any]
) -> None:
    (reference,) = (await provider.create_checkout(ORDER)).references
    running.approve(reference)
    wanted = replace(paid(reference), **other)
    for told in (await provider.capture(wanted, reference), await provider.fetch(wanted)):
        assert [type(event) for event in told] == [NeedsOperator]
    # Nor what nobody may pay any more.
    late = replace(paid(reference), can_be_paid=False)
    assert await provider.capture(late, reference) == ()
    assert running.orders[reference]["status"] == "APPROVED"


async def test_the_seller_is_paid_less_the_fee(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    split = replace(ORDER, order_id=uuid4(), split=Split("MERCHANT1", 99))
    (reference,) = (await provider.create_checkout(split)).references
    (unit,) = running.orders[reference]["purchase_units"]
    assert unit["payee"] == {"merchant_id": "MERCHANT1"}
    fees = unit["payment_instruction"]["platform_fees"]
    assert fees == [{"amount": {"currency_code": "USD", "value": "0.99"}}]


async def test_an_order_that_nobody_told_of_is_found_and_captured(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    (reference,) = (await provider.create_checkout(ORDER)).references
    assert await provider.fetch(paid(reference)) == ()
    running.approve(reference)
    (event,) = await provider.fetch(paid(reference))
    assert isinstance(event, PaymentSucceeded)
    running.orders[reference]["status"] = "VOIDED"
    assert await provider.fetch(paid(reference)) == (CheckoutEnded(references=(reference,)),)


async def test_money_goes_back_once_for_each_key(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    (reference,) = (await provider.create_checkout(ORDER)).references
    running.approve(reference)
    (event,) = await provider.fetch(paid(reference))
    assert isinstance(event, PaymentSucceeded)
    order = paid(reference, event.payment_id)
    told = [await provider.refund(order, 500, "key") for _ in range(2)]
    assert told[0] == told[1]
    (refund,) = told[0]
    assert isinstance(refund, Refunded)
    assert (refund.payment_id, refund.amount_cents) == (event.payment_id, 500)
    assert (await provider.fetch(order))[1] == refund


async def test_a_subscription_is_paid_again_and_again(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    wanted = replace(ORDER, kind="SUBSCRIPTION", price_id="P-1", interval="MONTH")
    (reference,) = (await provider.create_checkout(wanted)).references
    assert reference.startswith("I-")
    resource = {
        "id": "SALE1",
        "billing_agreement_id": reference,
        "amount": {"total": "19.99", "currency": "USD"},
    }
    (event,) = provider.parse(running.event("PAYMENT.SALE.COMPLETED", resource)).events
    assert isinstance(event, PaymentSucceeded)
    assert (event.references, event.renews, event.amount_cents) == ((reference,), True, 1_999)
    with pytest.raises(DomainError):
        await provider.create_checkout(replace(wanted, price_id=None))


async def test_only_what_paypal_vouches_for_is_believed(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    genuine = running.event("CHECKOUT.ORDER.APPROVED", {"id": "X"})
    forged: list[tuple[dict[str, Any], DeliveryRefusal]] = [
        ({"headers": fake.headers("another")}, DeliveryRefusal.FORGED),
        ({"headers": {}}, DeliveryRefusal.FORGED),
        ({"body": genuine.body + b" "}, DeliveryRefusal.FORGED),
        ({"body": b"no json"}, DeliveryRefusal.UNREADABLE),
    ]
    for changed, refusal in forged:
        with pytest.raises(DeliveryRefused) as refused:
            await provider.verify(replace(genuine, **changed))
        assert refused.value.refusal is refusal
    # The certificate is PayPal's to fetch.
    assert {one.path for one in running.stub.asked} <= {fake.TOKEN, fake.VERIFY}


async def test_a_paypal_that_is_away_is_asked_again(
    provider: PayPalProvider, running: FakePayPal
) -> None:
    running.status = 503
    with pytest.raises(DomainError):
        await provider.create_checkout(ORDER)
    running.status = 200
    assert (await provider.create_checkout(ORDER)).url.startswith("https://paypal.test/")


@pytest.mark.parametrize(
    ("cents", "currency", "value"),
    [(1_999, "USD", "19.99"), (5, "EUR", "0.05"), (50_000, "JPY", "500")],
)
def test_amounts_are_written_as_paypal_takes_them(cents: int, currency: str, value: str) -> None:
    written = written_money(cents, currency)
    assert written == {"currency_code": currency, "value": value}
    assert money(written) == (cents, currency)


def test_half_of_its_settings_leave_it_off(settings: Settings) -> None:
    half = Settings.model_validate(settings.model_dump() | {"paypal_client_id": "only"})
    assert make_paypal(half) is None
