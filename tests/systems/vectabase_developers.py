"""Vectabase as developers and their bots meet it: two nodes on one database, and a Roblox to prove groups at."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.fakes.roblox import FakeRoblox, fake_roblox
from tests.graph.live.fleet import free_port
from tests.running import ROOT, RunningServer, environment, run_command, running_server

from .client import Client

PASSWORD = "correct horse battery"
LATER = "2199-01-01T00:00:00Z"
DISCORD = "123456789012345678"
START_SECONDS = 300
CREATE_KEY = """mutation($name: String!) { createDeveloperKey(input: {name: $name}) {
  secret developerKey { id preview } errors { code message } } }"""
REVOKE_KEY = "mutation($id: ID!) { revokeDeveloperKey(input: {id: $id}) { errors { code } } }"
LICENCES = """mutation($product: ID!, $key: String!, $until: DateTime) { createLicences(input: {
  productId: $product, count: 3, maxActivations: 1, expiresAt: $until, idempotencyKey: $key}) {
  licences { id key } errors { code } } }"""
REDEEM = """mutation($key: String!, $discord: String, $roblox: String) { redeemLicence(input: {
  key: $key, discordId: $discord, robloxId: $roblox}) { licence { id status } errors { code } } }"""
OWN = "{ viewer { licences { nodes { id key status } } } }"
API_KEY = """mutation { createApiKey(input: {name: "Bot", scopes: [READ, WRITE]}) {
  secret errors { code } } }"""
BAN = """mutation($id: ID!, $banned: Boolean!) { banLicence(input: {
  id: $id, banned: $banned, reason: "Shared."}) { licence { status } errors { code } } }"""
VERIFY = """mutation($key: String!, $machine: String) { verifyLicence(input: {
  key: $key, machineId: $machine}) { valid status errors { code } } }"""
TRANSFER = """mutation($id: ID!, $to: String!) { transferLicence(input: {
  id: $id, username: $to}) { licence { id } errors { code } } }"""
SET_ENTRY = """mutation($product: ID!, $roblox: String!, $until: DateTime!) {
  setWhitelistEntry(input: {productId: $product, robloxId: $roblox, expiresAt: $until}) {
  entry { id } errors { code ... on PlanLimitReached { limit used planId } } } }"""
RECORD = """mutation($key: String!) { recordObfuscation(input: {idempotencyKey: $key}) {
  obfuscationUse { source } errors { code } } }"""
SIGN_UP = """mutation($email: String!, $password: String!) {
  signUp(input: {email: $email, password: $password}) {
    session { accessToken user { id } } errors { code message } } }"""
_groups = count(5_000_000 + int(time.time()) % 1_000_000)


@dataclass
class Vectabase:
    """The product on two nodes, and the Roblox that they ask."""

    server: RunningServer
    # The address of another process on the same database.
    other_url: str
    roblox: FakeRoblox

    @property
    def urls(self) -> tuple[str, str]:
        """Of both nodes."""
        return self.server.url, self.other_url

    def command(self, *arguments: str) -> None:
        """Has the operator run a command."""
        done = run_command(self.server.data_directory, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running_vectabase(folder: Path) -> Iterator[Vectabase]:
    """A deployment for a block."""
    with fake_roblox() as roblox:
        variables = {
            "ROBLOX_API_URL": roblox.url,
            "MUTATIONS_PER_ADDRESS": "100000",
            "MUTATIONS_PER_USER": "1000",
        }
        with (
            running_server(folder, **variables) as server,
            other_node(server, variables) as url,
        ):
            vectabase = Vectabase(server, url, roblox)
            vectabase.command("seed", "vectabase")
            yield vectabase


@contextmanager
def other_node(server: RunningServer, variables: dict[str, str]) -> Iterator[str]:
    """Another process on a server's database; its address."""
    port = free_port()
    settings = {"DATABASE_URL": server.owner_url, "PORT": str(port), **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "serve"],
        cwd=ROOT,
        env=environment(server.data_directory) | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(url):
            assert process.poll() is None, "the other node ended"
            assert time.monotonic() < deadline, "the other node does not answer"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


async def done(client: Client, text: str, **variables: Any) -> Any:
    """The payload of a mutation that succeeds."""
    (payload,) = (await client.ask(text, variables)).values()
    assert payload["errors"] == [], payload
    return payload


@dataclass
class Developer:
    """Somebody who has signed up, with a key for the API under /v1/."""

    vectabase: Vectabase
    client: Client
    key: str

    async def rest(
        self, method: str, path: str, *, url: str | None = None, **options: Any
    ) -> httpx.Response:
        """The response to a request with the key."""
        headers = {"X-API-Key": self.key, **options.pop("headers", {})}
        address = f"{url or self.client.url}{path}"
        return await self.client.http.request(method, address, headers=headers, **options)

    async def data(self, method: str, path: str, **options: Any) -> Any:
        """What a request that succeeds answers."""
        response = await self.rest(method, path, **options)
        assert response.is_success, response.text
        return response.json()["data"] if response.content else None

    async def product(self) -> dict[str, Any]:
        """A product whose group is proven."""
        group = next(_groups)
        body = {"product_name": "Tank", "roblox_group_id": group}
        made = await self.data("POST", "/v1/products", json=body)
        self.vectabase.roblox.describe(group, f"Tanks. {made['proof_phrase']}")
        proven: dict[str, Any] = await self.data("POST", f"/v1/products/{made['id']}/prove")
        assert proven["proven_at"]
        return proven

    async def licences(self, product: dict[str, Any], until: str | None = None) -> list[Any]:
        """Three new licences of a product, each for one machine."""
        given = {"product": product["id"], "key": uuid4().hex, "until": until}
        return list((await done(self.client, LICENCES, **given))["licences"])


async def signed_up(vectabase: Vectabase, http: httpx.AsyncClient) -> Client:
    """Somebody new."""
    client = Client(vectabase.server.url, http)
    client.email = f"{uuid4()}@example.test"
    payload = (await client.ask(SIGN_UP, {"email": client.email, "password": PASSWORD}))["signUp"]
    assert payload["errors"] == []
    client.token = payload["session"]["accessToken"]
    return client


async def new_developer(
    vectabase: Vectabase, http: httpx.AsyncClient, tier: str | None = None
) -> Developer:
    """A developer, on the first tier or on another that the operator gave."""
    client = await signed_up(vectabase, http)
    if tier is not None:
        assert client.email
        vectabase.command("plans", "give", client.email, tier, "--reason", "A partner.")
    made = await done(client, CREATE_KEY, name="Game")
    return Developer(vectabase, client, made["secret"])


async def found_within(seconds: float, wanted: str, ask: Callable[[], Awaitable[str]]) -> None:
    """Asks until the answer is what is wanted, which takes no longer than so many seconds."""
    began = time.monotonic()
    while True:
        asked_at = time.monotonic() - began
        found = await ask()
        if found == wanted:
            return
        # An answer to what was asked later would have been late.
        assert asked_at < seconds, f"after {asked_at:.2f} s it is {found}"
        await asyncio.sleep(0.01)
