"""Subscriptions that Stripe renews: paid, changed, ended and failed, in whatever order it tells of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError
from db.core.pool import Database
from db.subscriptions import operations
from jobs.core.declare import WorkerServices
from jobs.subscriptions import ask_subscriptions, end_subscription
from payments.base import Delivery
from payments.inbox import WebhookInbox
from payments.stripe import StripeProvider, make_stripe
from payments.subscriptions import Subscribed, Subscriptions, WantedChange, WantedSubscription
from settings import Settings

from ..conftest import MakeUser
from ..fakes.stripe import event
from ..fakes.stripe_billing import FakeBilling, stripe_billing

CENTS = {"price_starter": 2900, "price_starter_year": 29000, "price_pro": 9900}
PRICES = {
    "STRIPE_PRICE_STARTER_MONTHLY": "price_starter",
    "STRIPE_PRICE_STARTER_ANNUAL": "price_starter_year",
    "STRIPE_PRICE_PRO_MONTHLY": "price_pro",
}


@pytest.fixture
def fake() -> Iterator[FakeBilling]:
    with stripe_billing() as running:
        running.price_cents = dict(CENTS)
        running.yearly = {"price_starter_year"}
        running.show_prices()
        yield running


def dispute(payment: str) -> dict[str, Any]:
    """A dispute of what an invoice was paid with."""
    return {
        "id": f"dp_{uuid4().hex}",
        "object": "dispute",
        "payment_intent": payment,
        "amount": 2900,
        "currency": "usd",
        "status": "needs_response",
    }


@dataclass
class Desk:
    """An organization with an owner, an admin and a member, and what Stripe does to it."""

    fake: FakeBilling
    settings: Settings
    provider: StripeProvider
    inbox: WebhookInbox
    subscriptions: Subscriptions
    owner: asyncpg.Connection
    database: Database
    organization: UUID
    people: dict[str, Actor]

    @property
    def boss(self) -> Actor:
        return self.people["OWNER"]

    def worker(self) -> WorkerServices:
        """A worker that knows this Stripe."""
        return WorkerServices(self.database, Any, Any, lambda: None, self.settings)  # type: ignore[arg-type]

    async def create(self, **given: Any) -> Subscribed:
        asked = {
            "organization_id": self.organization,
            "plan_id": "starter",
            "interval": "MONTH",
            "seats": 1,
            "success_url": None,
            "cancel_url": None,
            "idempotency_key": str(uuid4()),
        }
        actor = given.pop("actor", self.boss)
        return await self.subscriptions.create(actor, WantedSubscription(**(asked | given)))

    async def paid(self, **given: Any) -> str:
        """A subscription that is paid and told of; Stripe's name of it."""
        made = await self.create(**given)
        assert made.checkout_url is not None
        subscription_id = self.fake.subscribe(made.checkout_url.rpartition("/")[2])
        await self.deliver(self.fake.delivered())
        return subscription_id

    async def deliver(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            assert (await self.inbox.receive(self.provider, delivery)).refusal is None
            event_id = self.provider.parse(delivery).event_id
            webhook = await self.owner.fetchval(
                "select id from webhook_events where event_id = $1", event_id
            )
            await self.inbox.process(webhook)

    async def reasons(self) -> list[str]:
        """Why deliveries of this Stripe were set aside."""
        rows = await self.owner.fetch(
            "select reason from webhook_events where status = 'QUARANTINED'"
            " and body like '%' || $1 || '%' order by id",
            await self.customer(),
        )
        return [row["reason"] for row in rows]

    async def customer(self) -> str:
        found: str = await self.owner.fetchval(
            "select customer_id from payment_customers where organization_id = $1",
            self.organization,
        )
        return found

    async def row(self) -> asyncpg.Record:
        found = await self.owner.fetchrow(
            "select * from provider_subscriptions where organization_id = $1", self.organization
        )
        assert found is not None
        return found

    async def stands(self) -> tuple[str, str, int]:
        """The subscription's state, and the plan and seats that the organization has."""
        found = await self.owner.fetchrow(
            "select s.status, o.plan_id, o.seats from organizations o"
            " join provider_subscriptions s on s.organization_id = o.id where o.id = $1",
            self.organization,
        )
        return tuple(found)  # type: ignore[return-value]

    async def told(self, title: str) -> dict[str, int]:
        """How often each was notified, and mailed, of something."""
        found = {}
        for role, actor in self.people.items():
            found[role] = await self.owner.fetchval(
                "select count(*) from notifications where user_id = $1 and title_key = $2",
                actor.user_id,
                f"notifications.{title}.title",
            )
        return found


@pytest.fixture
async def desk(
    settings: Settings,
    database: Database,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    fake: FakeBilling,
) -> Desk:
    given = {name.lower(): value for name, value in (fake.settings | PRICES).items()}
    settings = Settings(**(settings.model_dump() | given))
    provider = make_stripe(settings)
    assert provider is not None
    inbox = WebhookInbox(database, {"stripe": provider}, is_production=False)
    organization = await owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    people = {role: await make_user(0) for role in ("OWNER", "ADMIN", "MEMBER")}
    for role, actor in people.items():
        await owner.execute(
            "insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)",
            organization,
            actor.user_id,
            role,
        )
    subscriptions = Subscriptions(
        database, inbox, origins=["https://app.example.test"], takes_any_return=False
    )
    return Desk(
        fake, settings, provider, inbox, subscriptions, owner, database, organization, people
    )


async def test_what_is_paid_gives_the_plan_and_its_seats(desk: Desk) -> None:
    made = await desk.create(seats=3, idempotency_key="k")
    assert (await desk.create(seats=3, idempotency_key="k")) == made
    assert await desk.stands() == ("PENDING", "free", 1)
    session_id = (made.checkout_url or "").rpartition("/")[2]
    (asked,) = [one for one in desk.fake.stub.asked if one.path == "/v1/checkout/sessions"]
    assert asked.given["mode"] == "subscription"
    desk.fake.subscribe(session_id)
    await desk.deliver(desk.fake.delivered())
    assert await desk.stands() == ("ACTIVE", "starter", 3)
    row = await desk.row()
    assert row["current_period_end"] > datetime.now(UTC)
    (invoice,) = await desk.owner.fetch(
        "select * from provider_invoices where organization_id = $1", desk.organization
    )
    assert (invoice["status"], invoice["total_cents"], invoice["attempts"]) == ("PAID", 8700, 0)
    assert invoice["page_url"].startswith("https://invoice.stripe.test/")
    assert await desk.reasons() == []


@pytest.mark.parametrize("seed", range(4))
async def test_events_in_any_order_and_twice_end_in_what_stripe_says(desk: Desk, seed: int) -> None:
    subscription_id = await desk.paid()
    desk.fake.declines = True
    desk.fake.renew(subscription_id)
    desk.fake.declines = False
    desk.fake.retry(subscription_id)
    events = desk.fake.delivered()
    shuffled = [*events, *events]
    random.Random(seed).shuffle(shuffled)
    await desk.deliver(shuffled)
    assert await desk.stands() == ("ACTIVE", "starter", 1)
    states = await desk.owner.fetch(
        "select status from provider_invoices where organization_id = $1", desk.organization
    )
    assert [row["status"] for row in states] == ["PAID", "PAID"]
    assert await desk.reasons() == []


async def test_what_was_asked_for_earlier_changes_nothing(desk: Desk) -> None:
    subscription_id = await desk.paid()
    before = datetime.now(UTC) - timedelta(minutes=1)
    late = await desk.provider.subscriptions.ask_subscription(subscription_id, before)
    desk.fake.set_status(subscription_id, "past_due")
    await desk.deliver(desk.fake.delivered())
    assert (await desk.stands())[0] == "PAST_DUE"
    await desk.inbox.apply(desk.provider, "late", late)
    assert (await desk.stands())[0] == "PAST_DUE"


async def test_a_failed_payment_is_told_once_an_attempt_and_keeps_the_plan_for_the_grace(
    desk: Desk,
) -> None:
    subscription_id = await desk.paid()
    desk.fake.declines = True
    desk.fake.renew(subscription_id)
    events = desk.fake.delivered()
    await desk.deliver([*events, *reversed(events)])
    assert await desk.stands() == ("PAST_DUE", "starter", 1)
    title = "subscriptionPaymentFailed"
    assert await desk.told(title) == {"OWNER": 1, "ADMIN": 1, "MEMBER": 0}
    grace_ends_at = (await desk.row())["grace_ends_at"]
    assert timedelta(days=6) < grace_ends_at - datetime.now(UTC) < timedelta(days=8)
    desk.fake.retry(subscription_id)
    await desk.deliver(desk.fake.delivered())
    assert await desk.told(title) == {"OWNER": 2, "ADMIN": 2, "MEMBER": 0}
    assert (await desk.row())["grace_ends_at"] == grace_ends_at
    await operations.lapse(desk.database, 1000)
    assert await desk.stands() == ("PAST_DUE", "starter", 1)
    await desk.owner.execute(
        "update provider_subscriptions set grace_ends_at = now() where organization_id = $1",
        desk.organization,
    )
    await operations.lapse(desk.database, 1000)
    assert await desk.stands() == ("PAST_DUE", "free", 1)
    assert await desk.told("subscriptionEnded") == {"OWNER": 1, "ADMIN": 1, "MEMBER": 0}
    desk.fake.declines = False
    desk.fake.retry(subscription_id)
    await desk.deliver(desk.fake.delivered())
    assert await desk.stands() == ("ACTIVE", "starter", 1)


async def test_a_change_costs_what_its_preview_said_or_changes_nothing(desk: Desk) -> None:
    await desk.paid()
    wanted = WantedChange(plan_id="pro", seats=2)
    preview = await desk.subscriptions.preview(desk.boss, desk.organization, wanted)
    assert (preview.due_cents, preview.currency) == (2 * 9900 - 2900, "USD")
    desk.fake.declines = True
    with pytest.raises(DomainError) as refused:
        await desk.subscriptions.change(desk.boss, desk.organization, wanted, "declined")
    assert refused.value.code == "PROVIDER_REFUSED"
    assert await desk.stands() == ("ACTIVE", "starter", 1)
    desk.fake.declines = False
    for _ in range(2):
        exact = replace(wanted, moment=preview.moment)
        await desk.subscriptions.change(desk.boss, desk.organization, exact, "k")
    assert await desk.stands() == ("ACTIVE", "pro", 2)
    await desk.deliver(desk.fake.delivered())
    totals = await desk.owner.fetch(
        "select total_cents from provider_invoices where organization_id = $1 order by created_at",
        desk.organization,
    )
    assert sorted(row["total_cents"] for row in totals) == [2900, preview.due_cents]


async def test_a_subscription_ends_with_its_period_goes_on_or_ends_now(desk: Desk) -> None:
    await desk.paid(interval="YEAR")
    assert (await desk.row())["billing_interval"] == "YEAR"
    who = (desk.boss, desk.organization)
    await desk.subscriptions.cancel(*who, immediately=False)
    row = await desk.row()
    assert (row["status"], row["cancel_at_period_end"]) == ("ACTIVE", True)
    await desk.subscriptions.resume(*who)
    assert (await desk.row())["cancel_at_period_end"] is False
    with pytest.raises(DomainError) as refused:
        await desk.subscriptions.resume(*who)
    assert refused.value.code == "INVALID_STATE"
    await desk.subscriptions.cancel(*who, immediately=True)
    assert await desk.stands() == ("CANCELLED", "free", 1)
    await desk.deliver(desk.fake.delivered())
    assert await desk.stands() == ("CANCELLED", "free", 1)
    # And begins anew, whatever is told of the first.
    await desk.paid(plan_id="pro")
    assert await desk.stands() == ("ACTIVE", "pro", 1)


async def test_another_page_closes_the_first_and_one_that_was_paid_stands(desk: Desk) -> None:
    first = await desk.create()
    second = await desk.create(plan_id="pro")
    assert first.subscription_id == second.subscription_id
    closed = (first.checkout_url or "").rpartition("/")[2]
    assert desk.fake.sessions[closed]["status"] == "expired"
    desk.fake.subscribe((second.checkout_url or "").rpartition("/")[2])
    with pytest.raises(DomainError) as refused:
        await desk.create(plan_id="starter")
    assert refused.value.code == "INVALID_STATE"
    # It was asked how the page stands: nobody waits for the webhook.
    assert await desk.stands() == ("ACTIVE", "pro", 1)


async def test_a_second_subscription_of_one_organization_is_for_a_person(desk: Desk) -> None:
    first = await desk.paid()
    session = next(iter(desk.fake.sessions))
    desk.fake.sessions[session]["bought"] = ("price_pro", 1)
    desk.fake.subscribe(session)
    await desk.deliver(desk.fake.delivered())
    assert "SECOND_SUBSCRIPTION" in await desk.reasons()
    assert await desk.stands() == ("ACTIVE", "starter", 1)
    assert (await desk.row())["provider_subscription_id"] == first


async def test_what_other_customers_of_the_account_buy_is_none_of_ours(desk: Desk) -> None:
    await desk.paid()
    session = next(iter(desk.fake.sessions))
    desk.fake.sessions[session] |= {"customer": "cus_other", "bought": ("price_pro", 1)}
    desk.fake.subscribe(session)
    await desk.deliver(desk.fake.delivered())
    assert await desk.stands() == ("ACTIVE", "starter", 1)
    assert await desk.reasons() == []


async def test_stripe_that_fails_leaves_it_open_to_the_same_key(desk: Desk) -> None:
    desk.fake.fails_next = [500] * 3
    with pytest.raises(DomainError) as failed:
        await desk.create(idempotency_key="k")
    assert failed.value.code == "PROVIDER_FAILED"
    assert await desk.stands() == ("PENDING", "free", 1)
    assert (await desk.create(idempotency_key="k")).checkout_url is not None
    assert len(desk.fake.customers) == 1


async def test_money_back_of_an_organization_changes_no_plan_and_a_dispute_is_for_a_person(
    desk: Desk,
) -> None:
    subscription_id = await desk.paid()
    invoice = desk.fake.subscriptions[subscription_id]["latest_invoice"]
    desk.fake.refund_invoice(invoice)
    await desk.deliver(desk.fake.delivered())
    payment = desk.fake.invoices[invoice]["payments"]["data"][0]["payment"]["payment_intent"]
    await desk.deliver([event("charge.dispute.created", dispute(payment))])
    kinds = await desk.owner.fetch(
        "select kind, status, reason from webhook_events where body like '%' || $1 || '%'"
        " and kind like 'charge%' order by received_at",
        payment,
    )
    assert [tuple(row) for row in kinds] == [
        ("charge.refunded", "PROCESSED", None),
        ("charge.dispute.created", "QUARANTINED", "NEEDS_OPERATOR"),
    ]
    assert await desk.stands() == ("ACTIVE", "starter", 1)


@pytest.mark.parametrize("role", ["ADMIN", "MEMBER"])
async def test_only_owners_pay(desk: Desk, role: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await desk.create(actor=desk.people[role])
    assert refused.value.hint == "FORBIDDEN"


async def test_what_was_not_told_of_is_found_by_asking(desk: Desk) -> None:
    made = await desk.create()
    desk.fake.subscribe((made.checkout_url or "").rpartition("/")[2])
    await desk.owner.execute(
        "update provider_subscriptions set updated_at = now() - interval '1 hour' where id = $1",
        made.subscription_id,
    )
    await desk.worker().run(ask_subscriptions)
    assert await desk.stands() == ("ACTIVE", "starter", 1)
    assert made.subscription_id not in {
        one.subscription_id for one in await operations.subscriptions_to_ask(desk.database, 1000)
    }


async def test_what_nobody_has_any_more_is_ended_at_stripe(desk: Desk) -> None:
    subscription_id = await desk.paid()
    await desk.owner.execute("delete from organizations where id = $1", desk.organization)
    (job,) = await desk.owner.fetch(
        "select convert_from(payload, 'UTF8')::jsonb ->> 'provider' as provider from queue.pgqueuer"
        " where entrypoint = 'end_subscription'"
        " and convert_from(payload, 'UTF8')::jsonb ->> 'subscription' = $1",
        subscription_id,
    )
    assert job["provider"] == "stripe"
    for _ in range(2):
        await desk.worker().run(
            end_subscription, provider="stripe", subscription=subscription_id, checkout=None
        )
    assert desk.fake.subscriptions[subscription_id]["status"] == "canceled"
    with pytest.raises(DomainError) as refused:
        await desk.provider.subscriptions.cancel(
            subscription_id, datetime.now(UTC), immediately=True
        )
    assert refused.value.code == "PROVIDER_REFUSED"


async def plan_and_wallet(desk: Desk, user: Actor) -> tuple[Any, ...]:
    """A user's plan, how it stands, and their credits."""
    row = await desk.owner.fetchrow(
        "select u.plan_id, s.status, w.balance from users u"
        " left join plan_subscriptions s on s.user_id = u.id"
        " left join wallets w on w.user_id = u.id where u.id = $1",
        user.user_id,
    )
    assert row is not None
    return tuple(row)


@pytest.fixture
async def buyer(desk: Desk, make_user: MakeUser) -> AsyncIterator[Actor]:
    """Somebody who can subscribe to Pro for themselves, with 100 credits a month."""
    await desk.owner.execute(
        "with product as (insert into products (id, name, kind, plan_id, is_active, sort_order)"
        " values ('pro-renewed', 'Pro', 'SUBSCRIPTION', 'pro', true, 90)"
        " on conflict (id) do update set is_active = true)"
        " insert into product_prices"
        " (product_id, provider, amount_cents, currency, billing_interval, price_id)"
        " values ('pro-renewed', 'stripe', 9900, 'USD', 'MONTH', 'price_pro')"
        " on conflict do nothing"
    )
    yield await make_user(0)
    await desk.owner.execute("update products set is_active = false where id = 'pro-renewed'")


async def test_a_user_subscribes_and_each_period_gives_its_credits_once(
    desk: Desk, buyer: Actor
) -> None:
    own = {"actor": buyer, "organization_id": None, "plan_id": "pro"}
    subscription_id = await desk.paid(**own)
    assert await plan_and_wallet(desk, buyer) == ("pro", "ACTIVE", 100)
    # Another's renewal, told of twice and out of order, gives no more than its own month.
    await desk.subscriptions.cancel(buyer, None, immediately=False)
    assert (await plan_and_wallet(desk, buyer))[1] == "CANCELLING"
    await desk.subscriptions.resume(buyer, None)
    assert (await plan_and_wallet(desk, buyer))[1] == "ACTIVE"
    desk.fake.renew(subscription_id)
    events = desk.fake.delivered()
    await desk.deliver([*reversed(events), *events])
    periods = await desk.owner.fetch(
        "select kind from plan_periods where user_id = $1 order by starts_at", buyer.user_id
    )
    assert [row["kind"] for row in periods] == ["START", "RENEWAL"]
    assert await plan_and_wallet(desk, buyer) == ("pro", "ACTIVE", 100)
    await desk.subscriptions.cancel(buyer, None, immediately=True)
    plan = await plan_and_wallet(desk, buyer)
    assert plan[0] == "free"
    assert plan[1] == "ENDED"


async def test_a_refunded_invoice_takes_back_what_it_gave(desk: Desk, buyer: Actor) -> None:
    subscription_id = await desk.paid(actor=buyer, organization_id=None, plan_id="pro")
    desk.fake.refund_invoice(desk.fake.subscriptions[subscription_id]["latest_invoice"])
    await desk.deliver(desk.fake.delivered())
    plan, status, _ = await plan_and_wallet(desk, buyer)
    assert (plan, status) == ("free", "ENDED")
    statuses = await desk.owner.fetch("select status from orders where user_id = $1", buyer.user_id)
    assert [row["status"] for row in statuses] == ["REFUNDED"]
