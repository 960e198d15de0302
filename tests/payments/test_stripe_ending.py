"""Pages and subscriptions at Stripe that end: paid on already, or of an organization that is to be deleted."""

from __future__ import annotations

import asyncpg
import pytest

from db.core.commands import call_as_actor
from db.organizations import operations as organizations
from jobs.core.declare import declared_work
from jobs.subscriptions import end_subscription
from payments.subscriptions import WantedChange

from .test_stripe_billing import Desk, desk, fake

__all__ = ["desk", "fake"]


async def do_ends(desk: Desk) -> None:
    """What is in line to be ended at Stripe for the organization."""
    jobs = await desk.owner.fetch(
        "delete from queue.pgqueuer q using provider_subscriptions s"
        " where s.organization_id = $1 and q.dedupe_key = 'stop_renewal:' || s.id"
        " returning q.payload",
        desk.organization,
    )
    for job in jobs:
        given = declared_work().jobs["end_subscription"].arguments(job["payload"])
        await desk.worker().run(end_subscription, **given)


async def test_a_page_that_was_paid_on_is_not_shown_again(desk: Desk) -> None:
    await desk.paid(idempotency_key="one")
    assert (await desk.create(idempotency_key="one")).checkout_url is None


@pytest.mark.parametrize("known", ["subscription", "checkout"])
def test_what_ends_at_stripe_is_read_by_what_is_known_of_it(known: str) -> None:
    job = declared_work().jobs["end_subscription"]
    given = job.arguments(f'{{"provider": "stripe", "{known}": "it"}}'.encode())
    nothing = {"subscription": None, "checkout": None, "at_period_end": False}
    assert given == nothing | {"provider": "stripe", known: "it"}


async def test_what_is_to_be_deleted_is_not_renewed_and_not_paid_for(desk: Desk) -> None:
    subscription_id = await desk.paid()
    await call_as_actor(desk.database, desk.boss, organizations.delete(desk.organization))
    await do_ends(desk)
    ending = desk.fake.subscriptions[subscription_id]
    assert (ending["status"], ending["cancel_at_period_end"]) == ("active", True)
    who = (desk.boss, desk.organization)
    with pytest.raises(asyncpg.PostgresError, match="to be deleted"):
        await desk.subscriptions.resume(*who)
    with pytest.raises(asyncpg.PostgresError, match="to be deleted"):
        await desk.subscriptions.change(*who, WantedChange(plan_id="pro"), "key")
    await desk.subscriptions.cancel(*who, immediately=True)
    with pytest.raises(asyncpg.PostgresError, match="to be deleted"):
        await desk.create()


async def test_a_page_of_what_is_to_be_deleted_takes_no_payment(desk: Desk) -> None:
    page = (await desk.create()).checkout_url or ""
    await call_as_actor(desk.database, desk.boss, organizations.delete(desk.organization))
    await do_ends(desk)
    assert desk.fake.sessions[page.rpartition("/")[2]]["status"] == "expired"
