"""A wake-up reaches every process soon, and losing one or the whole bus loses no event."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
from broadcaster import Broadcast
from structlog.testing import capture_logs

from db.pool import Database
from graph.live import bus as bus_module
from graph.live.bus import WakeBus
from graph.live.bus_backends import PostgresBackend
from tests.graph.live.deployment import TOPIC, Deployment, running, take, write

LISTENING = """
select count(*) from pg_stat_activity
where application_name = 'tallygraph live' and state = 'idle'
  and query ~* '(listen|pg_notify|select 1)'
"""


async def test_another_process_is_woken_at_once_even_after_its_listener_was_killed(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        running(pool, WakeBus.postgres(deployment.service_url)) as here,
        running(pool, WakeBus.postgres(deployment.service_url), heartbeat_seconds=60) as there,
        there.subscribe(topic=TOPIC, user_id=user_id) as subscription,
    ):
        superuser = await asyncpg.connect(deployment.cluster.superuser_url)
        for _ in range(3):
            await until_two_listen(superuser)
            written = await write(writer, user_id)
            here.wake()
            assert (await take(subscription, 1, seconds=2))[0].id == written
            await superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'tallygraph live'"
            )
            # Written while nobody listens: the reconnect itself wakes the hub.
            missed = await write(writer, user_id)
            here.wake()
            assert (await take(subscription, 1, seconds=5))[0].id == missed
        await superuser.close()


async def until_two_listen(superuser: asyncpg.Connection) -> None:
    """Both nodes have a connection that is past its LISTEN."""
    async with asyncio.timeout(10):
        while await superuser.fetchval(LISTENING) != 2:  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.02)


async def test_wake_ups_are_published_at_most_once_in_five_milliseconds() -> None:
    published: list[float] = []

    class Counting(PostgresBackend):
        async def publish(self, channel: str, message: Any) -> None:
            assert channel == bus_module.WAKE_CHANNEL
            published.append(time.monotonic())

    bus = WakeBus(Broadcast(backend=Counting("postgresql://127.0.0.1:1/nowhere")))
    await bus.start(lambda: None)
    for _ in range(200):
        bus.publish()
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    await bus.stop()
    assert 1 <= len(published) <= 8
    gaps = [later - sooner for sooner, later in pairwise(published)]
    assert all(gap >= 0.0045 for gap in gaps)


async def test_a_bus_that_is_away_stops_nobody(
    pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    with capture_logs() as logs:
        await _write_without_a_bus(pool, writer, user_id)
    assert [line["event"] for line in logs].count("live.wake_lost") == 1


async def _write_without_a_bus(pool: Database, writer: asyncpg.Connection, user_id: UUID) -> None:
    async with (
        running(pool, WakeBus.postgres("postgresql://127.0.0.1:1/nowhere")) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as subscription,
    ):
        for _ in range(3):
            written = await write(writer, user_id)
            hub.wake()
            assert (await take(subscription, 1, seconds=2))[0].id == written
            await asyncio.sleep(0.05)
