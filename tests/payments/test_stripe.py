"""Stripe: what its objects say, what a checkout asks for, and its API over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.base import DeliveryRefusal, DeliveryRefused, NewCheckout, PaidOrder
from payments.checkouts import Checkouts
from payments.events import (
    CheckoutEnded,
    DisputeClosed,
    PaymentFailed,
    PaymentPending,
    PaymentSucceeded,
    Refunded,
    SubscriptionCheckoutEnded,
)
from payments.inbox import WebhookInbox
from payments.refunds import Refunds
from payments.stripe import RETURN_PATH, StripeProvider, make_stripe
from payments.stripe_billing_events import StripeChanged
from server.checkout_return import CheckoutReturn
from settings import Settings
from tests.fakes import stripe
from tests.fakes.stripe import CUSTOMERS, PORTALS, SESSIONS, FakeStripe

from ..conftest import MakeUser
from .conftest import PRICE

# Of the way in which the library hands its body to httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
ORDER = {"order_id": "018f0000-0000-7000-8000-000000000001"}
SUCCESS = "https://app.example.test/paid"


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with stripe.stripe() as made:
        yield made


def settings_with(folder: Path, **given: Any) -> Settings:
    named = {name.lower(): value for name, value in given.items()}
    return Settings(_env_file=None, data_directory=folder, **named)


def provider_of(fake: FakeStripe, folder: Path, **given: Any) -> StripeProvider:
    made = make_stripe(settings_with(folder, **(fake.settings | given)))
    assert made is not None
    return made


@pytest.fixture
def provider(fake: FakeStripe, tmp_path: Path) -> StripeProvider:
    return provider_of(fake, tmp_path)


def session(**changed: Any) -> dict[str, Any]:
    return stripe.checkout_session("cs_test_1", 500, "usd", ORDER, **changed)


def charged(**changed: Any) -> dict[str, Any]:
    return stripe.charge("pi_1", 500, "usd", ORDER, **changed)


def disputed(status: str) -> dict[str, Any]:
    return {
        "id": "dp_1", "payment_intent": "pi_1", "amount": 500, "currency": "usd", "status": status,
    }  # fmt: skip


PAID = {"status": "complete", "payment_status": "paid", "payment_intent": "pi_1"}
UNPAID = PAID | {"payment_status": "unpaid"}
SAYS: list[tuple[str, dict[str, Any], list[type]]] = [
    ("checkout.session.completed", session(**PAID), [PaymentSucceeded]),
    ("checkout.session.completed", session(**UNPAID), [PaymentPending]),
    ("checkout.session.async_payment_succeeded", session(**PAID), [PaymentSucceeded]),
    ("checkout.session.async_payment_failed", session(**UNPAID), [PaymentFailed]),
    ("checkout.session.expired", session(status="expired"), [CheckoutEnded]),
    ("charge.refunded", charged(amount_refunded=200), [Refunded]),
    ("charge.dispute.closed", disputed("lost"), [DisputeClosed]),
    ("customer.created", {"id": "cus_1"}, []),
    # What the same account sells by a payment link, whoever's order its reference names.
    ("checkout.session.completed", session(**PAID) | {"metadata": {}}, []),
    # What an invoice asked for, perhaps: Stripe is asked.
    ("charge.refunded", charged(id="ch_1") | {"metadata": None}, [StripeChanged]),
    ("checkout.session.completed", session(mode="subscription", **PAID), []),
    (
        "checkout.session.completed",
        session(mode="subscription", subscription="sub_1", **PAID),
        [StripeChanged],
    ),
    (
        "checkout.session.expired",
        session(mode="subscription", status="expired"),
        [SubscriptionCheckoutEnded],
    ),
    ("customer.subscription.updated", {"id": "sub_1"}, [StripeChanged]),
    ("invoice.payment_failed", {"id": "in_1"}, [StripeChanged]),
    ("invoice.upcoming", {"object": "invoice"}, []),
]


@pytest.mark.parametrize(("kind", "about", "expected"), SAYS)
async def test_each_event_says_what_happened(
    provider: StripeProvider, kind: str, about: dict[str, Any], expected: list[type]
) -> None:
    delivery = stripe.event(kind, about)
    await provider.verify(delivery)
    notice = provider.parse(delivery)
    assert [type(event) for event in notice.events] == expected
    assert (notice.kind, notice.is_test) == (kind, True)
    for event in notice.events:
        assert set(event.references) <= {"cs_test_1", "pi_1", "ch_1", "sub_1", "in_1"}


@pytest.mark.parametrize(
    ("status", "won"), [("won", True), ("warning_closed", True), ("lost", False)]
)
def test_a_dispute_that_is_not_lost_is_won(
    provider: StripeProvider, status: str, won: bool
) -> None:
    (event,) = provider.parse(stripe.event("charge.dispute.closed", disputed(status))).events
    assert isinstance(event, DisputeClosed)
    assert event.won is won


def test_what_is_paid_is_told_beside_what_was_asked(provider: StripeProvider) -> None:
    about = session(**PAID, amount_total=450)
    (event,) = provider.parse(stripe.event("checkout.session.completed", about)).events
    assert isinstance(event, PaymentSucceeded)
    assert (event.amount_cents, event.listed_cents, event.currency) == (450, 500, "USD")


@pytest.mark.parametrize(
    ("total", "details", "listed"),
    [
        (450, {"amount_discount": 50, "amount_tax": 0}, 500),
        (0, {"amount_discount": 500, "amount_tax": 0}, 500),
        (550, {"amount_discount": 0, "amount_tax": 50}, 500),
        (1, {"amount_discount": 0, "amount_tax": 0}, 1),
    ],
    ids=["code", "free", "tax", "unexplained"],
)
def test_what_is_paid_less_is_explained_by_discounts(
    provider: StripeProvider, total: int, details: dict[str, int], listed: int
) -> None:
    about = session(**PAID, amount_total=total, total_details=details)
    (event,) = provider.parse(stripe.event("checkout.session.completed", about)).events
    assert isinstance(event, PaymentSucceeded)
    assert (event.amount_cents, event.listed_cents) == (total, listed)


async def test_a_secret_that_is_being_rolled_is_believed(fake: FakeStripe, tmp_path: Path) -> None:
    rolling = provider_of(
        fake, tmp_path, STRIPE_WEBHOOK_SECRET=f"whsec_new, {stripe.WEBHOOK_SECRET}"
    )
    delivery = stripe.event("customer.created", {"id": "cus_1"})
    await rolling.verify(delivery)
    new = stripe.signature(delivery.body, datetime.now(UTC), "whsec_new")
    await rolling.verify(replace(delivery, headers={"stripe-signature": new}))


HEADERS = ["", "t=1", "v1=0", "t=x,v1=0", "t=,v1=", "nonsense", "t=1,v1=\u00e9", ",,,", "t=1,v1"]


@pytest.mark.parametrize("header", HEADERS)
async def test_a_signature_that_makes_no_sense_is_forged(
    provider: StripeProvider, header: str
) -> None:
    delivery = stripe.event("customer.created", {"id": "cus_1"})
    with pytest.raises(DeliveryRefused) as refused:
        await provider.verify(replace(delivery, headers={"stripe-signature": header}))
    assert refused.value.refusal is DeliveryRefusal.FORGED


UNREADABLE = [
    b"[]",
    b"{",
    b'{"id": 1, "type": "t", "livemode": false, "created": 1}',
    stripe.event("checkout.session.completed", session(**PAID) | {"amount_total": "5"}).body,
    stripe.event("checkout.session.completed", session(**PAID) | {"amount_total": -499}).body,
    stripe.event("checkout.session.completed", session(**PAID) | {"amount_total": 10**18}).body,
    stripe.event("charge.refunded", charged(amount_refunded=-1)).body,
    stripe.event("charge.dispute.closed", disputed("lost") | {"amount": 10**18}).body,
    stripe.event("checkout.session.completed", {"metadata": ORDER}).body,
    stripe.event("customer.created", {}, livemode=True).body,
]


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_is_not_as_documented_is_unreadable(provider: StripeProvider, body: bytes) -> None:
    delivery = replace(stripe.event("customer.created", {}), body=body)
    with pytest.raises(DeliveryRefused) as refused:
        provider.parse(delivery)
    assert refused.value.refusal is DeliveryRefusal.UNREADABLE


def test_an_event_of_a_connected_account_says_nothing(provider: StripeProvider) -> None:
    told = stripe.event("checkout.session.completed", session(**PAID), account="acct_1")
    assert provider.parse(told).events == ()


@pytest.mark.parametrize(
    "given",
    [
        {"STRIPE_SECRET_KEY": ""},
        {"STRIPE_WEBHOOK_SECRET": ""},
        {"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": ""},
    ],
)
def test_without_its_secrets_it_is_off(
    fake: FakeStripe, tmp_path: Path, given: dict[str, str]
) -> None:
    assert make_stripe(settings_with(tmp_path, **(fake.settings | given))) is None


def test_a_test_key_is_off_in_production(fake: FakeStripe, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, **fake.settings)
    assert make_stripe(settings.model_copy(update={"environment": "production"})) is None


def new_checkout(**changed: Any) -> NewCheckout:
    made = NewCheckout(
        order_id=uuid4(),
        user_id=uuid4(),
        email="buyer@example.test",
        product_id="credits-50",
        product_name="50 credits",
        kind="CREDITS",
        amount_cents=500,
        currency="USD",
    )
    return replace(made, **changed)


async def test_asked_twice_for_an_order_it_makes_one_session(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    wanted = new_checkout()
    first, second = [await provider.create_checkout(wanted) for _ in range(2)]
    assert first == second
    assert len(fake.sessions) == 1
    assert fake.customers == [str(wanted.user_id)]
    assert first.expires_at - datetime.now(UTC) > timedelta(hours=23)
    again = await provider.create_checkout(new_checkout(customer_id=first.customer_id))
    assert again.customer_id == first.customer_id
    assert len(fake.customers) == 1


async def test_what_is_passed_through(fake: FakeStripe, tmp_path: Path) -> None:
    provider = provider_of(fake, tmp_path, STRIPE_PROMOTION_CODES=True, STRIPE_AUTOMATIC_TAX=True)
    wanted = new_checkout(success_url=SUCCESS, cancel_url="https://app.example.test/back")
    await provider.create_checkout(wanted)
    (given,) = [one.given for one in fake.stub.asked if one.path == SESSIONS]
    assert given["allow_promotion_codes"] == given["automatic_tax[enabled]"] == "true"
    assert (given["success_url"], given["cancel_url"]) == (SUCCESS, wanted.cancel_url)
    assert given["payment_intent_data[metadata][order_id]"] == str(wanted.order_id)
    (known,) = [one.given for one in fake.stub.asked if one.path == CUSTOMERS]
    assert known["email"] == wanted.email


async def test_a_price_of_another_amount_sells_nothing(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    fake.price_cents = {"price_right": 500, "price_wrong": 5}
    assert await provider.create_checkout(new_checkout(price_id="price_right"))
    with pytest.raises(DomainError) as refused:
        await provider.create_checkout(new_checkout(price_id="price_wrong"))
    assert refused.value.code is ErrorCode.PROVIDER_FAILED
    (made,) = [one for one in fake.sessions.values() if one["amount_subtotal"] == 5]
    assert made["status"] == "expired"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"id": "cs_test_1"},
        {"id": "cs_test_1", "url": "https://checkout.stripe.test/1"},
        {"id": "cs_test_1", "url": "https://checkout.stripe.test/1", "expires_at": 9_999_999_999},
        {
            "id": "cs_test_1",
            "url": "https://checkout.stripe.test/1",
            "expires_at": 10**18,
            "amount_subtotal": 500,
            "currency": "usd",
        },
    ],
    ids=["empty", "list", "no-url", "no-end", "no-amount", "far-end"],
)
async def test_a_session_without_sense_is_the_providers_fault(
    fake: FakeStripe, provider: StripeProvider, answer: Any
) -> None:
    fake.stub.answers[SESSIONS] = lambda _: (200, answer)
    with pytest.raises(DomainError) as refused:
        await provider.create_checkout(new_checkout())
    assert refused.value.code is ErrorCode.PROVIDER_FAILED


async def test_what_else_is_without_sense_is_the_providers_fault(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    for path in (CUSTOMERS, PORTALS):
        fake.stub.answers[path] = lambda _: (200, {})
    for asked in (
        provider.create_checkout(new_checkout()),
        provider.create_portal("cus_1", None),
    ):
        with pytest.raises(DomainError) as refused:
            await asked
        assert refused.value.code is ErrorCode.PROVIDER_FAILED


async def test_it_is_asked_again_after_a_fault(fake: FakeStripe, provider: StripeProvider) -> None:
    fake.fails_next = [503]
    assert await provider.create_checkout(new_checkout())


@pytest.mark.parametrize(
    ("key", "code"),
    [("sk_test_other", ErrorCode.PROVIDER_FAILED), ("sk_test_secret", ErrorCode.PROVIDER_REFUSED)],
)
async def test_a_refusal_is_told_from_a_fault(
    fake: FakeStripe, tmp_path: Path, key: str, code: ErrorCode
) -> None:
    provider = provider_of(fake, tmp_path, STRIPE_SECRET_KEY=key)
    fake.charges["pi_1"] = charged(amount_refunded=500)
    paid = PaidOrder(uuid4(), "pi_1", 500, "USD", ("cs_test_1",))
    with pytest.raises(DomainError) as refused:
        await provider.refund(paid, 500, "key")
    assert refused.value.code is code


async def test_stripe_alone_says_how_much_went_back(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    """Another refund that was asked for meanwhile, and counted here, may be refused."""
    fake.charges["pi_1"] = charged()
    paid = PaidOrder(uuid4(), "pi_1", 500, "USD", ("cs_test_1",), refunded_cents=200)
    (event,) = await provider.refund(paid, 100, "key")
    assert isinstance(event, Refunded)
    assert (event.payment_id, event.amount_cents, event.currency) == ("pi_1", 100, "USD")


class Store:
    """A shop that sells by the fake."""

    def __init__(
        self, settings: Settings, database: Database, owner: asyncpg.Connection, fake: FakeStripe
    ) -> None:
        told = {name.lower(): value for name, value in fake.settings.items()}
        provider = make_stripe(Settings.model_validate(settings.model_dump() | told))
        assert provider is not None
        self.provider, self.fake, self.owner = provider, fake, owner
        self.inbox = WebhookInbox(database, {"stripe": provider}, is_production=False)
        self.checkouts = Checkouts(
            database, self.inbox.providers, origins=["https://app.example.test"],
            takes_any_return=False,
        )  # fmt: skip
        self.refunds = Refunds(database, self.inbox)
        self.page = Starlette()
        self.page.add_route(
            RETURN_PATH, CheckoutReturn(database, "The shop", "stripe", ("session_id",)).show
        )

    async def order(self, buyer: Actor) -> tuple[Any, str]:
        """An order of a buyer's, and its session."""
        bought = await self.checkouts.create(
            buyer,
            product_id="credits-50",
            provider="stripe",
            success_url=None,
            cancel_url=None,
            idempotency_key=str(uuid4()),
        )
        return bought.order_id, bought.url.rpartition("/")[2]

    async def delivered(self, session_id: str) -> None:
        """The buyer pays, Stripe tells of it, and the job runs."""
        delivery = self.fake.pay(session_id)
        assert (await self.inbox.receive(self.provider, delivery)).refusal is None
        event_id = self.provider.parse(delivery).event_id
        webhook = await self.owner.fetchval(
            "select id from webhook_events where event_id = $1", event_id
        )
        await self.inbox.process(webhook)

    async def books(self, order_id: Any, buyer: Actor) -> tuple[Any, ...]:
        """The order's state, what went back of it, and the buyer's credits."""
        row = await self.owner.fetchrow(
            "select o.status, o.refunded_cents, w.balance from orders o"
            " left join wallets w on w.user_id = $2 where o.id = $1",
            order_id,
            buyer.user_id,
        )
        return tuple(row) if row else ()

    async def shown(self, **query: str) -> str:
        """What the buyer's browser is shown."""
        transport = httpx.ASGITransport(self.page)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answer = await client.get(RETURN_PATH, params=query)
        assert answer.status_code == 200
        return answer.text


