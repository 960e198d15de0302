"""A whitelist that a bot and this server keep together, either side away for a while (6.4, 10.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from db.core.pool import Database
from db.licences.keys import new_key
from db.whitelists import sync
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.websocket_server import hear, say

from .developing import Developer, DeveloperNode, developer_node

CREATE = """mutation($input: CreateWhitelistSystemInput!) {
  answer: createWhitelistSystem(input: $input) { whitelistSystem { id name } errors { code } } }"""
SYNC = """mutation($input: SyncWhitelistInput!) { answer: syncWhitelist(input: $input) {
  accepted { externalId outcome } cursor hasMore
  changes { externalId username status robloxId banReason details changedBy }
  errors { code path } } }"""
WATCH = """subscription($id: ID!) { whitelistChanged(systemId: $id) {
  cursor whitelistUser { externalId status systemId } } }"""
ENTRIES = """subscription($id: ID!) { whitelistEntriesChanged(productId: $id) {
  entry { robloxId productId } deletedId } }"""
PRODUCTS = "subscription { developerProductsChanged { developerProduct { name } deletedId } }"
LICENCES = "subscription { licencesChanged { licence { status key } deletedId } }"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


class Side:
    """One side of a whitelist: what it has, what it must still send, and how far it has read."""

    def __init__(self, developer: Developer, system: str, name: str) -> None:
        self.developer, self.system, self.name = developer, system, name
        self.known: dict[str, Any] = {}
        self.unsent: list[dict[str, Any]] = []
        self.cursor: str | None = None

    def write(self, external_id: str, minute: float, **fields: Any) -> None:
        """Notes a change at a minute of the day."""
        moment = (NOW + timedelta(minutes=minute)).isoformat()
        self.unsent.append({"externalId": external_id, "changedAt": moment, **fields})
        self.known[external_id] = fields.get("status", "ACTIVE")

    async def sync(self) -> Any:
        """Sends and hears, until there is no more."""
        while (done := await self.ask())["hasMore"]:
            pass
        return done

    async def ask(self) -> Any:
        """Sends, and hears one page."""
        done = await self.developer.ask(
            SYNC,
            input={
                "systemId": self.system,
                "side": self.name,
                "since": self.cursor,
                "changes": self.unsent,
            },
        )
        assert done["errors"] == []
        self.unsent = []
        for one in done["changes"]:
            self.known[one["externalId"]] = one["status"]
        self.cursor = done["cursor"]
        return done


async def new_system(developer: Developer) -> str:
    made = await developer.ask(CREATE, input={"name": uuid4().hex})
    assert made["errors"] == []
    return str(made["whitelistSystem"]["id"])


async def test_6_4_both_sides_offline_for_an_hour_lose_nothing(node: DeveloperNode) -> None:
    developer = await node.developer()
    system = await new_system(developer)
    bot, platform = Side(developer, system, "bot"), Side(developer, system, "platform")
    for n in range(5):
        bot.write(f"user {n}", n, username=f"U{n}", robloxId=str(n + 1))
    await bot.sync()
    await platform.sync()
    assert platform.known == bot.known
    # Each writes for an hour while the other does not hear of it.
    bot.write("user 0", 70, status="BANNED", banReason="Leaked.")
    bot.write("new at the bot", 80, licenceKey=new_key())
    platform.write("user 0", 75, status="ACTIVE")
    platform.write("user 1", 76, status="REMOVED")
    platform.write("new at the platform", 77, details={"note": "a gift"})
    bot.write("user 1", 71, username="Renamed")
    await platform.sync()
    lost = await bot.sync()
    assert [one["outcome"] for one in lost["accepted"]] == ["LOST", "APPLIED", "LOST"]
    await platform.sync()
    await bot.sync()
    assert bot.known == platform.known
    assert bot.known["user 0"] == "ACTIVE"
    assert bot.known["user 1"] == "REMOVED"
    assert {"new at the bot", "new at the platform"} <= set(bot.known)


async def test_6_4_what_was_cut_off_is_sent_again(node: DeveloperNode) -> None:
    developer = await node.developer()
    side = Side(developer, await new_system(developer), "bot")
    side.write("a", 1, username="A")
    sent = list(side.unsent)
    first = await side.sync()
    side.unsent = sent
    again = await side.sync()
    assert [one["outcome"] for one in first["accepted"] + again["accepted"]] == ["APPLIED", "KNOWN"]
    other = Side(developer, side.system, "platform")
    await other.sync()
    assert other.known == {"a": "ACTIVE"}


async def test_6_4_cursors_and_changes_that_cannot_be_are_refused(node: DeveloperNode) -> None:
    developer, stranger = await node.developer(), await node.developer()
    system = await new_system(developer)
    change = {"externalId": "a", "changedAt": NOW.isoformat()}

    async def refused(somebody: Developer, **given: Any) -> Any:
        done = await somebody.ask(SYNC, input={"systemId": system, **given})
        return done["errors"][0]

    gone = {"code": "NOT_FOUND", "path": ["input", "systemId"]}
    assert await refused(stranger) == gone
    expired = {"code": "CURSOR_EXPIRED", "path": ["input", "since"]}
    assert await refused(developer, since="x") == expired
    assert await refused(developer, since="0123456789abcdef-5") == expired
    for field, value in (
        ("externalId", ""),
        ("discordId", "1"),
        ("robloxId", "x"),
        ("licenceKey", "x"),
        ("details", [1]),
    ):
        told = await refused(developer, changes=[{**change, field: value}])
        assert told == {"code": "BAD_USER_INPUT", "path": ["input", "changes", "0", field]}
    # Whoever has not seen a removal that is forgotten begins anew.
    side = Side(developer, system, "bot")
    side.write("b", 1)
    await side.sync()
    side.write("b", 2, status="REMOVED")
    await Side(developer, system, "platform").sync()
    old = side.cursor
    await side.sync()
    await node.owner.execute(
        "delete from whitelist_users where system_id = $1",
        system.removeprefix("whitelistSystem_"),
    )
    assert await refused(developer, since=old) == expired


async def test_6_4_a_side_that_lost_its_memory_hears_of_everybody_page_by_page(
    node: DeveloperNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PAGE_ROWS", 3)
    developer = await node.developer()
    system = await new_system(developer)
    bot, platform = Side(developer, system, "bot"), Side(developer, system, "platform")
    for n in range(8):
        bot.write(f"user {n}", n)
    bot.write("gone", 8, status="REMOVED")
    await bot.sync()
    anew = Side(developer, system, "bot")
    first = await anew.ask()
    assert (first["hasMore"], set(anew.known)) == (True, {"user 0", "user 1", "user 2"})
    # What changes between the pages is told as well, but not who was removed before.
    platform.write("user 1", 20, status="REMOVED")
    platform.write("a gift", 21)
    await platform.sync()
    await anew.sync()
    assert anew.known == platform.known
    # From then on it hears of the other side alone.
    bot.write("another", 30)
    await bot.sync()
    assert (await anew.sync())["changes"] == []


async def test_10_4_changes_are_told_to_whoever_watches(node: DeveloperNode) -> None:
    developer = await node.developer()
    system, other = await new_system(developer), await new_system(developer)
    url = str(node.http.base_url).replace("http", "ws").rstrip("/") + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(url, subprotocols=[protocol], proxy=None) as socket:
        payload = {"Authorization": f"Bearer {developer.token}"}
        await say(socket, type="connection_init", payload=payload)
        await hear(socket)
        asked = {"query": WATCH, "variables": {"id": system}}
        await say(socket, type="subscribe", id="1", payload=asked)
        first = (await hear(socket))["payload"]["data"]["whitelistChanged"]
        assert first["whitelistUser"] is None
        for where, name in ((other, "elsewhere"), (system, "here")):
            side = Side(developer, where, "bot")
            side.write(name, 1)
            await side.sync()
        told = (await hear(socket))["payload"]["data"]["whitelistChanged"]
        assert told["whitelistUser"] == {
            "externalId": "here",
            "status": "ACTIVE",
            "systemId": system,
        }


async def test_10_4_a_products_whitelist_is_told_as_it_changes(node: DeveloperNode) -> None:
    developer, stranger = await node.developer(), await node.developer()
    product, other = await developer.product(), await developer.product()
    (licence,) = await developer.licences(product)
    url = str(node.http.base_url).replace("http", "ws").rstrip("/") + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")

    async with AsyncExitStack() as stack:

        async def watch(somebody: Developer, text: str) -> ClientConnection:
            made = connect(url, subprotocols=[protocol], proxy=None)
            socket = await stack.enter_async_context(made)
            payload = {"Authorization": f"Bearer {somebody.token}"}
            await say(socket, type="connection_init", payload=payload)
            await hear(socket)
            asked = {"query": text, "variables": {"id": product["id"]}}
            await say(socket, type="subscribe", id="1", payload=asked)
            return socket

        async def told(socket: ClientConnection) -> Any:
            (payload,) = (await hear(socket))["payload"]["data"].values()
            return payload

        entries, products, licences = [
            await watch(developer, text) for text in (ENTRIES, PRODUCTS, LICENCES)
        ]
        outside = await hear(await watch(stranger, ENTRIES))
        assert [one["extensions"]["code"] for one in outside["payload"]] == ["NOT_FOUND"]
        assert await told(entries) == {"entry": None, "deletedId": None}
        assert await told(products) == {"developerProduct": None, "deletedId": None}
        assert await told(licences) == {"licence": None, "deletedId": None}
        await developer.put_on_whitelist(other, 4)
        entry = await developer.put_on_whitelist(product, 5)
        shown = {"robloxId": "5", "productId": product["id"]}
        assert await told(entries) == {"entry": shown, "deletedId": None}
        await developer.rest("DELETE", f"/v1/whitelist/{entry['id']}")
        assert await told(entries) == {"entry": None, "deletedId": entry["id"]}
        await developer.rest("DELETE", f"/v1/products/{product['id']}")
        assert await told(products) == {"developerProduct": None, "deletedId": product["id"]}
        assert await told(licences) == {"licence": None, "deletedId": licence["id"]}
