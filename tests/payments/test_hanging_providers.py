"""A provider that has to be asked: only about orders of ours, and never for longer than others can wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from jobs.billing import NewWebhooks, process_webhook
from jobs.core.declare import RetryLater, WorkerServices
from payments import provider_turns
from payments.base import Delivery
from payments.checkouts import Checkouts
from payments.inbox import WebhookInbox, inbox_of
from payments.provider_turns import ASKED_AT_ONCE, ProviderHangs, ProviderTurns
from payments.registry import configured_providers
from settings import Settings

from ..conftest import MakeUser
from ..fakes.paypal import VERIFY, FakePayPal, paypal
from .conftest import PRICE, PRODUCT


@dataclass
class Till:
    """A shop that is paid at PayPal and in the sandbox, and one worker's inbox of both."""

    paypal: FakePayPal
    database: Database
    owner: asyncpg.Connection
    checkouts: Checkouts
    inbox: WebhookInbox
    services: Any

    async def order(self, buyer: Actor, provider: str = "paypal") -> tuple[UUID, str]:
        """An order of somebody's, and the provider's name of it."""
        bought = await self.checkouts.create(
            buyer,
            product_id=PRODUCT,
            provider=provider,
            success_url=None,
            cancel_url=None,
            idempotency_key=str(uuid4()),
        )
        reference = await self.owner.fetchval(
            "select reference from order_references where order_id = $1", bought.order_id
        )
        return bought.order_id, reference

    async def deliver(self, delivery: Delivery, provider: str = "paypal") -> UUID:
        """A provider delivers; the webhook as it was stored."""
        received = await self.inbox.receive(self.inbox.providers[provider], delivery)
        assert received.refusal is None
        stored: UUID = await self.owner.fetchval(
            "select id from webhook_events where provider = $1 order by received_at desc limit 1",
            provider,
        )
        return stored

    async def status(self, order_id: UUID) -> str:
        """How far an order is."""
        found: str = await self.owner.fetchval("select status from orders where id = $1", order_id)
        return found

    async def reason(self, webhook_id: UUID) -> tuple[str, str | None]:
        """How a webhook stands, and why."""
        row = await self.owner.fetchrow(
            "select status, reason from webhook_events where id = $1", webhook_id
        )
        return row["status"], row["reason"]


@pytest.fixture
async def till(
    database: Database, owner: asyncpg.Connection, settings: Settings
) -> AsyncIterator[Till]:
    with paypal() as running:
        given = {name.lower(): value for name, value in running.settings.items()}
        providers = configured_providers(Settings.model_validate(settings.model_dump() | given))
        wanted = {name: providers[name] for name in ("paypal", "sandbox")}
        inbox = WebhookInbox(database, wanted, is_production=False)
        for name in wanted:
            await owner.execute(PRICE, name)
        services = WorkerServices(database, Any, Any, lambda: None, settings)  # type: ignore[arg-type]
        services._states[inbox_of] = inbox
        checkouts = Checkouts(database, wanted, origins=[], takes_any_return=True)
        yield Till(running, database, owner, checkouts, inbox, services)
        await owner.execute("delete from webhook_events where provider = 'paypal'")


async def test_an_approved_order_is_captured_where_it_is_ours(
    till: Till, make_user: MakeUser
) -> None:
    order_id, reference = await till.order(await make_user())
    webhook = await till.deliver(till.paypal.approve(reference))
    await till.inbox.process(webhook)
    assert await till.status(order_id) == "PAID"
    assert till.paypal.orders[reference]["status"] == "COMPLETED"


async def test_an_approved_order_of_somebody_elses_is_left_alone(
    till: Till, make_user: MakeUser
) -> None:
    order_id, reference = await till.order(await make_user())
    # Another program sells with the same account, and names our order as its own.
    unit = dict(till.paypal.orders[reference]["purchase_units"][0])
    _, strange = till.paypal._create({"purchase_units": [unit]})
    webhook = await till.deliver(till.paypal.approve(strange["id"]))
    await till.inbox.process(webhook)
    assert await till.reason(webhook) == ("PROCESSED", None)
    assert till.paypal.orders[strange["id"]]["status"] == "APPROVED"
    assert await till.status(order_id) == "PENDING"


async def test_an_approved_order_with_another_amount_is_for_a_person(
    till: Till, make_user: MakeUser
) -> None:
    order_id, reference = await till.order(await make_user())
    unit = till.paypal.orders[reference]["purchase_units"][0]
    unit["amount"] = {"currency_code": "USD", "value": "0.01"}
    webhook = await till.deliver(till.paypal.approve(reference))
    await till.inbox.process(webhook)
    assert await till.reason(webhook) == ("QUARANTINED", "NEEDS_OPERATOR")
    assert till.paypal.orders[reference]["status"] == "APPROVED"
    assert await till.status(order_id) == "PENDING"


