"""The example's bot at Payhip and Roblox: keys that others sold, and groups that they open (6.3, 6.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser
from tests.fakes.shops import CLOUD_KEY, GROUP, SECRET, FakeShops, fake_shops

from .bots import Member, RunningBot
from .discord_town import Town, discord_town, snowflake

from tallygraph_bot.api import Away  # isort: skip
from tallygraph_bot.outside import Outside  # isort: skip
from tallygraph_bot.roblox import A_MINUTE  # isort: skip
from tallygraph_bot.service import LATER  # isort: skip

ROLE = "777777777777777777"
SOLD: dict[str, Any] = {
    "roleId": ROLE,
    "payhipKey": SECRET,
    "robloxKey": CLOUD_KEY,
    "robloxGroupId": GROUP,
}


@dataclass
class Guild:
    """A server that hands out one product."""

    town: Town
    bot: RunningBot
    shops: FakeShops
    id: str
    product: str

    def member(self, number: str = "156", name: str = "Builder_Man") -> Member:
        """Somebody who has asked to join the group."""
        self.shops.meet(number, name)
        return Member(snowflake(), "ana", self.id)

    async def redeem(self, member: Member, key: str, roblox: str | None = None) -> str:
        given = {"roblox": roblox} if roblox else {}
        return await self.bot.run("redeem", member, key=key, **given)

    async def kept(self) -> list[tuple[str, str | None, str | None]]:
        """Who has the product at Tallygraph."""
        rows = await self.town.node.owner.fetch(
            "select discord_id, roblox_id::text, roblox_username from bot_whitelisted_users"
            " where product_id = $1 order by redeemed_at",
            self.product.removeprefix("botProduct_"),
        )
        return [tuple(row) for row in rows]


@pytest.fixture
def shops() -> Iterator[FakeShops]:
    with fake_shops() as shops:
        shops.keys |= {"KEY-00001": 0, "KEY-00002": 0}
        yield shops


@pytest.fixture
async def guild(
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    shops: FakeShops,
    tmp_path: Path,
) -> AsyncIterator[Guild]:
    async with discord_town(database, settings, make_user, owner) as town:
        url, key = str(town.node.http.base_url), town.bot.token
        bot = RunningBot(url, key, tmp_path, elsewhere=shops.url)
        keeper, server, product = await town.product(**SOLD)
        asked = "query($s: ID!) { discordServer(id: $s) { guildId } }"
        guild_id = (await keeper.ask(asked, s=server))["discordServer"]["guildId"]
        yield Guild(town, bot, shops, guild_id, product)
        await bot.stop()


async def test_6_3_a_key_of_payhip_opens_a_group_once(guild: Guild) -> None:
    member, second = guild.member(), guild.member("7", "Second")
    assert await guild.redeem(member, "KEY-00001", "builder_man") == "VIP is yours."
    assert guild.bot.gateway.has(guild.id, member.id, ROLE)
    assert (guild.shops.members, guild.shops.disabled) == ({"156"}, ["KEY-00001"])
    assert await guild.kept() == [(member.id, "156", "Builder_Man")]
    assert guild.bot.journal.owed() == {}
    assert "used before" in await guild.redeem(second, "KEY-00001", "7")
    assert guild.shops.members == {"156"}
    assert await guild.redeem(second, "KEY-00002", "7") == "VIP is yours."
    assert guild.shops.members == {"156", "7"}


REFUSED = [
    ("KEY-00009", "156", "no such key"),
    ("KEY-00003", "156", "used before"),
    ("KEY-00001", "157", "nobody of that name"),
    ("KEY-00001", "_nobody", "nobody of that name"),
    ("KEY-00001", "Somebody", "nobody of that name"),
    ("KEY-00001", None, "who you are at Roblox"),
    ("KEY-00001", "8", "in the group already"),
    ("KEY-00001", "9", "Ask to join"),
]


async def test_6_3_what_cannot_be_redeemed_leaves_nothing_behind(guild: Guild) -> None:
    guild.shops.keys["KEY-00003"] = 1
    for number, name in (("8", "Inside"), ("9", "Outside")):
        guild.shops.meet(number, name)
        guild.shops.asking.remove(number)
    guild.shops.members.add("8")
    for key, roblox, said in REFUSED:
        assert said in await guild.redeem(guild.member(), key, roblox)
    assert await guild.kept() == []
    assert (guild.shops.members, guild.shops.disabled) == ({"8"}, [])
    assert guild.bot.journal.waiting() == {}


async def test_6_5_a_shop_that_fails_is_asked_again_after_a_while(guild: Guild) -> None:
    member = guild.member()
    guild.shops.failures = 5
    assert await guild.redeem(member, "KEY-00001", "156") == "VIP is yours."
    assert guild.bot.waited == [1.0, 2.0, 4.0, 8.0, 16.0]
    # Away for longer: nothing is redeemed, and nothing promised.
    guild.bot.waited.clear()
    second = guild.member("7", "Second")
    guild.shops.failures = 6
    assert "cannot reach" in await guild.redeem(second, "KEY-00002", "7")
    assert len(guild.bot.waited) == 5
    assert len(await guild.kept()) == 1


async def test_6_3_what_the_group_and_the_shop_are_to_hear_survives_a_restart(guild: Guild) -> None:
    member = guild.member()
    meant = guild.shops.stub.answers

    def down(_: Any) -> Any:
        return 503, {}

    away = f"/cloud/v2/groups/{GROUP}/join-requests/156:accept"
    guild.shops.stub.answers = meant | {away: down, "/api/v2/license/disable": down}
    assert await guild.redeem(member, "KEY-00001", "156") == "VIP is yours."
    assert guild.bot.gateway.has(guild.id, member.id, ROLE)
    (owed,) = guild.bot.journal.owed().values()
    assert (owed.key, owed.robloxId) == ("KEY-00001", "156")
    # The key is taken here already, whatever the shop says of it.
    assert "already" in await guild.redeem(guild.member("7", "Second"), "KEY-00001", "7")
    guild.shops.stub.answers = meant | {
        path: answer for path, answer in guild.shops.stub.answers.items() if path not in meant
    }
    guild.shops.open()
    guild.shops.meet("156", "Builder_Man")
    await guild.bot.restart()
    await guild.bot.service.sync_all()
    assert (guild.shops.members, guild.shops.disabled) == ({"156"}, ["KEY-00001"])
    assert guild.bot.journal.owed() == {}


async def test_6_5_a_redemption_that_waited_for_tallygraph_opens_the_group_later(
    guild: Guild,
) -> None:
    member = guild.member()
    known = await guild.bot.service.guild(guild.id)
    meant, guild.bot.url = guild.bot.url, "http://127.0.0.1:9"
    await guild.bot.restart()

    async def remembered() -> Any:
        return known

    await guild.bot.service._guilds.get(guild.id, remembered)
    assert await guild.redeem(member, "KEY-00001", "156") == LATER
    assert (guild.shops.members, guild.shops.disabled) == (set(), [])
    guild.bot.url = meant
    await guild.bot.restart()
    await guild.bot.service.sync_all()
    assert (guild.shops.members, guild.shops.disabled) == ({"156"}, ["KEY-00001"])
    assert await guild.kept() == [(member.id, "156", "Builder_Man")]


async def test_6_3_an_admin_lets_somebody_in_without_a_key(guild: Guild) -> None:
    admin, gifted = Member(snowflake(), "root", guild.id, is_administrator=True), guild.member()
    said = await guild.bot.run("admin-whitelist-add", admin, user_id=gifted.id, roblox="156")
    assert said == "Done."
    assert (guild.shops.members, guild.shops.disabled) == ({"156"}, [])
    assert await guild.kept() == [(gifted.id, "156", "Builder_Man")]


PAGE = b"<html>Log in to the network</html>"
LOST_ITS_MIND: list[Any] = [(200, one) for one in (PAGE, [], 5, "x", {"data": 5}, {"data": [5]})]
LOST_ITS_MIND += [(200, {"data": [{"id": "x", "name": 5}]}), (302, {}), (200, b"[" * 100_000)]


async def test_6_3_others_that_do_not_say_what_they_should_change_nothing(guild: Guild) -> None:
    member, meant = guild.member(), dict(guild.shops.stub.answers)
    verify, names = "/api/v2/license/verify", "/v1/usernames/users"
    person, asking = "/v1/users/156", f"/cloud/v2/groups/{GROUP}/join-requests"
    wrong = [(path, *one) for path in (names, person, asking) for one in LOST_ITS_MIND]
    wrong += [(verify, 200, PAGE), (verify, 200, []), (verify, 302, {})]
    wrong.append((asking, 200, {"groupJoinRequests": {"a": 1}}))
    for n, (path, status, body) in enumerate(wrong):
        guild.shops.stub.answers = meant | {path: lambda _, said=(status, body): said}
        guild.bot.commands._attempts.clear()
        roblox = "Builder_Man" if path == names else "156"
        said = await guild.redeem(member, "KEY-00001", roblox)
        # Roblox leaves an empty list out, so an object without one is sound.
        sound = path == asking and isinstance(body, dict) and "groupJoinRequests" not in body
        expected = "Ask to join" if sound and status == 200 else "does not answer as it should"
        assert expected in said, (n, path, body, said)
    guild.shops.stub.answers = meant
    assert await guild.kept() == []
    assert (guild.shops.members, guild.shops.disabled) == (set(), [])
    assert await guild.redeem(member, "KEY-00001", "156") == "VIP is yours."


async def test_6_3_who_is_to_be_let_in_waits_while_roblox_makes_no_sense(guild: Guild) -> None:
    member, meant = guild.member(), dict(guild.shops.stub.answers)
    accept = f"/cloud/v2/groups/{GROUP}/join-requests/156:accept"
    memberships = f"/cloud/v2/groups/{GROUP}/memberships"
    answered: list[int] = []

    def first_sound(asked: Any) -> Any:
        answered.append(1)
        return meant[memberships](asked) if len(answered) == 1 else (200, PAGE)

    guild.shops.stub.answers = meant | {accept: lambda _: (400, PAGE), memberships: first_sound}
    assert await guild.redeem(member, "KEY-00001", "156") == "VIP is yours."
    assert len(guild.bot.journal.owed()) == 1
    guild.shops.stub.answers = meant
    await guild.bot.service.sync_all()
    assert guild.shops.members == {"156"}
    assert guild.bot.journal.owed() == {}
    assert guild.bot.gateway.told == []


async def test_6_5_an_answer_without_end_or_in_no_code_is_none() -> None:
    endless = Outside("http://roblox.test", retries=0)

    async def more() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async def no_gzip() -> AsyncIterator[bytes]:
        yield b"no gzip"

    garbled = {"content-encoding": "gzip"}
    for answer in (
        httpx.Response(200, content=more()),
        httpx.Response(200, headers=garbled, content=no_gzip()),
    ):
        endless._http = httpx.AsyncClient(
            base_url="http://roblox.test",
            transport=httpx.MockTransport(lambda _, said=answer: said),
        )
        with pytest.raises(Away):
            await endless.ask("GET", "/")
        await endless.close()


async def test_6_5_roblox_is_asked_a_hundred_times_a_minute() -> None:
    clock, waited = [0.0], []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    asked = Outside(
        "http://roblox.test", retries=0, a_minute=A_MINUTE, sleep=sleep, clock=lambda: clock[0]
    )
    asked._http = httpx.AsyncClient(
        base_url="http://roblox.test",
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})),
    )
    for n in range(A_MINUTE + 2):
        clock[0] += 0.1
        await asked.ask("GET", f"/v1/users/{n}")
    # The hundred and first waits until the first is a minute ago.
    assert waited == [pytest.approx(60 - 10)]
    await asked.close()


async def test_6_5_who_never_answers_is_away() -> None:
    asked = Outside("http://127.0.0.1:9", retries=0)
    with pytest.raises(Away):
        await asked.ask("GET", "/")
    await asked.close()
