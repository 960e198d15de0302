"""What Stripe is told of who pays and leaves, what it tells of alone, and what its prices are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from jobs.subscriptions import forget_customer, learn_plan_prices
from payments.base import Delivery
from payments.stripe_client import RETURN_PATH
from server.checkout_return import CheckoutReturn

from ..conftest import MakeUser
from .test_stripe_billing import PRICES, Desk, desk, fake  # noqa: F401 -- fixtures

FORGETTING = """
select convert_from(payload, 'UTF8')::jsonb ->> 'customer' as customer from queue.pgqueuer
where entrypoint = 'forget_customer' and convert_from(payload, 'UTF8')::jsonb ->> 'customer' = $1
"""
MAILED = """
select u.id from emails e join users u on u.id = e.user_id where e.template = $1 and u.id = any ($2)
"""
SHOWN = "select month_cents, year_cents, currency from organization_plans where id = $1"


async def test_an_organization_that_is_gone_is_forgotten(desk: Desk) -> None:  # noqa: F811
    await desk.paid()
    customer = await desk.customer()
    await desk.owner.execute("delete from organizations where id = $1", desk.organization)
    assert len(await desk.owner.fetch(FORGETTING, customer)) == 1
    for _ in range(2):
        await desk.worker().run(forget_customer, provider="stripe", customer=customer)
    assert desk.fake.forgotten == [customer]


async def test_a_person_who_is_erased_is_forgotten(desk: Desk, make_user: MakeUser) -> None:  # noqa: F811
    buyer = await make_user(0)
    customer = f"cus_{buyer.user_id}"
    await desk.owner.execute(
        "insert into payment_customers (user_id, provider, customer_id) values ($1, 'stripe', $2)",
        buyer.user_id, customer,
    )  # fmt: skip
    forget = "select app.forget_customers($1, 10)"
    assert [await desk.owner.fetchval(forget, buyer.user_id) for _ in range(2)] == [1, 0]
    assert len(await desk.owner.fetch(FORGETTING, customer)) == 1


async def test_the_provider_has_to_be_configured_to_forget(desk: Desk) -> None:  # noqa: F811
    """The job fails and is tried again, rather than forgetting that there is somebody to forget."""
    with pytest.raises(LookupError):
        await desk.worker().run(forget_customer, provider="nobody", customer="cus_1")


async def test_what_plans_cost_is_what_stripe_asks(desk: Desk) -> None:  # noqa: F811
    before = {plan: await desk.owner.fetchrow(SHOWN, plan) for plan in ("starter", "pro")}
    desk.fake.price_cents["price_pro"] = 9_500
    desk.fake.show_prices()
    try:
        await desk.worker().run(learn_plan_prices)
        assert tuple(await desk.owner.fetchrow(SHOWN, "starter")) == (2900, 29000, "USD")
        # A price that the settings do not name stays as it is.
        assert tuple(await desk.owner.fetchrow(SHOWN, "pro")) == (9500, None, "USD")
        # Another currency for one of the two would be shown as the other's.
        note = "select app.note_plan_prices('starter', null, 27000, 'EUR')"
        assert await desk.owner.fetchval(note) is False
        assert tuple(await desk.owner.fetchrow(SHOWN, "starter")) == (2900, 29000, "USD")
        desk.fake.stub.answers.pop(f"/v1/prices/{PRICES['STRIPE_PRICE_PRO_MONTHLY']}")
        await desk.worker().run(learn_plan_prices)
        assert tuple(await desk.owner.fetchrow(SHOWN, "pro")) == (9500, None, "USD")
    finally:
        for plan, row in before.items():
            await desk.owner.execute(
                "update organization_plans set month_cents = $2, year_cents = $3, currency = $4"
                " where id = $1", plan, *row,
            )  # fmt: skip


async def shown(desk: Desk, session_id: str) -> str:  # noqa: F811
    """What the page says to which Stripe sends the buyer."""
    page = Starlette()
    pages = CheckoutReturn(desk.database, "The shop", "stripe", ("session_id",))
    page.add_route(RETURN_PATH, pages.show)
    transport = httpx.ASGITransport(page)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return (await client.get(RETURN_PATH, params={"session_id": session_id})).text


async def test_the_page_behind_checkout_knows_subscriptions(desk: Desk) -> None:  # noqa: F811
    made = await desk.create()
    session_id = (made.checkout_url or "").rpartition("/")[2]
    assert "Your plan begins in a moment" in await shown(desk, session_id)
    desk.fake.subscribe(session_id)
    await desk.deliver(desk.fake.delivered())
    assert "Your plan has begun" in await shown(desk, session_id)
    await desk.subscriptions.cancel(desk.boss, desk.organization, immediately=True)
    assert "Go back to the app" in await shown(desk, session_id)
    assert "Go back to the app" in await shown(desk, "cs_unknown")


def kind_of(delivery: Delivery) -> str:
    found: str = json.loads(delivery.body)["type"]
    return found


def renewed_unpaid(desk: Desk, subscription_id: str) -> None:  # noqa: F811
    desk.fake.declines = True
    desk.fake.renew(subscription_id)


def changed(desk: Desk, subscription_id: str) -> None:  # noqa: F811
    desk.fake.set_status(subscription_id, "past_due")


def ended(desk: Desk, subscription_id: str) -> None:  # noqa: F811
    desk.fake._cancel(subscription_id)


def nothing(desk: Desk, subscription_id: str) -> None:  # noqa: F811
    """It has just begun, and nothing of that was told yet."""


ALONE: list[tuple[str, Callable[[Any, str], None], str]] = [
    ("customer.subscription.created", nothing, "ACTIVE"),
    ("invoice.payment_succeeded", nothing, "ACTIVE"),
    ("customer.subscription.updated", changed, "PAST_DUE"),
    ("invoice.payment_failed", renewed_unpaid, "PAST_DUE"),
    ("customer.subscription.deleted", ended, "CANCELLED"),
]


@pytest.mark.parametrize(("kind", "happens", "status"), ALONE)
async def test_each_event_tells_enough_alone(
    desk: Desk,  # noqa: F811
    kind: str,
    happens: Callable[[Desk, str], None],
    status: str,
) -> None:
    """The others of the same moment may be lost, or come a day later."""
    made = await desk.create()
    subscription_id = desk.fake.subscribe((made.checkout_url or "").rpartition("/")[2])
    if happens is not nothing:
        await desk.deliver(desk.fake.delivered())
    happens(desk, subscription_id)
    told = [one for one in desk.fake.delivered() if kind_of(one) == kind]
    assert len(told) == 1
    before = (await desk.stands())[0]
    await desk.deliver(told)
    assert before != status
    assert (await desk.stands())[0] == status


async def test_who_manages_is_mailed_of_a_payment_that_failed(desk: Desk) -> None:  # noqa: F811
    subscription_id = await desk.paid()
    renewed_unpaid(desk, subscription_id)
    await desk.deliver(desk.fake.delivered())
    people = {actor.user_id: role for role, actor in desk.people.items()}
    mailed = await desk.owner.fetch(MAILED, "subscription_payment_failed", list(people))
    assert sorted(people[row["id"]] for row in mailed) == ["ADMIN", "OWNER"]
