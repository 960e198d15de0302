"""Buying through the API: products, checkouts that are safe to ask for again, and who sees what."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from payments.checkouts import checkouts_of
from server.services import Services
from server.webhooks import inbox_of

from ..conftest import MakeUser
from .conftest import Ask

PRODUCTS = (
    "{ products { id kind credits plan { id } prices { provider amountCents currency interval } } }"
)
CHECKOUT = """mutation($product: ID!, $key: String!, $success: String) {
  createCheckout(input: {productId: $product, provider: "sandbox", successUrl: $success, idempotencyKey: $key}) {
    order { id status kind credits amountCents currency provider product { id } } url expiresAt
    viewer { orders { nodes { id } } } errors { code path } } }"""
MINE = """{ viewer { orders { nodes { id status } }
  payments { nodes { id provider orderId amountCents currency status createdAt } } } }"""
REPLAY = """mutation($id: ID!) { replayWebhook(input: {id: $id}) {
  webhookEvent { id status reason } errors { code } } }"""
WEBHOOKS = "{ webhookEvents(first: 100) { nodes { provider kind status body headers orderId } } }"


async def buy(ask: Ask, actor: Actor, product: str = "credits-50", **given: Any) -> dict[str, Any]:
    """The payload of a checkout."""
    variables = {"product": product, "key": str(uuid4()), **given}
    answer = await ask(CHECKOUT, variables, actor=actor)
    payload: dict[str, Any] = answer["data"]["createCheckout"]
    return payload


async def test_everybody_sees_what_can_be_bought(ask: Ask, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "insert into products (id, name, kind, credits, is_active) values ('old', 'Old', 'CREDITS', 1, false)"
        " on conflict do nothing"
    )
    products = {one["id"]: one for one in (await ask(PRODUCTS))["data"]["products"]}
    assert "product_old" not in products
    pack, plan = products["product_credits-50"], products["product_pro-month"]
    assert (pack["kind"], pack["credits"], pack["plan"]) == ("CREDITS", 50, None)
    assert (plan["kind"], plan["credits"], plan["plan"]) == ("PLAN", None, {"id": "plan_pro"})
    price = {"provider": "sandbox", "amountCents": 500, "currency": "USD", "interval": None}
    assert price in pack["prices"]
    assert [one["interval"] for one in plan["prices"] if one["provider"] == "sandbox"] == ["MONTH"]


async def test_a_checkout_is_safe_to_ask_for_again(ask: Ask, make_user: MakeUser) -> None:
    buyer = await make_user()
    first = await buy(ask, buyer, key="k")
    assert first["errors"] == []
    assert first["order"] | {"id": ""} == {
        "id": "",
        "status": "PENDING",
        "kind": "CREDITS",
        "credits": 50,
        "amountCents": 500,
        "currency": "USD",
        "provider": "sandbox",
        "product": {"id": "product_credits-50"},
    }
    again = await asyncio.gather(*(buy(ask, buyer, key="k") for _ in range(5)))
    assert {(one["order"]["id"], one["url"], one["expiresAt"]) for one in again} == {
        (first["order"]["id"], first["url"], first["expiresAt"])
    }
    assert [one["id"] for one in again[0]["viewer"]["orders"]["nodes"]] == [first["order"]["id"]]
    # Global ids are as good as slugs, and another buyer's key is another order.
    other = await buy(ask, await make_user(), "product_credits-50", key="k")
    assert other["order"]["id"] != first["order"]["id"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/paid?order=1#top", None),
        ("http://localhost:5173/paid", None),
        ("javascript:alert(1)", "BAD_USER_INPUT"),
        ("https://user@example.com/", "BAD_USER_INPUT"),
        ("https://example.com\\@evil.test/", "BAD_USER_INPUT"),
        ("https://example.com/a b", "BAD_USER_INPUT"),
        ("//example.com", "BAD_USER_INPUT"),
        ("https://example.com/" + "x" * 2000, "BAD_USER_INPUT"),
        ("myapp://paid", "REDIRECT_NOT_ALLOWED"),
    ],
)
async def test_where_the_buyer_goes_is_checked(
    ask: Ask, make_user: MakeUser, url: str, code: str | None
) -> None:
    payload = await buy(ask, await make_user(), success=url)
    expected = [] if code is None else [{"code": code, "path": ["input", "successUrl"]}]
    assert payload["errors"] == expected


async def test_production_sends_buyers_to_its_own_origins_alone(services: Services) -> None:
    settings = services.settings.model_copy(
        update={
            "environment": "production",
            "public_url": "https://api.shop.test",
            "redirect_origins": ["https://shop.test", "myapp://paid"],
        }
    )

    class Production:
        database = services.database

    Production.settings = settings  # type: ignore[attr-defined]
    checkouts = checkouts_of(Production())  # type: ignore[arg-type]
    assert checkouts.providers == {}
    allowed = ("https://shop.test/a", "https://api.shop.test/b", "myapp://paid?ok")
    refused = ("https://shop.test.evil.test/", "https://example.com/", "http://shop.test/")
    for url, code in [(u, "PROVIDER_NOT_CONFIGURED") for u in allowed] + [
        (u, "REDIRECT_NOT_ALLOWED") for u in refused
    ]:
        with pytest.raises(Exception) as refusal:  # noqa: PT011 - its code is looked at
            await checkouts.create(
                Actor("authenticated", uuid4()),
                product_id="credits-50",
                provider="sandbox",
                success_url=url,
                cancel_url=None,
                idempotency_key="k",
            )
        assert refusal.value.code == code, url  # type: ignore[attr-defined]


async def test_guests_buy_credits_and_no_plans(ask: Ask, owner: asyncpg.Connection) -> None:
    guest = Actor(
        "authenticated",
        await owner.fetchval("insert into users (is_anonymous) values (true) returning id"),
        is_anonymous=True,
    )
    assert (await buy(ask, guest))["errors"] == []
    answer = await ask(CHECKOUT, {"product": "pro-month", "key": "k"}, actor=guest)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_an_order_is_its_buyers_alone(
    ask: Ask, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    buyer, stranger, admin = await make_user(), await make_user(), await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    bought = await buy(ask, buyer)
    order = bought["order"]["id"]
    inbox = inbox_of(services)
    sandbox: Any = inbox.providers["sandbox"]
    told = {
        "order": order.removeprefix("order_"),
        "payment": str(uuid4()),
        "amount_cents": 500,
        "currency": "USD",
    }
    await inbox.receive(sandbox, sandbox.delivery("payment.succeeded", told))
    webhook = await owner.fetchval(
        "select id from webhook_events where body like '%' || $1 || '%'", told["payment"]
    )
    await inbox.process(webhook)
    mine = (await ask(MINE, actor=buyer))["data"]["viewer"]
    assert mine["orders"]["nodes"] == [{"id": order, "status": "PAID"}]
    (payment,) = mine["payments"]["nodes"]
    assert (payment["provider"], payment["orderId"], payment["status"]) == (
        "sandbox",
        order,
        "SUCCEEDED",
    )
    node = "query($id: ID!) { node(id: $id) { id } }"
    for one in (order, payment["id"], f"webhookEvent_{webhook}"):
        seen = {}
        for name, actor in (
            ("buyer", buyer),
            ("stranger", stranger),
            ("nobody", NOBODY),
            ("admin", admin),
        ):
            seen[name] = (await ask(node, {"id": one}, actor=actor))["data"]["node"] is not None
        is_raw = one.startswith("webhookEvent")
        assert seen == {"buyer": not is_raw, "stranger": False, "nobody": False, "admin": True}
    for actor, code in ((buyer, "FORBIDDEN"), (NOBODY, "UNAUTHENTICATED")):
        answer = await ask(WEBHOOKS, actor=actor)
        assert answer["data"]["webhookEvents"] is None
        assert answer["errors"][0]["extensions"]["code"] == code
    nodes = (await ask(WEBHOOKS, actor=admin))["data"]["webhookEvents"]["nodes"]
    (raw,) = [one for one in nodes if one["orderId"] == order]
    assert (raw["kind"], raw["status"]) == ("payment.succeeded", "PROCESSED")
    assert told["payment"] in raw["body"]
    assert "sandbox-signature" in raw["headers"]


async def test_an_admin_has_a_delivery_processed_again(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser, services: Services
) -> None:
    """What was quarantined for a fault of ours is processed once more, and it is noted by whom."""
    admin = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    webhook = await owner.fetchval(
        "insert into webhook_events (provider, event_id, kind, verified, status, reason)"
        " values ('none', gen_random_uuid()::text, 'test', true, 'QUARANTINED', 'FAILED')"
        " returning id"
    )
    replayed = (await ask(REPLAY, {"id": f"webhookEvent_{webhook}"}, actor=admin))["data"]
    assert replayed["replayWebhook"] == {
        "webhookEvent": {"id": f"webhookEvent_{webhook}", "status": "RECEIVED", "reason": None},
        "errors": [],
    }
    queued = "select count(*) from queue.pgqueuer where dedupe_key = 'webhook:' || $1"
    assert await owner.fetchval(queued, str(webhook)) == 1
    await inbox_of(services).process(webhook)  # by a provider that is not set up
    assert await owner.fetchval("select reason from webhook_events where id = $1", webhook) == (
        "PROVIDER_OFF"
    )
    noted = await owner.fetchval(
        "select detail ->> 'webhook' from audit_log"
        " where user_id = $1 and action = 'replay_webhook'",
        admin.user_id,
    )
    assert noted == f"webhookEvent_{webhook}"
