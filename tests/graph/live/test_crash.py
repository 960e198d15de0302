"""A crash forgets what was not written yet, and gives its transactions' numbers to others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from db.core.pool import Database
from tests.graph.live.deployment import TOPIC, Deployment, nothing_comes, running, take, write

ROLLED_BACK = 40


@pytest.fixture
async def forgetful(deployment: Deployment) -> AsyncIterator[None]:
    """What nobody waits for is written after seconds, not milliseconds: a crash always forgets it."""

    async def configure(setting: str) -> None:
        superuser = await asyncpg.connect(deployment.cluster.superuser_url)
        await superuser.execute(f"alter system {setting}")
        await superuser.execute("select pg_reload_conf()")
        await superuser.close()

    await configure("set wal_writer_delay = '10s'")
    await asyncio.sleep(0.5)  # it may have been asleep for the old time
    yield
    await configure("reset wal_writer_delay")


async def crash(deployment: Deployment) -> asyncpg.Connection:
    await asyncio.to_thread(deployment.crash)
    return await deployment.connect()


@pytest.mark.usefixtures("forgetful")
async def test_events_with_numbers_that_a_crash_forgot_are_not_taken_for_seen(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await write(writer, user_id)
        for _ in range(ROLLED_BACK):
            await writer.execute("begin; select pg_current_xact_id(); rollback")
        # It begins to read behind transactions that the crash will forget, and its client too.
        hub = await stack.enter_async_context(running(pool, heartbeat_seconds=30))
        live = await stack.enter_async_context(hub.subscribe(topic=TOPIC, user_id=user_id))
        before = int(await writer.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text"))
        cursor = live.skip_seen(await writer.fetchval("select app.seen_of_events()"))
        writer = await crash(deployment)
        after = int(await writer.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text"))
        assert after < before, "the crash has forgotten nothing: this test would prove nothing"
        # More than were forgotten, before anybody looks: nothing shows any more that they went back.
        written = [await write(writer, user_id, number) for number in range(2 * ROLLED_BACK)]
        hub.wake()
        assert [event.id for event in await take(live, len(written), 20)] == written
        resumed = hub.subscribe(topic=TOPIC, user_id=user_id, after=cursor)
        again = await stack.enter_async_context(resumed)
        assert [event.id for event in await take(again, len(written))] == written
        assert await nothing_comes(again, 0.05)
    writer.terminate()
