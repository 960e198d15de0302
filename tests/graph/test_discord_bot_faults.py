"""What keeps the example's bot from none of its other work: bad changes, a Discord or a proxy that fails (6.3-6.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser

from .bots import Member, RunningBot
from .discord_town import Town, discord_town, snowflake

from tallygraph_bot.api import Away, Refused, _data_of  # isort: skip
from tallygraph_bot.service import CHANGED_LATER, LATER, ROLE_LATER  # isort: skip

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


async def new_guild(town: Town) -> str:
    """A claimed server that hands out one product."""
    keeper, server, _ = await town.product(roleId=ROLE)
    asked = "query($s: ID!) { discordServer(id: $s) { guildId } }"
    return str((await keeper.ask(asked, s=server))["discordServer"]["guildId"])


async def go_away(bot: RunningBot, *guild_ids: str) -> str:
    """Has the server be away, while the bot knows these of Discord's; gives its address."""
    known = {one: await bot.service.guild(one) for one in guild_ids}
    meant, bot.url = bot.url, "http://127.0.0.1:9"
    await bot.restart()
    for one, guild in known.items():

        async def remembered(guild: Any = guild) -> Any:
            return guild

        await bot.service._guilds.get(one, remembered)
    return meant


async def test_6_4_a_change_that_can_never_be_taken_keeps_nobody_waiting(
    town: Town, bot: RunningBot
) -> None:
    guild = await new_guild(town)
    meant = await go_away(bot, guild)
    hasty, patient = (Member(snowflake(), "ana", guild) for _ in range(2))
    admin = Member(snowflake(), "root", guild, is_administrator=True)
    assert await bot.run("redeem", hasty, key="short") == LATER
    assert await bot.run("admin-whitelist-add", admin, user_id="@bob") == CHANGED_LATER
    assert await bot.run("redeem", hasty, key="no key \0 at all") == LATER
    assert await bot.run("redeem", patient, key="KEY-00002") == LATER
    bot.url = meant
    await bot.restart()
    await bot.service.sync_all()
    assert bot.gateway.has(guild, patient.id, ROLE)
    assert [who for who, said in bot.gateway.told if "key" in said] == [hasty.id, hasty.id]
    assert bot.journal.waiting() == {}


async def test_6_4_an_admin_hears_why_a_change_came_to_nothing(town: Town, bot: RunningBot) -> None:
    guild = await new_guild(town)
    admin = Member(snowflake(), "root", guild, is_administrator=True)
    said = await bot.run("admin-whitelist-add", admin, user_id="@bob")
    assert said == "discordId must have 17 to 20 digits."
    assert bot.journal.waiting() == {}
    gifted = snowflake()
    assert await bot.run("admin-whitelist-add", admin, user_id=gifted) == "Done."
    assert bot.gateway.has(guild, gifted, ROLE)
    assert bot.gateway.told == []


async def test_6_4_a_server_that_is_refused_keeps_no_other_waiting(
    town: Town, bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = await new_guild(town), await new_guild(town)
    meant = await go_away(bot, lost, kept)
    member = Member(snowflake(), "ana", kept)
    assert await bot.run("redeem", Member(snowflake(), "eve", lost), key="KEY-00001") == LATER
    assert await bot.run("redeem", member, key="KEY-00002") == LATER
    bot.url = meant
    await bot.restart()
    synced, asked = bot.service._synced, await bot.service.guild(lost)

    async def refused(server_id: str, *more: Any) -> Any:
        if server_id == asked["id"]:
            raise Refused("NOT_FOUND", "There is no such server.", ("input", "serverId"))
        return await synced(server_id, *more)

    monkeypatch.setattr(bot.service, "_synced", refused)
    await bot.service.sync_all()
    assert bot.gateway.has(kept, member.id, ROLE)
    # It is of none of the changes: they wait.
    assert list(bot.journal.waiting()) == [lost]


async def test_6_3_a_role_that_discord_does_not_take_is_given_later(
    town: Town, bot: RunningBot
) -> None:
    guild = await new_guild(town)
    member = Member(snowflake(), "ana", guild)
    bot.gateway.is_away = True
    assert await bot.run("redeem", member, key="KEY-00001") == ROLE_LATER
    await bot.service.sync_all()
    assert not bot.gateway.has(guild, member.id, ROLE)
    bot.gateway.is_away = False
    await bot.restart()
    await bot.service.sync_all()
    assert bot.gateway.has(guild, member.id, ROLE)
    assert bot.journal.waiting() == {}


async def test_6_4_a_stream_that_is_refused_is_asked_for_again(bot: RunningBot) -> None:
    told = {"errors": [{"message": "No.", "extensions": {"code": "FORBIDDEN"}}]}
    answers = [httpx.Response(403, json=told), httpx.Response(200, text="<html>Soon back</html>")]
    asked: list[int] = []

    class Enough(Exception):
        pass

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(1)
        if len(asked) > len(answers):
            raise Enough
        return answers[len(asked) - 1]

    await bot.api._http.aclose()
    bot.api._http = httpx.AsyncClient(
        base_url="http://tallygraph.test", transport=httpx.MockTransport(answer)
    )
    with pytest.raises(Enough):
        await bot.service.follow("whitelist")
    assert bot.waited == [1.0, 2.0]


@pytest.mark.parametrize(
    "text", ["", "<html>", "[]", "null", "{}", '{"errors":[1]}', '{"errors":[{}]}', '{"errors":5}']
)
def test_6_5_what_a_proxy_says_is_no_answer_of_the_server(text: str) -> None:
    with pytest.raises(Away):
        _data_of(text)