@pytest.fixture
async def store(
    settings: Settings, database: Database, owner: asyncpg.Connection, fake: FakeStripe
) -> Store:
    await owner.execute(PRICE, "stripe")
    return Store(settings, database, owner, fake)


# What Stripe takes off and adds, what is then paid of 500, and what a refund of 100 cents is worth.
MONEY = [(0, 0, 500, 100, 10), (20, 0, 400, 125, 12), (0, 20, 600, 83, 8)]


@pytest.mark.parametrize(("discount", "tax", "paid", "of_order", "credits"), MONEY)
async def test_discounts_and_taxes_are_stripes(
    store: Store, make_user: MakeUser, discount: int, tax: int, paid: int, of_order: int, credits: int
) -> None:  # fmt: skip
    """The credits are those of the order; of what was paid all can go back, and no more."""
    store.fake.discount_percent, store.fake.tax_percent = discount, tax
    buyer, admin = await make_user(0), await make_user(0)
    await store.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    order_id, session_id = await store.order(buyer)
    assert "is being confirmed" in await store.shown(session_id=session_id)
    await store.delivered(session_id)
    assert await store.books(order_id, buyer) == ("PAID", 0, 50)
    assert "it is paid" in await store.shown(session_id=session_id)
    asked: dict[str, Any] = {"order_id": order_id, "reason": "r"}
    await store.refunds.refund(admin, amount_cents=100, idempotency_key="a", **asked)
    assert await store.books(order_id, buyer) == ("PARTIALLY_REFUNDED", of_order, 50 - credits)
    await store.refunds.refund(admin, amount_cents=100, idempotency_key="a", **asked)
    await store.refunds.refund(admin, amount_cents=None, idempotency_key="b", **asked)
    assert await store.books(order_id, buyer) == ("REFUNDED", 500, 0)
    (charge,) = store.fake.charges.values()
    assert charge["amount_refunded"] == charge["amount"] == paid


