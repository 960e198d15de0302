"""The product Aura as its clients meet it: a deployment with its providers, devices and what they ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from db.core.queue import RUN_SCHEDULED
from payments.base import Delivery
from tests.fakes import anthropic
from tests.fakes.anthropic import FakeAnthropic, fake_anthropic
from tests.fakes.revenuecat import AUTHORIZATION
from tests.fakes.stripe import FakeStripe, stripe
from tests.running import RunningServer, run_command, running_server

from .client import Client
from .devices import Device

PASSWORD = "violet lantern 7"
SESSION = "session { accessToken refreshToken user { id isAnonymous } } errors { code }"
GUEST = f"mutation($device: String!) {{ signInAnonymously(input: {{deviceId: $device}}) {{ {SESSION} }} }}"
SIGN_UP = f"""mutation($email: String!, $password: String!, $code: String) {{
  signUp(input: {{email: $email, password: $password, referralCode: $code}}) {{ {SESSION} }} }}"""
SIGN_IN = f"""mutation($email: String!, $password: String!) {{
  signIn(input: {{email: $email, password: $password}}) {{ {SESSION} }} }}"""
MERGE = """mutation($token: String!) { mergeAnonymousAccount(input: {anonymousRefreshToken: $token}) {
  merged { credits moved { slice count } } errors { code } } }"""
SYNC = """mutation($input: SyncProfilesInput!) { syncProfiles(input: $input) {
  changes { id localId deleted name thumbnail analysis deviceId }
  messages { id profileId clientId role status text createdAt }
  accepted { localId id clock } conflicts { id profileId localId fieldGroup loser value status }
  cursor hasMore clock errors { code path } } }"""
PROFILES = (
    "{ viewer { profiles { nodes { id name analysis chatMessages { nodes { role text } } } } } }"
)
WALLET = "{ viewer { credits { balance held available } } }"
PRODUCTS = "{ products { id kind credits prices { provider amountCents currency } } }"
CHECKOUT = """mutation($product: ID!, $key: String!) { createCheckout(input: {
  productId: $product, provider: "stripe", idempotencyKey: $key}) { order { id } url errors { code } } }"""
WATCH_ORDER = "subscription($id: ID!) { orderUpdated(id: $id) { order { id status credits } } }"


@dataclass
class Aura:
    """The product, and the three services behind it."""

    server: RunningServer
    claude: FakeAnthropic
    stripe: FakeStripe
    admin_email: str | None = None

    def command(self, *arguments: str) -> str:
        """What the operator's command prints."""
        done = run_command(self.server.data_directory, *arguments, COLUMNS="200")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def store_price(self, kind: str, credits: int | None = None) -> str:
        """What the app stores call a product."""
        found: str = await self.owner(
            "select x.price_id from product_prices x join products p on p.id = x.product_id"
            " where x.provider = 'revenuecat' and p.kind = $1 and p.credits is not distinct from $2"
            " and x.billing_interval is distinct from 'YEAR'",
            kind,
            credits,
        )
        return found

    async def owner(self, statement: str, *values: Any) -> Any:
        """Runs a statement as the operator, who has the database."""
        connection = await asyncpg.connect(self.server.owner_url)
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()


@contextmanager
def running_aura(folder: Path) -> Iterator[Aura]:
    """A deployment with Aura's seed, Claude, Stripe and RevenueCat."""
    with fake_anthropic() as claude, stripe() as bank:
        settings = {
            "ANTHROPIC_API_KEY": anthropic.KEY,
            "ANTHROPIC_API_URL": claude.url,
            "REVENUECAT_WEBHOOK_AUTHORIZATION": AUTHORIZATION,
            "ACCOUNT_DELETION_DAYS": "0",
            **bank.settings,
        }
        with running_server(folder, **settings) as server:  # type: ignore[arg-type]
            made = Aura(server, claude, bank)
            made.command("seed", "aura")
            yield made


@dataclass
class Phone:
    """A device with a database of its own, which works offline: what it changed waits for a sync."""

    device: Device
    device_id: str = field(default_factory=lambda: str(uuid4()))
    cursor: str | None = None
    outbox: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, str | None] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    ahead_milliseconds: int = 0
    ticks: int = 0

    def write(self, **change: Any) -> None:
        """Notes a change, by the clock of the device."""
        self.ticks += 1
        clock = f"{int(time() * 1000) + self.ahead_milliseconds}:{self.ticks}"
        given = {"clock": clock, **change}
        self.outbox.append(given | ({"since": self.cursor} if self.cursor else {}))
        if change.get("deleted"):
            self.names.pop(change["id"], None)
        elif "id" in change and "name" in change:
            self.names[change["id"]] = change["name"]

    async def send(self, strategy: str = "LAST_WRITE_WINS") -> dict[str, Any]:
        """Sends what waits, as a request of which no answer is taken."""
        wanted = {"deviceId": self.device_id, "since": self.cursor, "strategy": strategy}
        given = wanted | {"changes": self.outbox}
        payload: dict[str, Any] = await self.device.do(SYNC, input=given)
        return payload

    async def sync(self, strategy: str = "LAST_WRITE_WINS") -> dict[str, Any]:
        """Sends what waits, and takes in what others changed, page by page."""
        payload = first = await self.send(strategy)
        self.outbox.clear()
        while True:
            self._take(payload)
            if not payload["hasMore"]:
                return first
            payload = await self.send()

    def _take(self, payload: dict[str, Any]) -> None:
        self.cursor = payload["cursor"]
        for change in payload["changes"]:
            if change["deleted"]:
                self.names.pop(change["id"], None)
            else:
                self.names[change["id"]] = change["name"]
        for message in payload["messages"]:
            self.said.setdefault(message["profileId"], []).append(message["text"])