@pytest.fixture
def hanging(till: Till, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """PayPal takes calls, and answers none about its signatures until this is set."""
    monkeypatch.setattr(provider_turns, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(provider_turns, "HANGING_SECONDS", 0.1)
    answers, verify = threading.Event(), till.paypal.stub.answers[VERIFY]

    def later(request: Any) -> Any:
        answers.wait(20)
        return verify(request)

    till.paypal.stub.answers[VERIFY] = later
    yield answers
    answers.set()


async def test_who_hangs_holds_up_nobody_else(
    till: Till, make_user: MakeUser, hanging: threading.Event
) -> None:
    buyer = await make_user()
    orders = [await till.order(buyer) for _ in range(10)]
    webhooks = [await till.deliver(till.paypal.approve(reference)) for _, reference in orders]
    new = NewWebhooks()
    waiting = asyncio.create_task(new.process(till.services, "paypal"))
    await asyncio.sleep(0.1)
    # What another provider tells meanwhile is done while PayPal is still being asked.
    order_id, reference = await till.order(buyer, "sandbox")
    sandbox: Any = till.inbox.providers["sandbox"]
    data = {"order": reference, "payment": "p", "amount_cents": 500, "currency": "USD"}
    await till.deliver(sandbox.delivery("payment.succeeded", data), "sandbox")
    await new.process(till.services, "sandbox")
    assert await till.status(order_id) == "PAID"
    assert not waiting.done()
    await asyncio.wait_for(waiting, 5)
    # Of ten no more than four were asked about, and all of them wait for a job.
    assert till.paypal.stub.count(VERIFY) <= ASKED_AT_ONCE
    queued = "select count(*) from queue.pgqueuer where entrypoint = 'process_webhook'"
    assert await till.owner.fetchval(queued) >= len(webhooks)
    # The jobs end at once as well, and come again later.
    began = time.monotonic()
    for webhook in webhooks:
        with pytest.raises(RetryLater) as later:
            await process_webhook(till.services, webhook_id=webhook)
        assert 0 < later.value.seconds <= 300
    assert time.monotonic() - began < 2
    # Once it answers, all of them are done.
    hanging.set()
    till.inbox._turns.clear()
    for webhook in webhooks:
        await process_webhook(till.services, webhook_id=webhook)
    assert [await till.status(order_id) for order_id, _ in orders] == ["PAID"] * len(orders)
    await till.owner.execute("delete from queue.pgqueuer where entrypoint = 'process_webhook'")


async def test_who_hangs_for_days_is_for_a_person(
    till: Till, make_user: MakeUser, hanging: threading.Event
) -> None:
    _, reference = await till.order(await make_user())
    webhook = await till.deliver(till.paypal.approve(reference))
    await till.owner.execute(
        "update webhook_events set received_at = now() - interval '4 days' where id = $1", webhook
    )
    await till.inbox.process(webhook)
    assert await till.reason(webhook) == ("QUARANTINED", "FAILED")


async def test_a_provider_rests_longer_each_time_it_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider_turns, "ASK_SECONDS", 0.01)
    now = 0.0
    turns = ProviderTurns("paypal", lambda: now)

    async def ask(seconds: float = 60.0) -> float:
        with pytest.raises(ProviderHangs) as hangs:
            async with turns.turn(waits=False):
                await asyncio.sleep(seconds)
        return hangs.value.seconds

    assert [await ask(), await ask()] == [10, 10]
    now = 11
    assert await ask() == 20
    now = 100
    async with turns.turn(waits=False):
        pass
    assert await ask() == 10
    # What fails at once is no hanging: the next may ask.
    now = 200
    for _ in range(3):
        with pytest.raises(DomainError) as failed:
            async with turns.turn(waits=False):
                raise DomainError(ErrorCode.PROVIDER_FAILED, "no")
        assert not isinstance(failed.value, ProviderHangs)
    # So many ask at once, and no more; who waits is next.
    monkeypatch.setattr(provider_turns, "ASK_SECONDS", 20.0)

    async def wait() -> bool:
        async with turns.turn(waits=True):
            return True

    async with AsyncExitStack() as stack:
        for _ in range(ASKED_AT_ONCE):
            await stack.enter_async_context(turns.turn(waits=False))
        monkeypatch.setattr(provider_turns, "BUSY_SECONDS", 0.05)
        assert await ask() == provider_turns.BUSY_SECONDS
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting
