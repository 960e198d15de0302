"""The API of developers: keys, tiers, products, whitelists and verifying, over HTTP (5, 6, 10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.pool import Database
from server.developer_api.request_log import RequestLog
from server.developer_api.standing import packs_of
from settings import Settings
from tests.conftest import MakeUser

from .developing import LATER, Developer, DeveloperNode, developer_node
from .subscribing import SELL, sell

STANDING = """{ developer { tier limits { requestsPerMinute whitelistEntries obfuscations }
  usage { products keys whitelistEntries obfuscations }
  obfuscation { allowance used credits periodStartsAt resetsAt } } }"""
RECORD = """mutation($key: String!) { answer: recordObfuscation(input: {idempotencyKey: $key}) {
  obfuscationUse { id source } errors { code } } }"""
CREATE_KEY = """mutation($input: CreateDeveloperKeyInput!) {
  answer: createDeveloperKey(input: $input) {
    secret developerKey { id name preview } errors { code path } } }"""


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


async def refusal(developer: Developer, method: str, path: str, **options: Any) -> tuple[int, str]:
    response = await developer.rest(method, path, **options)
    told = response.json()
    assert told["success"] is False
    assert told["request_id"] == response.headers["x-request-id"]
    return response.status_code, told["error"]["code"]


async def test_5_a_key_a_product_an_entry_and_who_is_verified(node: DeveloperNode) -> None:
    developer = await node.developer()
    assert developer.key.startswith("vb_")
    assert len(developer.key) == 35
    product = await developer.product()
    await developer.put_on_whitelist(product, 77)
    asked = {"roblox_user_id": 77, "roblox_group_id": product["roblox_group_id"]}
    response = await developer.rest("POST", "/v1/verify", json=asked)
    told = response.json()
    assert (response.status_code, told["success"]) == (200, True)
    assert told["data"] == {"whitelisted": True, "expiry_date": "2199-01-01T00:00:00.000000Z"}
    assert told["request_id"].startswith("req_")
    assert await developer.data("GET", "/v1/verify", params=asked) == told["data"]
    stranger = await developer.data("POST", "/v1/verify", json={**asked, "roblox_user_id": 78})
    assert stranger == {"whitelisted": False}


async def test_5_a_key_answers_only_for_its_developers_products(node: DeveloperNode) -> None:
    developer, stranger = await node.developer(), await node.developer()
    product = await developer.product()
    entry = await developer.put_on_whitelist(product, 5)
    asked = {"roblox_user_id": 5, "roblox_group_id": product["roblox_group_id"]}
    foreign = {
        "product_id": product["id"],
        "roblox_user_id": 6,
        "discord_id": "123456789012345678",
        "expiry_date": LATER,
    }
    not_there = (404, "NOT_FOUND")
    assert await refusal(stranger, "POST", "/v1/verify", json=asked) == not_there
    assert await refusal(stranger, "POST", "/v1/whitelist", json=foreign) == not_there
    (licence,) = await developer.licences(product)
    by_key = {"license_key": licence["key"], "product_id": product["id"]}
    assert (await developer.data("POST", "/v1/verify", json=by_key))["valid"]
    assert await refusal(stranger, "POST", "/v1/verify", json=by_key) == not_there
    params = {"product_id": product["id"]}
    assert await refusal(stranger, "GET", "/v1/whitelist", params=params) == not_there
    assert await refusal(stranger, "DELETE", f"/v1/whitelist/{entry['id']}") == not_there
    assert await refusal(stranger, "GET", f"/v1/products/{product['id']}") == not_there
    assert await refusal(stranger, "DELETE", f"/v1/products/{product['id']}") == not_there
    removed = await stranger.data(
        "POST", "/v1/whitelist/bulk-remove", json={"whitelist_ids": [entry["id"], "nothing"]}
    )
    assert removed == {"removed": 0, "failed": [entry["id"], "nothing"]}
    assert (await developer.data("GET", "/v1/whitelist", params=params))["total"] == 1


async def test_5_nobody_is_verified_before_the_group_is_proven(node: DeveloperNode) -> None:
    developer, rival = await node.developer(), await node.developer()
    product = await developer.product(proven=False)
    group, path = product["roblox_group_id"], f"/v1/products/{product['id']}/prove"
    await developer.put_on_whitelist(product, 5)
    asked = {"roblox_user_id": 5, "roblox_group_id": group}
    assert await refusal(developer, "POST", "/v1/verify", json=asked) == (409, "CONFLICT")
    assert await refusal(developer, "POST", path) == (409, "PROVIDER_REFUSED")
    node.roblox.describe(group, "Nothing of yours.")
    assert await refusal(developer, "POST", path) == (409, "PROVIDER_REFUSED")
    node.roblox.describe(group, product["proof_phrase"])
    node.roblox.is_down = True
    assert await refusal(developer, "POST", path) == (503, "PROVIDER_FAILED")
    node.roblox.is_down = False
    assert (await developer.data("POST", path))["proven_at"]
    assert (await developer.data("POST", "/v1/verify", json=asked))["whitelisted"]
    # Whoever proves it later has it.
    theirs = await rival.data(
        "POST", "/v1/products", json={"product_name": "Ours", "roblox_group_id": group}
    )
    node.roblox.describe(group, theirs["proof_phrase"])
    await rival.data("POST", f"/v1/products/{theirs['id']}/prove")
    await asyncio.sleep(0.3)
    assert await refusal(developer, "POST", "/v1/verify", json=asked) == (409, "CONFLICT")


async def test_5_what_is_wrong_has_the_codes_of_the_product(node: DeveloperNode) -> None:
    developer = await node.developer(tier="enterprise")
    product = await developer.product()
    entry = {
        "product_id": product["id"],
        "roblox_user_id": 9,
        "discord_id": "123456789012345678",
        "expiry_date": LATER,
    }
    group = {"product_name": "Again", "roblox_group_id": product["roblox_group_id"]}
    assert await refusal(developer, "POST", "/v1/products", json=group) == (409, "DUPLICATE_GROUP")
    for change, code in (
        ({"expiry_date": "2001-01-01T00:00:00Z"}, "INVALID_EXPIRY"),
        ({"expiry_date": "soon"}, "INVALID_EXPIRY"),
        ({"roblox_user_id": None}, "MISSING_FIELD"),
        ({"roblox_user_id": -1}, "INVALID_REQUEST"),
        ({"roblox_user_id": True}, "INVALID_REQUEST"),
        ({"discord_id": "12"}, "INVALID_REQUEST"),
    ):
        body = {**entry, **change}
        assert await refusal(developer, "POST", "/v1/whitelist", json=body) == (400, code), change
    malformed = {"content": b"{", "headers": {"content-type": "application/json"}}
    assert await refusal(developer, "POST", "/v1/whitelist", **malformed) == (
        400,
        "INVALID_REQUEST",
    )
    large = {"content": b" " * 70_000}
    assert (await refusal(developer, "POST", "/v1/verify", **large))[0] == 413
    assert await refusal(developer, "GET", "/v1/nothing") == (404, "NOT_FOUND")
    wrong = await developer.rest("PUT", "/v1/verify")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    developer.key = "vb_" + "0" * 32
    assert await refusal(developer, "GET", "/v1/products") == (401, "UNAUTHORIZED")
    developer.key = ""
    assert await refusal(developer, "GET", "/v1/products") == (401, "UNAUTHORIZED")


async def test_5_a_tier_bounds_whitelists_and_an_update_is_no_new_entry(
    node: DeveloperNode,
) -> None:
    developer = await node.developer(tier="free")
    product = await developer.product()
    # The tier allows ten requests a minute, and more entries than that come at once.
    document = """mutation($input: SetWhitelistEntryInput!) {
      answer: setWhitelistEntry(input: $input) { entry { id }
        errors { code ... on PlanLimitReached { limit used planId } } } }"""

    async def put(roblox_id: int) -> Any:
        given = {"productId": product["id"], "robloxId": str(roblox_id), "expiresAt": LATER}
        return await developer.ask(document, input=given)

    answers = await asyncio.gather(*(put(n) for n in range(1, 15)))
    refused = [one["errors"][0] for one in answers if one["errors"]]
    assert len(refused) == 4
    assert refused[0] == {
        "code": "PLAN_LIMIT_REACHED",
        "limit": 10,
        "used": 10,
        "planId": "plan_pro",
    }
    known = next(n for n, one in enumerate(answers, 1) if not one["errors"])
    assert (await put(known))["errors"] == []
    again = {
        "product_id": product["id"],
        "roblox_user_id": 99,
        "discord_id": "123456789012345678",
        "expiry_date": LATER,
    }
    over = await refusal(developer, "POST", "/v1/whitelist", json=again)
    assert over == (403, "TIER_LIMIT_EXCEEDED")
    # Who is on it no longer counts no more.
    await node.owner.execute(
        "update whitelist_entries set expires_at = now() - interval '1 second'"
        " where product_id = $1 and roblox_id = $2",
        product["id"].removeprefix("developerProduct_"),
        known,
    )
    assert (await put(99))["errors"] == []


async def test_5_4_a_key_makes_as_many_requests_as_its_tier_allows(node: DeveloperNode) -> None:
    developer, other = await node.developer(tier="free"), await node.developer(tier="pro")
    first = await developer.rest("GET", "/v1/products")
    assert first.headers["x-ratelimit-limit"] == "10"
    assert first.headers["x-ratelimit-remaining"] == "9"
    assert 0 <= int(first.headers["x-ratelimit-reset"]) - time.time() < 61
    answers = [await developer.rest("GET", "/v1/products") for _ in range(11)]
    assert [one.status_code for one in answers].count(200) in {9, 10}
    last = answers[-1]
    assert (last.status_code, last.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert int(last.headers["retry-after"]) >= 1
    assert last.headers["x-ratelimit-remaining"] == "0"
    assert (await other.rest("GET", "/v1/products")).headers["x-ratelimit-limit"] == "30"


async def test_5_5_requests_are_kept_by_their_ids(node: DeveloperNode) -> None:
    developer = await node.developer()
    response = await developer.rest("GET", "/v1/products/developerProduct_nothing")
    await node.server.services.of(RequestLog.of).write()
    told = await developer.data("GET", "/v1/usage", params={"history": "true"})
    (made,) = told["request_history"]
    assert made | {"created_at": ""} == {
        "request_id": response.json()["request_id"],
        "method": "GET",
        "endpoint": "/v1/products/{id}",
        "status_code": 404,
        "created_at": "",
    }


async def test_5_5_ids_of_requests_tell_nothing_of_how_many_there_are(node: DeveloperNode) -> None:
    developer = await node.developer()
    for _ in range(4):
        await developer.rest("GET", "/v1/products")
    await node.server.services.of(RequestLog.of).write()
    page = "{ developer { requests(first: 2%s) { nodes { id } pageInfo { endCursor } } } }"
    first = (await developer.ask(page % ""))["developer"]["requests"]
    after = f', after: "{first["pageInfo"]["endCursor"]}"'
    second = (await developer.ask(page % after))["developer"]["requests"]
    ids = [one["id"] for one in (*first["nodes"], *second["nodes"])]
    numbers = sorted(int(one.partition("_")[2]) for one in ids)
    assert len(set(numbers)) == 4
    assert min(b - a for a, b in pairwise(numbers)) > 1_000_000
    for one in ids:
        found = await developer.ask(f'{{ node(id: "{one}") {{ id }} }}')
        assert found["node"] == {"id": one}


async def test_5_keys_are_shown_once_bounded_and_end(node: DeveloperNode) -> None:
    developer = await node.developer()
    key = uuid4().hex
    one = await developer.ask(CREATE_KEY, input={"name": "Second", "idempotencyKey": key})
    same = await developer.ask(CREATE_KEY, input={"name": "Second", "idempotencyKey": key})
    assert one == same
    assert one["developerKey"]["preview"] == one["secret"][:10]
    stored = await node.owner.fetchval(
        "select count(*) from developer_keys k where k::text like '%' || $1 || '%'", one["secret"]
    )
    assert stored == 0
    same_name = await developer.ask(CREATE_KEY, input={"name": "Second"})
    assert same_name["errors"] == [{"code": "INVALID_STATE", "path": ["input", "name"]}]
    wrong = await developer.ask(CREATE_KEY, input={"name": "Rich", "tier": "enterprise"})
    assert wrong["errors"][0]["code"] == "PLAN_REQUIRED"
    session = {"authorization": f"Bearer {developer.token}"}
    for name in ("Third", "Fourth", "Fifth"):
        made = await node.http.post("/v1/keys", json={"name": name}, headers=session)
        assert made.status_code == 201
        assert made.json()["data"]["api_key"].startswith("vb_")
    full = await node.http.post("/v1/keys", json={"name": "Sixth"}, headers=session)
    assert (full.status_code, full.json()["error"]["code"]) == (403, "LIMIT_EXCEEDED")
    listed = (await node.http.get("/v1/keys", headers=session)).json()["data"]["keys"]
    assert len(listed) == 5
    assert developer.key not in str(listed)
    (main,) = (one for one in listed if one["name"] == "Main")
    ended = await node.http.delete(f"/v1/keys/{main['id']}", headers=session)
    assert ended.status_code == 204
    assert await refusal(developer, "GET", "/v1/products") == (401, "UNAUTHORIZED")
    # A key opens no session's routes.
    by_key = await node.http.get("/v1/keys", headers={"authorization": f"Bearer {one['secret']}"})
    assert by_key.status_code == 401


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_5_weeks_begin_on_sunday_and_days_at_midnight_wherever_the_server_is(
    owner: asyncpg.Connection, time_zone: str
) -> None:
    async with owner.transaction():
        await owner.execute("select set_config('timezone', $1, true)", time_zone)
        for period, moment, starts, ends in (
            ("WEEK", "2026-01-03T23:59:59.999999", "2025-12-28", "2026-01-04"),
            ("WEEK", "2026-01-04T00:00:00", "2026-01-04", "2026-01-11"),
            ("WEEK", "2026-01-10T12:00:00", "2026-01-04", "2026-01-11"),
            ("DAY", "2028-02-29T23:59:59.999999", "2028-02-29", "2028-03-01"),
            ("DAY", "2028-03-01T00:00:00", "2028-03-01", "2028-03-02"),
        ):
            found = await owner.fetchrow(
                "select app.obfuscation_period_start($1, $2), app.obfuscation_period_end($1, $2)",
                period,
                datetime.fromisoformat(f"{moment}+00:00"),
            )
            expected = [datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in (starts, ends)]
            assert list(found) == expected, (period, moment)


async def test_5_the_allowance_is_used_before_credits(node: DeveloperNode) -> None:
    developer = await node.developer(tier="free", credits=2)
    keys = [uuid4().hex for _ in range(4)]
    answers = [await developer.ask(RECORD, key=key) for key in keys]
    assert [(a["obfuscationUse"] or {}).get("source") for a in answers] == [
        "ALLOWANCE",
        "CREDIT",
        "CREDIT",
        None,
    ]
    assert answers[3]["errors"] == [{"code": "INSUFFICIENT_CREDITS"}]
    assert await developer.ask(RECORD, key=keys[1]) == answers[1]
    standing = (await developer.ask(STANDING))["developer"]
    assert (standing["tier"], standing["limits"]["obfuscations"]) == ("free", 1)
    now = standing["obfuscation"]
    assert (now["allowance"], now["used"], now["credits"]) == (0, 1, 0)
    over = await refusal(developer, "POST", "/v1/obfuscations")
    assert over == (429, "OBFUSCATION_LIMIT")
    unbounded = await node.developer(tier="pro_plus")
    made = await unbounded.data("POST", "/v1/obfuscations", headers={"idempotency-key": keys[0]})
    assert (made["source"], made["usage"]["limit"]) == ("allowance", -1)


async def test_5_2_a_tier_is_subscribed_to_and_left(node: DeveloperNode) -> None:
    sell(node.server.services)
    await node.owner.execute(SELL)
    developer = await node.developer()
    path, once = "/v1/subscription", {"idempotency-key": uuid4().hex}
    made = await developer.data("POST", path, json={"tier": "pro"}, headers=once)
    assert made["checkout_url"].startswith("https://pay.example.test/")
    assert await developer.data("POST", path, json={"tier": "pro"}, headers=once) == made
    for tier, refused in (
        ("free", (404, "NOT_FOUND")),
        ("nothing", (404, "NOT_FOUND")),
        (None, (400, "MISSING_FIELD")),
    ):
        assert await refusal(developer, "POST", path, json={"tier": tier}) == refused
    await node.owner.execute(
        "update provider_subscriptions set status = 'ACTIVE',"
        " provider_subscription_id = 'sub_' || id where user_id = $1",
        developer.actor.user_id,
    )
    assert (await developer.data("GET", path))["status"] == "active"
    assert await developer.data("DELETE", path) == {"cancelled": True}
    stranger = await node.developer()
    assert await refusal(stranger, "DELETE", path) == (409, "CONFLICT")


async def test_5_7_any_page_may_ask_with_a_key(node: DeveloperNode) -> None:
    developer = await node.developer()
    origin = {"origin": "https://shop.example.test"}
    asked = {
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "x-api-key, content-type",
    }
    preflight = await node.http.options("/v1/whitelist/x", headers={**origin, **asked})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    response = await developer.rest("GET", "/v1/products", headers=origin)
    assert response.headers["access-control-allow-origin"] == "*"
    assert "x-ratelimit-remaining" in response.headers["access-control-expose-headers"].lower()


def test_packs_are_in_the_currency_of_the_tiers() -> None:
    def pack(name: str, quantity: int, **cents: int) -> dict[str, Any]:
        prices = [
            {"provider": "sandbox", "amountCents": amount, "currency": currency}
            for currency, amount in cents.items()
        ]
        return {"id": name, "credits": quantity, "prices": prices}

    free = {"amountCents": 0, "currency": "USD"}
    found: dict[str, Any] = {
        # Another product's pack of as many credits stands beside it.
        "products": [pack("a-demo", 50, USD=500), pack("of-developers", 50, GBP=5_000)],
        "developerTiers": [{"planId": "plan_free"}, {"planId": "plan_pro"}],
        "plans": [
            {"id": "plan_free", "price": free},
            {"id": "plan_pro", "price": {"amountCents": 700, "currency": "GBP"}},
            {"id": "plan_other", "price": {"amountCents": 700, "currency": "USD"}},
        ],
    }
    (only,) = packs_of(found, {"sandbox"})
    assert (only["id"], only["amount_cents"], only["currency"]) == ("of-developers", 5_000, "GBP")
    assert packs_of(found, {"stripe"}) == []
    # Where no tier costs anything, whatever is sold is offered.
    both = packs_of(found | {"developerTiers": []}, {"sandbox"})
    assert [one["id"] for one in both] == ["a-demo", "of-developers"]