async def signed_up(aura: Aura, http: httpx.AsyncClient, code: str | None = None) -> Client:
    """Somebody who has just signed up, by a friend's code perhaps."""
    client = Client(aura.server.url, http)
    client.email = f"{uuid4()}@example.test"
    given = {"email": client.email, "password": PASSWORD, "code": code}
    return took(client, (await client.ask(SIGN_UP, given))["signUp"])


async def signed_in(aura: Aura, http: httpx.AsyncClient, email: str) -> Client:
    """The same user on another device."""
    client = Client(aura.server.url, http)
    payload = await client.ask(SIGN_IN, {"email": email, "password": PASSWORD})
    return took(client, payload["signIn"])


async def a_guest(aura: Aura, http: httpx.AsyncClient) -> Client:
    """Somebody who tries the app."""
    client = Client(aura.server.url, http)
    return took(client, (await client.ask(GUEST, {"device": str(uuid4())}))["signInAnonymously"])


def took(client: Client, payload: dict[str, Any]) -> Client:
    """The client with the session that it was given."""
    assert payload["errors"] == [], payload
    session = payload["session"]
    client.token, client.refresh_token = session["accessToken"], session["refreshToken"]
    client.user_id = session["user"]["id"]
    return client


async def delivered(aura: Aura, http: httpx.AsyncClient, name: str, sent: Delivery) -> int:
    """A provider delivers an event; the answer's status."""
    url = f"{aura.server.url}/webhooks/{name}"
    return (await http.post(url, content=sent.body, headers=sent.headers)).status_code


async def wallet(device: Device) -> tuple[int, int]:
    """Balance and held credits."""
    credits = await device.get(WALLET, "viewer.credits")
    return credits["balance"], credits["held"]


async def wallet_becomes(device: Device, balance: int, held: int = 0) -> None:
    """Waits until a wallet is so."""
    async with asyncio.timeout(30):
        while await wallet(device) != (balance, held):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@dataclass
class Two:
    """Two devices of one user."""

    client: Client
    phone: Phone
    laptop: Phone


def said(text: str, role: str = "USER") -> dict[str, Any]:
    """A message as a device keeps it."""
    return {"id": str(uuid4()), "role": role, "text": text}


async def shared_profile(two: Two, name: str = "Kim") -> str:
    """A profile that both devices know; its global id."""
    two.phone.write(localId=two.phone.ticks, name=name, analysis={"note": "first"})
    made = await two.phone.sync()
    await two.laptop.sync()
    profile: str = made["accepted"][-1]["id"]
    assert two.laptop.names[profile] == name
    return profile


async def agree(two: Two) -> None:
    """Both devices sync until neither has anything to tell."""
    for one in (two.phone, two.laptop, two.phone, two.laptop):
        await one.sync()


async def pack(device: Device, credits: int) -> dict[str, Any]:
    """What Stripe sells that is so many credits."""
    (found,) = [
        one
        for one in await device.get(PRODUCTS, "products")
        if one["credits"] == credits
        and any(price["provider"] == "stripe" for price in one["prices"])
    ]
    product: dict[str, Any] = found
    return product


async def buys(aura: Aura, device: Device, http: httpx.AsyncClient, credits: int) -> str:
    """Buys a pack on the page of Stripe's checkout, of which Stripe tells twice; gives the order's id."""
    given = {"product": (await pack(device, credits))["id"], "key": str(uuid4())}
    bought = await device.do(CHECKOUT, **given)
    assert bought == await device.do(CHECKOUT, **given), "one key, one order"
    session = bought["url"].rpartition("/")[2]
    order = {"id": bought["order"]["id"]}
    watched = await device.watch(WATCH_ORDER, order)
    assert (await watched.next())["order"]["status"] == "PENDING"
    paid = aura.stripe.pay(session)
    assert [await delivered(aura, http, "stripe", paid) for _ in range(2)] == [200, 200]
    assert (await watched.until(status="PAID"))["credits"] == credits
    return str(order["id"])


async def due_now(aura: Aura, work: str) -> None:
    """Has a worker do what is scheduled for later, as if its time had come."""
    await aura.owner(
        "insert into queue.pgqueuer (priority, entrypoint, payload, status)"
        " values (10, $1, convert_to($2, 'UTF8'), 'queued')",
        RUN_SCHEDULED,
        json.dumps({"name": work}),
    )
