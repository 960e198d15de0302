"""The example's bot against a running server: pooled, persistent, patient, cached (6.2–6.6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser

from .bots import Member, RunningBot
from .discord_town import CODE, CONFIGURE, SYNC, Town, discord_town, do, snowflake

from tallygraph_bot.api import POOL_CONNECTIONS, RETRIES, Tallygraph, wait_seconds  # isort: skip
from tallygraph_bot.cache import TtlCache  # isort: skip
from tallygraph_bot.commands import may_use  # isort: skip
from tallygraph_bot.service import LATER  # isort: skip

ROLE = "777777777777777777"


@pytest.fixture
async def town(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[Town]:
    async with discord_town(database, settings, make_user, owner) as town:
        yield town


@pytest.fixture
async def bot(town: Town, tmp_path: Path) -> AsyncIterator[RunningBot]:
    running = RunningBot(str(town.node.http.base_url), town.bot.token, tmp_path)
    yield running
    await running.stop()


def person(guild_id: str, **given: Any) -> Member:
    return Member(snowflake(), "ana", guild_id, **given)


async def lost_answers(bot: RunningBot, number: int) -> list[str]:
    """Has the answers to so many requests get lost, after the server has done what was asked."""
    sent: list[str] = []
    usual = bot.api._http._transport

    class Losing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await usual.handle_async_request(request)
            if (
                b"redeemBotKey" not in request.content
                and b"syncBotWhitelist" not in request.content
            ):
                return response
            sent.append("sent")
            if len(sent) <= number:
                await response.aclose()
                raise httpx.ReadError("cut off")
            return response

    bot.api._http._transport = Losing()
    return sent


async def test_6_3_a_server_is_linked_configured_and_redeemed_in(
    town: Town, bot: RunningBot
) -> None:
    owner, guild = await town.person(), snowflake()
    await bot.join(guild, snowflake())
    admin, member = person(guild, is_administrator=True), person(guild)
    assert "not linked" in await bot.run("redeem", member, key="KEY-00001")
    code = (await do(owner, CODE))["code"]
    assert "may not" in await bot.run("link-account", member, code=code)
    assert await bot.run("link-account", admin, code=code) == "This server is linked."
    assert (
        await bot.run("admin-product-add", member, name="VIP")
        == "You may not use this command here."
    )
    assert await bot.run("admin-product-add", admin, name="VIP", roleId=ROLE) == "Saved."
    assert await bot.run("admin-product-edit", admin, product="vip", name="Gold") == "Saved."
    assert await bot.run("admin-product-list", admin) == "Gold"
    assert "Which product" in await bot.run("redeem", member, key="KEY-00001", product="Silver")
    assert await bot.run("redeem", member, key="KEY-00001") == "Gold is yours."
    assert bot.gateway.has(guild, member.id, ROLE)
    second = person(guild)
    assert "already" in await bot.run("redeem", second, key="KEY-00001")
    # Whoever leaves the server loses its roles, and comes back for them.
    await bot.gateway.take_role(guild, member.id, ROLE)
    assert await bot.run("update", member) == "Yours: Gold."
    assert bot.gateway.has(guild, member.id, ROLE)
    assert "Nothing is yours" in await bot.run("update", second)
    for _ in range(4):
        await bot.run("redeem", second, key="x")
    assert "too often" in await bot.run("redeem", second, key="KEY-00002")
    assert await bot.run("admin-whitelist-add", admin, user_id=second.id) == "Done."
    assert bot.gateway.has(guild, second.id, ROLE)
    assert await bot.run("admin-whitelist-remove", admin, user_id=second.id) == "Done."
    assert not bot.gateway.has(guild, second.id, ROLE)
    assert set((await bot.run("admin-whitelist-list", admin)).split("\n")) == {
        "ana (active)",
        f"{second.id} (removed)",
    }
    assert await bot.run("admin-product-remove", admin, product="Gold") == "Removed."
    assert await bot.run("admin-product-list", admin) == "There is none."
    await bot.service.left(guild)
    assert bot.journal.waiting() == {}


async def has_role(bot: RunningBot, guild: str, member: str, wanted: bool) -> None:
    async with asyncio.timeout(20):
        while bot.gateway.has(guild, member, ROLE) is not wanted:
            bot.gateway.changed.clear()
            await bot.gateway.changed.wait()


async def until_followed(bot: RunningBot, name: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if bot.journal.cursor(name) is not None:
                return
            await asyncio.sleep(0.01)


async def test_6_4_an_hour_away_nothing_is_lost_on_either_side(town: Town, bot: RunningBot) -> None:
    owner, guild, server = await town.owned()
    saved = {
        "serverId": server,
        "idempotencyKey": uuid4().hex,
        "products": [{"name": "VIP", "roleId": ROLE}],
    }
    product = (await do(owner, CONFIGURE, **saved))["server"]["products"]["nodes"][0]["id"]
    member, gift, loser = person(guild), snowflake(), person(guild)
    first = asyncio.create_task(bot.service.follow("whitelist"))
    await bot.service.guild(guild)
    assert await bot.run("redeem", member, key="KEY-00001") == "VIP is yours."
    await has_role(bot, guild, member.id, True)
    # The server cannot be reached: what is redeemed is kept, through a restart of the bot, too.
    await until_followed(bot, "whitelist")
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    meant, bot.url = bot.url, "http://127.0.0.1:9"
    known = await bot.service.guild(guild)
    await bot.restart()

    async def remembered() -> Any:
        return known

    await bot.service._guilds.get(guild, remembered)
    assert await bot.run("redeem", loser, key="KEY-00002") == LATER
    assert bot.waited == [1.0, 2.0, 4.0, 8.0, 16.0]
    waiting = person(guild)
    assert await bot.run("redeem", waiting, key="KEY-00003") == LATER
    # Meanwhile the owner gives, takes, and lets somebody else have a key.
    winner = snowflake()
    for who, more in (
        (gift, {}),
        (member.id, {"status": "REMOVED"}),
        (winner, {"key": "KEY-00002"}),
    ):
        change = {
            "productId": product,
            "discordId": who,
            "changedAt": "2100-01-01T00:00:00Z",
            **more,
        }
        await do(owner, SYNC, serverId=server, changes=[change])
    bot.url = meant
    await bot.restart()
    follower = asyncio.create_task(bot.service.follow("whitelist"))
    await bot.service.sync_all()
    await has_role(bot, guild, waiting.id, True)
    await has_role(bot, guild, gift, True)
    await has_role(bot, guild, member.id, False)
    assert bot.gateway.told == [(loser.id, "Somebody else had redeemed this key before you.")]
    assert not bot.gateway.has(guild, loser.id, ROLE)
    assert bot.journal.waiting() == {}
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower


async def test_6_5_an_answer_that_was_lost_is_asked_for_again(town: Town, bot: RunningBot) -> None:
    owner, server, product = await town.product(roleId=ROLE)
    guild = (await owner.ask("query($s: ID!) { discordServer(id: $s) { guildId } }", s=server))[
        "discordServer"
    ]["guildId"]
    member = person(guild)
    sent = await lost_answers(bot, 3)
    assert await bot.run("redeem", member, key="KEY-00001") == "VIP is yours."
    assert (len(sent), bot.waited) == (4, [1.0, 2.0, 4.0])
    rows = await town.node.owner.fetchval(
        "select count(*) from bot_whitelisted_users where product_id = $1",
        product.removeprefix("botProduct_"),
    )
    assert rows == 1
    # All six are lost: the bot does not know, and what it sends later changes nothing.
    second = person(guild)
    sent = await lost_answers(bot, 6)
    assert await bot.run("redeem", second, key="KEY-00002") == LATER
    assert not bot.gateway.has(guild, second.id, ROLE)
    await bot.restart()
    await bot.service.sync_all()
    assert bot.gateway.has(guild, second.id, ROLE)
    assert bot.gateway.told == []
    assert bot.journal.waiting() == {}


async def test_6_2_connections_are_pooled_and_used_again() -> None:
    opened: list[int] = []
    body = b'{"data": {"done": true}}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(len(opened))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"content-length: (\d+)", asked)
                assert length is not None
                await reader.readexactly(int(length[1]))
                await asyncio.sleep(0.005)
                writer.write(head % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    api = Tallygraph(f"http://127.0.0.1:{port}", "tgk_x")
    for _ in range(3):
        answers = await asyncio.gather(*(api.ask("{ done }") for _ in range(40)))
        assert answers == [{"done": True}] * 40
    assert len(opened) == POOL_CONNECTIONS
    await api.close()
    server.close()


def test_6_5_waits_double_from_one_second_to_thirty() -> None:
    assert [wait_seconds(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert RETRIES == 5


async def test_6_6_what_was_read_is_kept_until_its_time_is_over_or_it_is_forgotten() -> None:
    clock = [0.0]
    cache, reads = TtlCache[int](60, lambda: clock[0]), iter(range(10))

    async def read() -> int:
        return next(reads)

    assert [await cache.get("a", read), await cache.get("a", read)] == [0, 0]
    clock[0] = 60
    assert await cache.get("a", read) == 1
    cache.forget()
    assert await cache.get("a", read) == 2

    async def read_while_it_changes() -> int:
        cache.forget()
        return 99

    cache.forget()
    assert await cache.get("a", read_while_it_changes) == 99
    assert await cache.get("a", read) == 3


async def test_6_6_a_change_empties_the_cache(town: Town, bot: RunningBot) -> None:
    owner, guild, server = await town.owned()
    follower = asyncio.create_task(bot.service.follow("products"))
    await until_followed(bot, "products")
    assert (await bot.service.guild(guild))["products"]["nodes"] == []
    saved = {"serverId": server, "idempotencyKey": uuid4().hex, "products": [{"name": "VIP"}]}
    await do(owner, CONFIGURE, **saved)
    async with asyncio.timeout(20):
        while True:
            if (await bot.service.guild(guild))["products"]["nodes"]:
                break
            await asyncio.sleep(0.01)
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower


@pytest.mark.parametrize(
    ("row", "is_administrator", "role_ids", "allowed"),
    [
        (None, False, (), False),
        (None, True, (), True),
        ({"enabled": False}, True, ("1",), False),
        ({"requireAdmin": True}, False, ("1",), False),
        ({}, False, ("1",), True),
        ({}, False, ("2",), False),
        ({}, True, (), True),
    ],
)
def test_6_1_who_may_use_a_command_is_data(
    row: dict[str, Any] | None, is_administrator: bool, role_ids: tuple[str, ...], allowed: bool
) -> None:
    usual = {
        "commandName": "admin-x",
        "enabled": True,
        "requireAdmin": False,
        "allowedRoleIds": ["1"],
    }
    member = replace(person("1"), is_administrator=is_administrator, role_ids=frozenset(role_ids))
    permissions = [{**usual, **row}] if row is not None else []
    assert may_use("admin-x", member, permissions) is allowed
    assert may_use("redeem", person("1"), []) is True


def test_what_the_example_needs_is_pinned_and_no_part_of_the_server() -> None:
    root = Path(__file__).parents[2]
    needed = (root / "examples/discord-bot/requirements.txt").read_text()
    assert re.findall(r"(?m)^([a-z.]+)==", needed) == ["discord.py", "httpx"]
    locked = (root / "requirements.lock").read_text()
    assert "\nhttpx==" + re.findall(r"httpx==(\S+)", needed)[0] in "\n" + locked
    assert "discord" not in locked