async def test_what_a_code_made_free_is_given(store: Store, make_user: MakeUser) -> None:
    store.fake.discount_percent = 100
    buyer = await make_user(0)
    order_id, session_id = await store.order(buyer)
    await store.delivered(session_id)
    assert await store.books(order_id, buyer) == ("PAID", 0, 50)


async def test_a_lost_webhook_is_found_by_asking(store: Store, make_user: MakeUser) -> None:
    buyer = await make_user(0)
    order_id, session_id = await store.order(buyer)
    asked = PaidOrder(order_id, None, 500, "USD", (session_id,))
    assert await store.provider.fetch(asked) == ()
    store.fake.pay(session_id)
    (charge,) = store.fake.charges.values()
    charge["amount_refunded"] = 500
    events = await store.provider.fetch(asked)
    assert [type(event) for event in events] == [PaymentSucceeded, Refunded]
    await store.inbox.apply(store.provider, "fetch", events)
    assert await store.books(order_id, buyer) == ("REFUNDED", 500, 0)


async def test_a_customer_is_shown_what_they_paid(store: Store, make_user: MakeUser) -> None:
    buyer, stranger = await make_user(0), await make_user(0)
    with pytest.raises(DomainError) as refused:
        await store.checkouts.portal(stranger, provider="stripe", return_url=None)
    assert refused.value.code is ErrorCode.INVALID_STATE
    urls = []
    for _ in range(2):
        await store.order(buyer)
        urls.append(await store.checkouts.portal(buyer, provider="stripe", return_url=None))
    assert urls[0] == urls[1]
    customer = await store.owner.fetchval(
        "select customer_id from payment_customers where user_id = $1", buyer.user_id
    )
    assert urls[0].endswith(customer)


@pytest.mark.parametrize("session_id", ["", "cs_unknown", "\x00", "c" * 1000])
async def test_a_browser_that_brings_no_session_is_told_nothing(
    store: Store, session_id: str
) -> None:
    assert "Go back to the app" in await store.shown(session_id=session_id)
