"""Vectabase end to end for a developer, a buyer and a bot, on two nodes, through the public API alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from .client import Client
from .vectabase_developers import (
    API_KEY,
    BAN,
    CREATE_KEY,
    DISCORD,
    LATER,
    OWN,
    RECORD,
    REDEEM,
    REVOKE_KEY,
    SET_ENTRY,
    TRANSFER,
    VERIFY,
    Developer,
    Vectabase,
    done,
    found_within,
    new_developer,
    running_vectabase,
    signed_up,
)

# What is said of a ban, and of a key that was revoked.
BAN_SECONDS, REVOKED_SECONDS = 1.0, 5.0
REPORT_SECONDS = 5.0


@pytest.fixture(scope="module")
def vectabase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vectabase]:
    with running_vectabase(tmp_path_factory.mktemp("vectabase") / "data") as running:
        yield running


async def buys_credits(developer: Developer) -> None:
    """A pack of five, paid on the sandbox's page."""
    packs = (await developer.data("GET", "/v1/credits"))["packs"]
    sold = {pack["quantity"]: pack for pack in packs if pack["currency"] == "GBP"}
    assert sold.keys() == {1, 5, 10, 25, 50, 100}
    assert sold[5]["amount_cents"] == 500
    wrong = await developer.rest("POST", "/v1/credits", json={"quantity": 7})
    assert wrong.status_code == 400
    bought = await developer.data("POST", "/v1/credits", json={"quantity": 5})
    paid = await developer.client.http.post(f"{bought['checkout_url']}/pay")
    assert paid.status_code == 303


