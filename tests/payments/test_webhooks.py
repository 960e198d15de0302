"""`POST /webhooks/{provider}` over HTTP: what a provider is answered, and that nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.webhooks.tables import BODY_LIMIT_BYTES
from payments.base import Delivery
from payments.events import Notice, Refunded
from payments.inbox import REFUSED_KEPT, WebhookInbox, kept_headers
from payments.registry import configured_providers
from payments.sandbox import SandboxProvider
from server.webhooks import UNVERIFIED_SIZE, delivery_routes
from settings import Settings

from .conftest import AMOUNT, CREDITS, Shop


def client_of(
    inbox: WebhookInbox, clock: Callable[[], float] = time.monotonic
) -> httpx.AsyncClient:
    """A provider that calls a server with this inbox."""
    app = Starlette(routes=delivery_routes(inbox, clock))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test")


async def post(inbox: WebhookInbox, name: str, delivery: Delivery) -> httpx.Response:
    async with client_of(inbox) as client:
        url = f"/webhooks/{name}" + (f"?{delivery.query}" if delivery.query else "")
        return await client.post(url, content=delivery.body, headers=dict(delivery.headers))


def plainly_forged(shop: Shop, genuine: Delivery) -> Delivery:
    """What is refused without asking anybody."""
    at_once = shop.driver.provider.verifies_at_once
    return (shop.driver.forged if at_once else shop.driver.unsigned)(genuine)


async def test_what_a_provider_is_answered(shop: Shop) -> None:
    name = shop.driver.provider.name
    told = await shop.order(await shop.buyer())
    genuine = shop.driver.delivery("SUCCEEDED", told)
    # Of some providers only they themselves can say whether it is theirs; a job asks them.
    is_forged = (
        (401, "INVALID_CREDENTIALS") if shop.driver.provider.verifies_at_once else (200, None)
    )
    cases: list[tuple[str, Delivery, int, str | None]] = [
        (name, genuine, 200, None),
        (f"{name}/", genuine, 200, None),
        (name, shop.driver.forged(genuine), *is_forged),
        (name, shop.driver.unsigned(genuine), 401, "INVALID_CREDENTIALS"),
        (name, replace(genuine, body=b"\xff\xfe"), 400, "BAD_USER_INPUT"),
        (name, replace(genuine, body=genuine.body + b"\x00"), 400, "BAD_USER_INPUT"),
        (name, replace(genuine, body=b"x" * (BODY_LIMIT_BYTES + 1)), 413, "LIMIT_EXCEEDED"),
        ("nobody", genuine, 404, "PROVIDER_NOT_CONFIGURED"),
    ]
    for provider, delivery, status, code in cases:
        answer = await post(shop.inbox, provider, delivery)
        assert answer.status_code == status, answer.text
        if code is None:
            assert answer.json() == {"received": True}
        else:
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == code


async def test_a_database_that_is_away_has_it_delivered_again(
    shop: Shop, settings: Settings, cluster: Any
) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    delivery, name = shop.driver.delivery("SUCCEEDED", told), shop.driver.provider.name
    away = await Database.connect(cluster.owner_url, settings)
    await away.close()
    without = WebhookInbox(away, shop.inbox.providers, is_production=False)
    answer = await post(without, name, delivery)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert (await post(shop.inbox, name, delivery)).status_code == 200
    await shop.process()
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)


async def test_of_what_is_refused_only_so_much_is_kept(shop: Shop) -> None:
    told = await shop.order(await shop.buyer())
    forged = plainly_forged(shop, shop.driver.delivery("SUCCEEDED", told))
    name = shop.driver.provider.name
    await shop.owner.execute(
        "delete from webhook_events where provider = $1 and not verified", name
    )
    await shop.owner.execute(
        "insert into webhook_events (provider, event_id, kind, verified, status)"
        " select $1, n::text, 'unverified', false, 'QUARANTINED' from generate_series(1, 99) n",
        name,
    )
    for _ in range(3):
        assert (await post(shop.inbox, name, forged)).status_code == 401
    kept = "select count(*) from webhook_events where provider = $1 and not verified"
    assert await shop.owner.fetchval(kept, name) == 100
    # What is genuine is never among what is not kept.
    genuine = shop.driver.delivery("SUCCEEDED", told)
    assert (await post(shop.inbox, name, genuine)).status_code == 200
    await shop.process()
    assert await shop.status(told) == "PAID"
    await shop.owner.execute(
        "delete from webhook_events where provider = $1 and not verified", name
    )


async def test_a_flood_of_forgeries_does_not_reach_the_database(
    shop: Shop, settings: Settings, cluster: Any
) -> None:
    told = await shop.order(await shop.buyer())
    forged = plainly_forged(shop, shop.driver.delivery("SUCCEEDED", told))
    name = shop.driver.provider.name
    away = await Database.connect(cluster.owner_url, settings)
    await away.close()
    inbox = WebhookInbox(away, shop.inbox.providers, is_production=False)
    statuses = [(await post(inbox, name, forged)).status_code for _ in range(REFUSED_KEPT + 1)]
    assert statuses == [503] * REFUSED_KEPT + [401]


def test_headers_are_kept_without_secrets() -> None:
    headers = {"authorization": "a secret", "cookie": "another", "x-signature": "a\x00b"}
    assert kept_headers(headers) == {"x-signature": "ab"}
    assert kept_headers({"x-long": "x" * 20_000, "b": "c"}) == {}


def test_production_has_no_sandbox(settings: Settings) -> None:
    assert "sandbox" in configured_providers(settings)
    production = settings.model_copy(update={"environment": "production"})
    assert "sandbox" not in configured_providers(production)


async def test_a_test_event_of_a_real_provider_never_counts_in_production(
    sandbox_shop: Shop,
) -> None:
    class TestMode(SandboxProvider):
        def parse(self, delivery: Delivery) -> Notice:
            return replace(super().parse(delivery), is_test=True)

    seller = TestMode("a secret of the tests", "http://shop.test")
    told = await sandbox_shop.order(await sandbox_shop.buyer())
    delivery = sandbox_shop.driver.delivery("SUCCEEDED", told)
    production = WebhookInbox(sandbox_shop.database, {"sandbox": seller}, is_production=True)
    await production.receive(seller, delivery)
    await production.process((await sandbox_shop.webhook(told))["id"])
    webhook = await sandbox_shop.webhook(told)
    assert (webhook["status"], webhook["reason"]) == ("QUARANTINED", "TEST_MODE")
    assert await sandbox_shop.status(told) == "PENDING"


async def test_one_that_is_verified_later_is_processed_once(sandbox_shop: Shop) -> None:
    class AsksFirst(SandboxProvider):
        verifies_at_once = False

    seller = AsksFirst("a secret of the tests", "http://shop.test")
    inbox = WebhookInbox(sandbox_shop.database, {"sandbox": seller}, is_production=False)
    buyer = await sandbox_shop.buyer()
    told = await sandbox_shop.order(buyer)
    genuine = sandbox_shop.driver.delivery("SUCCEEDED", told)
    for delivery in (sandbox_shop.driver.forged(genuine), genuine, genuine):
        assert (await post(inbox, "sandbox", delivery)).status_code == 200
    rows = await sandbox_shop.owner.fetch(
        "select id from webhook_events where body like '%' || $1 || '%' order by id", told.payment
    )
    for row in rows:
        await inbox.process(row["id"])
    found = await sandbox_shop.owner.fetch(
        "select status, reason, verified from webhook_events"
        " where body like '%' || $1 || '%' order by id",
        told.payment,
    )
    assert [tuple(row) for row in found] == [
        ("QUARANTINED", "FORGED", False),
        ("PROCESSED", None, True),
        ("PROCESSED", None, False),
    ]
    assert await sandbox_shop.wallet(buyer) == (CREDITS, 0, 0)


async def test_what_nobody_has_verified_is_bounded(sandbox_shop: Shop) -> None:
    class AsksFirst(SandboxProvider):
        verifies_at_once = False

    seller = AsksFirst("a secret of the tests", "http://shop.test")
    inbox = WebhookInbox(sandbox_shop.database, {"sandbox": seller}, is_production=False)
    told = await sandbox_shop.order(await sandbox_shop.buyer())
    genuine = sandbox_shop.driver.delivery("SUCCEEDED", told)
    kept = "select count(*) from webhook_events where provider = 'sandbox' and not verified"
    before = await sandbox_shop.owner.fetchval(kept)
    # One network sends as many as it likes.
    statuses = []
    # However slowly this runs, no more of them come back meanwhile.
    async with client_of(inbox, lambda: 0.0) as client:
        for number in range(UNVERIFIED_SIZE + 20):
            body = b'{"n": %d}' % number
            answer = await client.post("/webhooks/sandbox", content=body)
            statuses.append(answer.status_code)
    assert (statuses.count(200), statuses.count(503)) == (UNVERIFIED_SIZE, 20)
    # Many networks do.
    forged = [replace(genuine, body=b'{"many": %d}' % number) for number in range(300)]
    received = [await inbox.receive(seller, delivery) for delivery in forged]
    assert sum(one.is_too_much for one in received) == 300 - (200 - UNVERIFIED_SIZE)
    async for _ in inbox.process_new():
        pass
    # What was forged leaves no more than a sample, and makes room.
    assert await sandbox_shop.owner.fetchval(kept) - before <= 100
    assert not (await inbox.receive(seller, genuine)).is_too_much
    await sandbox_shop.owner.execute("delete from webhook_events where not verified")


async def test_what_cannot_be_read_is_kept_and_can_be_replayed(sandbox_shop: Shop) -> None:
    seller = sandbox_shop.driver.provider
    told = await sandbox_shop.order(await sandbox_shop.buyer())
    signed = seller.signed(
        b'{"payment": "%s"}' % told.payment.encode(),
        sandbox_shop.driver.delivery("SUCCEEDED", told).received_at,
    )
    assert (await post(sandbox_shop.inbox, "sandbox", signed)).status_code == 200
    webhook = await sandbox_shop.webhook(told)
    assert (webhook["status"], webhook["reason"], webhook["verified"]) == (
        "QUARANTINED",
        "UNREADABLE",
        True,
    )
    assert await sandbox_shop.owner.fetchval("select app.replay_webhook($1)", webhook["id"])
    await sandbox_shop.process()
    assert (await sandbox_shop.webhook(told))["status"] == "QUARANTINED"


@pytest.mark.parametrize("found", ["FAILED", "PROCESSED"])
async def test_replaying_what_was_quarantined_counts_once(shop: Shop, found: str) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.receive(shop.driver.delivery("SUCCEEDED", told))
    webhook = (await shop.webhook(told))["id"]
    if found == "FAILED":
        await shop.inbox.set_aside(webhook, "FAILED", "test")
    else:
        await shop.process()
    replayed = await shop.owner.fetchval("select app.replay_webhook($1)", webhook)
    assert replayed is (found == "FAILED")
    await shop.process()
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)


async def test_the_sweep_queues_what_was_forgotten_and_ends_what_waits_for_nothing(
    shop: Shop,
) -> None:
    told = await shop.order(await shop.buyer())
    await shop.receive(shop.driver.delivery("SUCCEEDED", told))
    webhook = (await shop.webhook(told))["id"]
    job = "delete from queue.pgqueuer where dedupe_key = $1"
    await shop.owner.execute(job, f"webhook:{webhook}")
    await shop.owner.execute(
        "update webhook_events set received_at = now() - interval '3 minutes' where id = $1",
        webhook,
    )
    await shop.owner.fetch("select app.sweep_webhooks()")
    assert await shop.owner.execute(job, f"webhook:{webhook}") == "DELETE 1"
    await shop.process()
    early = await shop.order(await shop.buyer())
    await shop.tell("REFUNDED", early)
    waiting = await shop.webhook(early)
    assert waiting["status"] == "PARKED"
    await shop.owner.execute(
        "update webhook_events set received_at = now() - interval '4 days' where id = $1",
        waiting["id"],
    )
    swept = await shop.owner.fetch("select app.sweep_webhooks()")
    assert waiting["id"] in {row[0] for row in swept}
    assert (await shop.webhook(early))["reason"] == "UNKNOWN_PAYMENT"


async def test_the_log_survives_the_account_without_its_person(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    assert (await shop.webhook(told))["order_id"] == told.order_id
    while await shop.owner.fetchval("select app.forget_payer($1, 1)", buyer.user_id):
        pass
    await shop.owner.execute("update orders set user_id = null where id = $1", told.order_id)
    await shop.owner.execute(
        "update payments set user_id = null where order_id = $1", told.order_id
    )
    webhook = await shop.owner.fetchrow(
        "select body, headers, query, status from webhook_events where order_id = $1", told.order_id
    )
    assert webhook is not None
    assert tuple(webhook) == ("", "{}", "", "PROCESSED")
    # Its refund is still booked, with nobody to take credits from.
    await shop.tell("REFUNDED", told)
    assert await shop.status(told) == "REFUNDED"


async def test_a_delivery_that_is_counted_meanwhile_is_processed_at_once(
    sandbox_shop: Shop, cluster: EmbeddedDatabase
) -> None:
    buyer = await sandbox_shop.buyer()
    told = await sandbox_shop.order(buyer)
    await sandbox_shop.receive(sandbox_shop.driver.delivery("SUCCEEDED", told))
    webhook = (await sandbox_shop.webhook(told))["id"]
    other = await asyncpg.connect(cluster.owner_url)
    try:
        counting = other.transaction()
        await counting.start()
        await other.execute(
            "update webhook_events set deliveries = deliveries + 1 where id = $1", webhook
        )

        async def process() -> None:
            async for _ in sandbox_shop.inbox.process_new():
                pass

        processing = asyncio.create_task(process())
        await asyncio.sleep(0.2)
        await counting.commit()
        await processing
    finally:
        await other.close()
    assert await sandbox_shop.status(told) == "PAID"


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", "0", "{}", "NaN", '"x"', "[" * 5_000 + "]" * 5_000,
        '{"id": null, "type": [], "created": 1e400, "data": {}}',
        '{"id": {}, "type": "payment.succeeded", "created": 1, "data": [1]}',
        '{"id": "%s", "type": "payment.succeeded", "created": 1, "data": {"order": "a\\u0000b",'
        ' "payment": "\\u0000", "amount_cents": 1, "currency": {"a": "\\u0000"}}}',
        '{"id": "%s", "type": "\\u0000", "created": 1, "data": {"order": "", "payment": "",'
        ' "amount_cents": 2147483647, "currency": ""}}',
        '{"id": "%s", "type": "payment.refunded", "created": 1, "data": {"order": "x", "payment": "x",'
        ' "amount_cents": 1.5, "currency": "USD"}}',
    ],
)  # fmt: skip
async def test_no_signed_nonsense_is_a_fault_of_ours(sandbox_shop: Shop, body: str) -> None:
    provider = sandbox_shop.driver.provider
    assert isinstance(provider, SandboxProvider)
    text = body.replace("%s", str(uuid4())).encode()
    signed = provider.signed(text, datetime.now(UTC))
    assert (await post(sandbox_shop.inbox, "sandbox", signed)).status_code == 200
    await sandbox_shop.process()
    found = await sandbox_shop.owner.fetchrow(
        "select status, reason from webhook_events where body = $1 order by received_at desc limit 1",
        text.decode(),
    )
    assert found is not None
    assert found["status"] in {"QUARANTINED", "PROCESSED"}
    assert found["reason"] in {"UNREADABLE", "UNKNOWN_ORDER", None}


async def test_what_a_provider_answered_is_nobody_elses_to_process(sandbox_shop: Shop) -> None:
    """A worker cannot read it, and would set aside a refund that has been made."""
    shop = sandbox_shop
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    provider = shop.driver.provider
    ended = asyncio.Event()

    async def work() -> None:
        while not ended.is_set():
            async for _ in shop.inbox.process_new():
                pass

    workers = [asyncio.create_task(work()) for _ in range(2)]
    for number in range(25):
        refunded = Refunded(
            references=(told.reference,),
            payment_id=told.payment,
            amount_cents=AMOUNT // 25,
            currency=told.currency,
            refund_id=f"refund {number} of {told.order_id}",
        )
        await shop.inbox.apply(provider, "refund", (refunded,))
    ended.set()
    await asyncio.gather(*workers)
    assert await shop.status(told) == "REFUNDED"
    assert await shop.wallet(buyer) == (0, 0, 0)
