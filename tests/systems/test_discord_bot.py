"""The example's bot through a stop of the database in mid-redeem: the redeem ends exactly once (6.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from auth.api_keys import NewSecret
from db.embedded.database import destroy_embedded
from db.migrations.migrate import migrate
from settings import ROLES, Settings
from tests.graph.bots import Member, RunningBot
from tests.graph.live.deployment import Deployment
from tests.running import RunningServer, running_server

pytestmark = pytest.mark.nightly

GUILD, OWNER, ROLE = "333333333333333333", "444444444444444444", "555555555555555555"
ROWS = "select count(*) from bot_whitelisted_users"
LOCK = "select from bot_whitelist_heads for update"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Deployment]:
    """A cluster of this test's own, since it stops it."""
    place = Deployment(Settings(data_directory=tmp_path / "data"))
    yield place
    place.cluster.stop()
    destroy_embedded(place.settings)


@pytest.fixture
async def server(place: Deployment, tmp_path: Path) -> AsyncIterator[RunningServer]:
    """The product on that cluster."""
    await migrate(place.owner_url, place.settings)
    variables = {
        f"DATABASE_{role.upper()}_PASSWORD": place.settings.secret(f"database-{role}-password")
        for role in ROLES
    }
    variables |= {"DATABASE_URL": place.owner_url, "DATABASE_DIRECT_URL": place.owner_url}
    with running_server(tmp_path / "server", **variables) as running:
        yield running


async def prepare_bot(place: Deployment) -> tuple[str, str]:
    """A bot's key, and the claimed server's product."""
    owner, secret = await asyncpg.connect(place.owner_url), NewSecret.make()
    admin = await owner.fetchval("insert into users (role) values ('admin') returning id")
    async with owner.transaction():
        await owner.execute("select set_config('app.user_id', $1, true)", str(admin))
        made = await owner.fetchval(
            "select app.create_bot_key('A', $1, $2, null, null, '{}')", secret.prefix, secret.hash
        )
    robot = await owner.fetchval("select user_id from api_keys where id = $1", made)
    guild = await owner.fetchval(
        "insert into discord_servers (guild_id, name, owner_discord_id, bot_id, user_id, claimed_at)"
        " values ($1, 'S', $2, $3, $4, now()) returning id",
        GUILD,
        OWNER,
        robot,
        admin,
    )
    await owner.execute("insert into bot_whitelist_heads (server_id) values ($1)", guild)
    product = await owner.fetchval(
        "insert into bot_products (server_id, name, role_id) values ($1, 'VIP', $2) returning id",
        guild,
        ROLE,
    )
    await owner.close()
    return secret.text, str(product)


async def test_6_5_the_database_stopped_in_mid_redeem_and_the_redeem_ends_once(
    place: Deployment, server: RunningServer, tmp_path: Path
) -> None:
    key, _ = await prepare_bot(place)
    waited: list[float] = []
    has_failed = asyncio.Event()

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        has_failed.set()
        await asyncio.sleep(seconds)

    bot = RunningBot(server.url, key, tmp_path, sleep=wait)
    members = [Member(f"66666666666666666{n}", f"m{n}", GUILD) for n in range(5)]
    await bot.service.guild(GUILD)
    # The redeem is in the middle of its transaction: it waits for a lock.
    holder = await asyncpg.connect(place.owner_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(LOCK)
    keys = [f"KEY-{uuid4().hex}" for _ in members]
    redeeming: list[asyncio.Task[Any]] = [
        asyncio.create_task(bot.run("redeem", one, key=key))
        for one, key in zip(members, keys, strict=True)
    ]
    async with asyncio.timeout(30):
        while True:
            if await _waiting(place):
                break
            await asyncio.sleep(0.05)
    assert len(bot.journal.waiting()[GUILD]) == len(members)
    await asyncio.to_thread(place.cluster.stop)
    async with asyncio.timeout(30):
        await has_failed.wait()
    assert not any(one.done() for one in redeeming)
    await asyncio.to_thread(place._start_again)
    said = await asyncio.gather(*redeeming)
    assert said == ["VIP is yours."] * len(members)
    assert waited[0] == 1.0
    assert bot.journal.waiting() == {}
    # Whoever sends it again, in either way, gets the same and changes nothing.
    assert await bot.run("redeem", members[0], key=keys[0]) == "VIP is yours."
    assert "already" in await bot.run("redeem", members[1], key=keys[0])
    owner = await asyncpg.connect(place.owner_url)
    assert await owner.fetchval(ROWS) == len(members)
    await owner.close()
    await bot.stop()


async def _waiting(place: Deployment) -> bool:
    superuser = await asyncpg.connect(place.cluster.superuser_url)
    try:
        count = await superuser.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'authenticated'"
        )
        return bool(count)
    finally:
        await superuser.close()