async def test_5_and_6_a_developer_a_buyer_and_a_bot(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        product, buyer = await developer.product(), await signed_up(vectabase, http)
        entry = {
            "product_id": product["id"],
            "roblox_user_id": 77,
            "discord_id": DISCORD,
            "expiry_date": LATER,
        }
        added = await developer.rest("POST", "/v1/whitelist", json=entry)
        assert added.status_code == 201
        asked = {"roblox_user_id": 77, "roblox_group_id": product["roblox_group_id"]}
        verified = await developer.rest("POST", "/v1/verify", json=asked, url=vectabase.other_url)
        assert verified.json()["data"]["whitelisted"] is True
        assert verified.headers["x-ratelimit-limit"] == "10"

        first, second, third = await developer.licences(product)
        assert (await done(buyer, REDEEM, key=first["key"]))["licence"]["status"] == "REDEEMED"
        (own,) = (await buyer.ask(OWN))["viewer"]["licences"]["nodes"]
        assert own["key"] == first["key"]
        assert (await done(buyer, VERIFY, key=first["key"], machine="PC 1"))["valid"]
        over = await done(buyer, VERIFY, key=first["key"], machine="PC 2")
        assert over["status"] == "MAX_ACTIVATIONS"

        # The bot acts as its developer, with an API key, at the other node.
        secret = (await done(developer.client, API_KEY))["secret"]
        bot = Client(vectabase.other_url, http, token=secret)
        given = {"key": second["key"], "discord": DISCORD, "roblox": "78"}
        assert await done(bot, REDEEM, **given) == await done(bot, REDEEM, **given)

        # The buyer hands theirs on, and the machine that used it is forgotten.
        friend = await signed_up(vectabase, http)
        username = (await friend.ask("{ viewer { username } }"))["viewer"]["username"]
        await done(buyer, TRANSFER, id=own["id"], to=username)
        assert (await buyer.ask(OWN))["viewer"]["licences"]["nodes"] == []
        assert len((await friend.ask(OWN))["viewer"]["licences"]["nodes"]) == 1
        assert third["key"] not in json.dumps(await friend.ask(OWN))
        await asyncio.sleep(BAN_SECONDS)
        moved = await done(bot, VERIFY, key=first["key"], machine="PC 2")
        assert moved["status"] == "VALID"
        back = await done(buyer, VERIFY, key=first["key"], machine="PC 1")
        assert back["status"] == "MAX_ACTIVATIONS"


async def test_6_3_of_fifty_who_redeem_a_key_at_two_nodes_one_does(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        developer = await new_developer(vectabase, http)
        licence, *_ = await developer.licences(await developer.product())
        bots = [
            Client(url, http, token=(await done(developer.client, API_KEY))["secret"])
            for url in vectabase.urls
        ]

        async def redeem(n: int) -> Any:
            given = {"key": licence["key"], "roblox": str(n + 1)}
            return (await bots[n % 2].ask(REDEEM, given))["redeemLicence"]

        answers = await asyncio.gather(*(redeem(n) for n in range(50)))
        assert sum(not one["errors"] for one in answers) == 1
        codes = Counter(error["code"] for one in answers for error in one["errors"])
        assert codes == {"INVALID_STATE": 49}


@pytest.mark.parametrize("is_held", [False, True])
async def test_6_3_a_ban_holds_on_every_node_within_a_second(
    vectabase: Vectabase, is_held: bool
) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        licence, *_ = await developer.licences(await developer.product())
        here, there = (Client(url, http) for url in vectabase.urls)

        async def status(client: Client) -> str:
            return str((await done(client, VERIFY, key=licence["key"]))["status"])

        # Both answer from memory by now.
        for client in (here, there) * 4:
            assert await status(client) == "VALID"
            await asyncio.sleep(0.05)
        holder = await asyncpg.connect(vectabase.server.owner_url)
        try:
            if is_held:
                # A transaction that stays open keeps the log of changes from being read on.
                await holder.execute("begin; select pg_current_xact_id()")
            await done(developer.client, BAN, id=licence["id"], banned=True)
            assert await status(here) == "BANNED"
            await found_within(BAN_SECONDS, "BANNED", lambda: status(there))
        finally:
            await holder.close()
        for _ in range(20):
            assert [await status(here), await status(there)] == ["BANNED"] * 2
        await done(developer.client, BAN, id=licence["id"], banned=False)
        await found_within(BAN_SECONDS, "VALID", lambda: status(there))


async def test_6_3_a_licence_ends_on_its_time_wherever_it_is_known(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        ends = datetime.now(UTC) + timedelta(seconds=4)
        licence, *_ = await developer.licences(await developer.product(), ends.isoformat())
        clients = [Client(url, http) for url in vectabase.urls]
        for client in clients * 3:
            assert (await done(client, VERIFY, key=licence["key"]))["status"] == "VALID"
        await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 0.01)
        for client in clients:
            assert (await done(client, VERIFY, key=licence["key"]))["status"] == "EXPIRED"


async def test_5_4_a_tier_bounds_a_whitelist_and_a_minute_on_both_nodes(
    vectabase: Vectabase,
) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        developer = await new_developer(vectabase, http)
        product = await developer.product()
        clients = [Client(url, http, token=developer.client.token) for url in vectabase.urls]

        async def put(n: int) -> Any:
            given = {"product": product["id"], "roblox": str(n + 1), "until": LATER}
            return (await clients[n % 2].ask(SET_ENTRY, given))["setWhitelistEntry"]

        answers = await asyncio.gather(*(put(n) for n in range(50)))
        refused = [one["errors"][0] for one in answers if one["errors"]]
        assert len(refused) == 40
        assert refused[0] == {
            "code": "PLAN_LIMIT_REACHED",
            "limit": 10,
            "used": 10,
            "planId": "plan_pro",
        }

        # Two of the minute's ten went into the product; the others are asked for at one node.
        answer = await developer.rest("GET", "/v1/products")
        for _ in range(int(answer.headers["x-ratelimit-remaining"])):
            answer = await developer.rest("GET", "/v1/products")
            assert answer.status_code == 200
        over = await developer.rest("GET", "/v1/products")
        told = over.json()
        assert (over.status_code, told["error"]["code"]) == (429, "RATE_LIMITED")
        assert told["request_id"] == over.headers["x-request-id"]
        assert 1 <= int(over.headers["retry-after"]) <= 6
        assert time.time() <= int(over.headers["x-ratelimit-reset"]) <= time.time() + 61

        async def elsewhere() -> str:
            given = {"url": vectabase.other_url}
            return str((await developer.rest("GET", "/v1/products", **given)).status_code)

        await found_within(REPORT_SECONDS, "429", elsewhere)


async def test_5_keys_are_shown_once_bounded_and_dead_when_revoked(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        for name in ("Second", "Third", "Fourth", "Fifth"):
            made = await done(developer.client, CREATE_KEY, name=name)
        sixth = (await developer.client.ask(CREATE_KEY, {"name": "Sixth"}))["createDeveloperKey"]
        assert [error["code"] for error in sixth["errors"]] == ["LIMIT_EXCEEDED"]
        session = {"Authorization": f"Bearer {developer.client.token}"}
        listed = await http.get(f"{vectabase.server.url}/v1/keys", headers=session)
        assert len(listed.json()["data"]["keys"]) == 5
        assert developer.key not in listed.text
        assert developer.key[:10] in listed.text
        operator = await asyncpg.connect(vectabase.server.owner_url)
        try:
            kept = "select count(*) from developer_keys k where k::text like '%' || $1 || '%'"
            assert await operator.fetchval(kept, developer.key[10:]) == 0
            assert await operator.fetchval(kept, developer.key[:10]) == 1
        finally:
            await operator.close()

        fifth = Developer(vectabase, developer.client, made["secret"])
        for url in vectabase.urls:
            assert (await fifth.rest("GET", "/v1/usage", url=url)).status_code == 200
        await done(developer.client, REVOKE_KEY, id=made["developerKey"]["id"])
        dead = await fifth.rest("GET", "/v1/usage")
        assert (dead.status_code, dead.json()["error"]["code"]) == (401, "UNAUTHORIZED")

        async def elsewhere() -> str:
            return str((await fifth.rest("GET", "/v1/usage", url=vectabase.other_url)).status_code)

        await found_within(REVOKED_SECONDS, "401", elsewhere)


async def test_5_a_key_answers_for_its_developers_proven_products_alone(
    vectabase: Vectabase,
) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        rival = await new_developer(vectabase, http)
        product = await developer.product()
        licence, *_ = await developer.licences(product)
        group = product["roblox_group_id"]
        foreign: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("GET", f"/v1/products/{product['id']}", {}),
            ("GET", "/v1/whitelist", {"params": {"product_id": product["id"]}}),
            ("POST", "/v1/verify", {"json": {"roblox_user_id": 1, "roblox_group_id": group}}),
            (
                "POST",
                "/v1/verify",
                {"json": {"license_key": licence["key"], "product_id": product["id"]}},
            ),
        )
        for method, path, options in foreign:
            answer = await rival.rest(method, path, **options)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), path
        # Naming the group is no proof that it is theirs.
        body = {"product_name": "Mine", "roblox_group_id": group}
        claimed = await rival.data("POST", "/v1/products", json=body)
        unproven = await rival.rest("POST", f"/v1/products/{claimed['id']}/prove")
        assert (unproven.status_code, unproven.json()["error"]["code"]) == (409, "PROVIDER_REFUSED")
        asked = {"roblox_user_id": 1, "roblox_group_id": group}
        assert (await rival.rest("POST", "/v1/verify", json=asked)).status_code == 409
        assert await developer.data("POST", "/v1/verify", json=asked) == {"whitelisted": False}


async def test_5_obfuscations_cost_the_allowance_then_credits(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        developer = await new_developer(vectabase, http)
        standing = await developer.data("GET", "/v1/subscription")
        assert (standing["tier"], standing["rate_limit"], standing["whitelist_limit"]) == (
            "free",
            10,
            10,
        )
        week = standing["obfuscation"]
        assert (week["limit"], week["period"]) == (1, "week")
        resets = datetime.fromisoformat(week["period_resets"])
        assert (resets.isoweekday(), resets.time().isoformat()) == (7, "00:00:00")
        assert timedelta() < resets - datetime.now(UTC) <= timedelta(days=7)
        first = await developer.data("POST", "/v1/obfuscations")
        assert first["source"] == "allowance"
        over = await developer.rest("POST", "/v1/obfuscations")
        assert over.json()["error"]["code"] == "OBFUSCATION_LIMIT"
        await buys_credits(developer)

        async def record(client: Client) -> str:
            made = (await client.ask(RECORD, {"key": uuid4().hex}))["recordObfuscation"]
            source = (made["obfuscationUse"] or {}).get("source")
            return source or str(made["errors"][0]["code"])

        await found_within(20, "CREDIT", lambda: record(developer.client))
        left = (await developer.data("GET", "/v1/credits"))["credits"]
        assert left == 4

        # Of many at once, at both nodes, the allowance pays for as many as it says.
        pro = await new_developer(vectabase, http, "pro")
        assert (await pro.data("GET", "/v1/subscription"))["obfuscation"]["period"] == "day"
        clients = [Client(url, http, token=pro.client.token) for url in vectabase.urls]
        answers = await asyncio.gather(*(record(clients[n % 2]) for n in range(30)))
        assert Counter(answers) == {"ALLOWANCE": 20, "INSUFFICIENT_CREDITS": 10}


async def test_5_6_and_5_7_errors_have_a_shape_and_any_page_may_ask(vectabase: Vectabase) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await new_developer(vectabase, http)
        page = {"Origin": "https://game.example.test"}
        for url in vectabase.urls:
            missing = await developer.rest("POST", "/v1/verify", json={}, url=url, headers=page)
            told = missing.json()
            assert missing.status_code == 400
            assert told["success"] is False
            assert told["error"]["code"] == "MISSING_FIELD"
            assert told["error"]["details"] == {"field": "roblox_user_id"}
            assert told["request_id"] == missing.headers["x-request-id"]
            assert missing.headers["access-control-allow-origin"] == "*"
            assert missing.headers["cache-control"] == "no-store"
            asked = {
                **page,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "x-api-key,content-type",
            }
            preflight = await http.options(f"{url}/v1/verify", headers=asked)
            assert preflight.status_code == 200
            assert "x-api-key" in preflight.headers["access-control-allow-headers"].lower()
            document = (await http.get(f"{url}/v1/openapi.json")).json()
            assert document["openapi"].startswith("3.1")
        await asyncio.sleep(2)
        history = await developer.data("GET", "/v1/usage", params={"history": "true"})
        kept = {one["request_id"]: one["status_code"] for one in history["request_history"]}
        assert kept[told["request_id"]] == 400
