"""Vectabase end to end for a developer, a buyer and a bot, through the public API alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.fakes.roblox import FakeRoblox, fake_roblox
from tests.running import RunningServer, run_command, running_server

from .client import Client

PASSWORD = "correct horse battery"
LATER = "2199-01-01T00:00:00Z"
DISCORD = "123456789012345678"
CREATE_KEY = """mutation { createDeveloperKey(input: {name: "Game"}) {
  secret errors { code message } } }"""
LICENCES = """mutation($product: ID!, $key: String!) { createLicences(input: {
  productId: $product, count: 3, maxActivations: 1, idempotencyKey: $key}) {
  licences { id key } errors { code } } }"""
REDEEM = """mutation($key: String!, $discord: String, $roblox: String) { redeemLicence(input: {
  key: $key, discordId: $discord, robloxId: $roblox}) { licence { id status } errors { code } } }"""
OWN = "{ viewer { licences { nodes { id key status } } } }"
API_KEY = """mutation { createApiKey(input: {name: "Bot", scopes: [READ, WRITE]}) {
  secret errors { code } } }"""
BAN = """mutation($id: ID!) { banLicence(input: {id: $id, reason: "Shared."}) {
  licence { status } errors { code } } }"""
VERIFY = """mutation($key: String!, $machine: String) { verifyLicence(input: {
  key: $key, machineId: $machine}) { valid status errors { code } } }"""
TRANSFER = """mutation($id: ID!, $to: String!) { transferLicence(input: {
  id: $id, username: $to}) { licence { id } errors { code } } }"""


@pytest.fixture(scope="module")
def roblox() -> Iterator[FakeRoblox]:
    with fake_roblox() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, roblox: FakeRoblox) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("vectabase") / "data"
    with running_server(folder, ROBLOX_API_URL=roblox.url) as running:
        seeded = run_command(folder, "seed", "vectabase")
        assert seeded.returncode == 0, seeded.stderr
        yield running


async def signed_up(server: RunningServer, http: httpx.AsyncClient) -> Client:
    client = Client(server.url, http)
    given = {"email": f"{uuid4()}@example.test", "password": PASSWORD}
    text = """mutation($email: String!, $password: String!) {
      signUp(input: {email: $email, password: $password}) {
        session { accessToken user { id } } errors { code message } } }"""
    payload = (await client.ask(text, given))["signUp"]
    assert payload["errors"] == []
    client.token = payload["session"]["accessToken"]
    return client


async def done(client: Client, text: str, **variables: Any) -> Any:
    """The payload of a mutation that succeeds."""
    (payload,) = (await client.ask(text, variables)).values()
    assert payload["errors"] == []
    return payload


async def buys_credits(http: httpx.AsyncClient, key: dict[str, str], url: str) -> None:
    """A pack of five, paid on the sandbox's page."""
    packs = (await http.get(f"{url}/v1/credits", headers=key)).json()["data"]["packs"]
    assert [pack["quantity"] for pack in packs] == [1, 5, 10, 25, 50, 100]
    assert {pack["currency"] for pack in packs} == {"GBP"}
    wrong = await http.post(f"{url}/v1/credits", json={"quantity": 7}, headers=key)
    assert wrong.status_code == 400
    bought = await http.post(f"{url}/v1/credits", json={"quantity": 5}, headers=key)
    page = bought.json()["data"]["checkout_url"]
    assert (await http.post(f"{page}/pay")).status_code == 303


async def test_5_and_6_a_developer_a_buyer_and_a_bot(
    server: RunningServer, roblox: FakeRoblox
) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer, buyer = await signed_up(server, http), await signed_up(server, http)
        key = {"x-api-key": (await done(developer, CREATE_KEY))["secret"]}
        group = 5_000_000 + int(time.time()) % 1_000_000
        body = {"product_name": "Tank", "roblox_group_id": group}
        made = await http.post(f"{server.url}/v1/products", json=body, headers=key)
        product = made.json()["data"]
        roblox.describe(group, f"Tanks. {product['proof_phrase']}")
        proven = await http.post(f"{server.url}/v1/products/{product['id']}/prove", headers=key)
        assert proven.json()["data"]["proven_at"]

        entry = {
            "product_id": product["id"],
            "roblox_user_id": 77,
            "discord_id": DISCORD,
            "expiry_date": LATER,
        }
        added = await http.post(f"{server.url}/v1/whitelist", json=entry, headers=key)
        assert added.status_code == 201
        asked = {"roblox_user_id": 77, "roblox_group_id": group}
        verified = await http.post(f"{server.url}/v1/verify", json=asked, headers=key)
        assert verified.json()["data"]["whitelisted"] is True
        assert verified.headers["x-ratelimit-limit"] == "10"

        given = {"product": product["id"], "key": uuid4().hex}
        first, second, third = (await done(developer, LICENCES, **given))["licences"]
        assert (await done(buyer, REDEEM, key=first["key"]))["licence"]["status"] == "REDEEMED"
        (own,) = (await buyer.ask(OWN))["viewer"]["licences"]["nodes"]
        assert own["key"] == first["key"]
        assert (await done(buyer, VERIFY, key=first["key"], machine="PC 1"))["valid"]
        over = await done(buyer, VERIFY, key=first["key"], machine="PC 2")
        assert over["status"] == "MAX_ACTIVATIONS"

        # The bot acts as its developer, with an API key.
        bot = Client(server.url, http, token=(await done(developer, API_KEY))["secret"])
        await done(bot, REDEEM, key=second["key"], discord=DISCORD, roblox="78")
        await done(bot, BAN, id=second["id"])
        began = time.monotonic()
        banned = await done(Client(server.url, http), VERIFY, key=second["key"])
        assert (banned["status"], time.monotonic() - began < 1) == ("BANNED", True)

        # The buyer hands theirs on.
        friend = await signed_up(server, http)
        username = (await friend.ask("{ viewer { username } }"))["viewer"]["username"]
        await done(buyer, TRANSFER, id=own["id"], to=username)
        assert (await buyer.ask(OWN))["viewer"]["licences"]["nodes"] == []
        assert len((await friend.ask(OWN))["viewer"]["licences"]["nodes"]) == 1
        assert third["key"] not in json.dumps(await friend.ask(OWN))


async def test_5_obfuscations_cost_the_allowance_then_credits(server: RunningServer) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        developer = await signed_up(server, http)
        key = {"x-api-key": (await done(developer, CREATE_KEY))["secret"]}

        async def record() -> httpx.Response:
            return await http.post(f"{server.url}/v1/obfuscations", headers=key)

        assert (await record()).json()["data"]["source"] == "allowance"
        assert (await record()).json()["error"]["code"] == "OBFUSCATION_LIMIT"
        await buys_credits(http, key, server.url)
        async with asyncio.timeout(30):
            while True:
                response = await record()
                if response.status_code == 201:
                    break
                await asyncio.sleep(7)
        assert response.json()["data"]["source"] == "credit"
        assert response.json()["data"]["usage"]["credits_remaining"] == 4
