"""A wake-up reaches every process soon, and losing one or the whole bus loses no event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from broadcaster import Broadcast
from structlog.testing import capture_logs

from db.core.pool import Database
from graph.live import bus as bus_module
from graph.live import bus_backends
from graph.live.bus import WakeBus
from graph.live.bus_backends import PostgresBackend
from tests.graph.live.deployment import TOPIC, Deployment, running, take, write

LISTENING = """
select count(*) from pg_stat_activity
where application_name = 'tallygraph live' and state = 'idle'
  and query ~* '(listen|pg_notify|pg_stat_activity)'
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


class Eavesdropper:
    """Hears what a bus sends, unknown to it."""

    def __init__(self, connection: asyncpg.Connection, bus: WakeBus) -> None:
        self._connection, self._bus = connection, bus
        self._heard: list[str] = []

    async def expect(self, *, published: bool) -> None:
        """Waits until wake-ups are published, or are not."""
        await self._connection.add_listener(bus_module.WAKE_CHANNEL, self._hear)
        async with asyncio.timeout(10):
            while await self._is_published() is not published:
                pass

    def _hear(self, *message: Any) -> None:
        self._heard.append(message[-1])

    async def _is_published(self) -> bool:
        self._heard.clear()
        for _ in range(4):
            self._bus.publish()
            await asyncio.sleep(0.03)
        await self._connection.execute("select 1")  # what was sent before this has come
        return any(self._heard)


@pytest.fixture
async def alone(
    deployment: Deployment,
    pool: Database,  # it has made the roles
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[WakeBus, Eavesdropper]]:
    """A bus that looks around often and has found nobody."""
    monkeypatch.setattr(bus_backends, "PROBE_INTERVAL_SECONDS", 0.1)
    connection = await asyncpg.connect(deployment.service_url)
    bus = WakeBus.postgres(deployment.service_url)
    await bus.start(lambda: None)
    ear = Eavesdropper(connection, bus)
    await ear.expect(published=False)
    yield bus, ear
    await bus.stop()
    await connection.close()


async def test_nobody_is_notified_while_no_other_process_listens(
    deployment: Deployment, alone: tuple[WakeBus, Eavesdropper]
) -> None:
    _, ear = alone
    for _ in range(2):
        there = WakeBus.postgres(deployment.service_url)
        await there.start(lambda: None)
        await ear.expect(published=True)
        await there.stop()
        await ear.expect(published=False)


async def test_who_begins_to_listen_is_woken_before_anybody_looks_for_it(
    deployment: Deployment,
    alone: tuple[WakeBus, Eavesdropper],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus, ear = alone
    monkeypatch.setattr(bus_backends, "PROBE_INTERVAL_SECONDS", 60)
    await asyncio.sleep(0.3)  # the last look is over, the next is far away
    there, woken = WakeBus.postgres(deployment.service_url), asyncio.Event()
    await there.start(woken.set)
    await ear.expect(published=True)
    woken.clear()
    bus.publish()
    await asyncio.wait_for(woken.wait(), 2)
    await there.stop()


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
