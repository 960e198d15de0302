"""Nobody is left in the dark: within five seconds a stream gives data again, or ends resumably.

Dead connections are the hard ones: nothing closes them, they only say nothing any more. Times are
those of the clock on the wall, from the moment something went silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from graph.live.bus import WakeBus
from graph.live.hub import EventHub
from graph.live.subscriptions import SubscriptionAway
from graph.schema import build_schema
from tests.graph.live.cable import Cable
from tests.graph.live.deployment import TOPIC, Deployment, nothing_comes, running, take, write
from tests.graph.live.fleet import GRANT

PROMISED_SECONDS = 5.0
BACKENDS = "select pid from pg_stat_activity where application_name = $1"
CREDITS = "subscription { creditsChanged { credits { balance } } }"


@contextlib.asynccontextmanager
async def within_the_promise() -> AsyncIterator[None]:
    """What happens in the block happens within the promised time."""
    began = time.monotonic()
    async with asyncio.timeout(4 * PROMISED_SECONDS):
        yield
    assert time.monotonic() - began <= PROMISED_SECONDS


@contextlib.asynccontextmanager
async def silenced(deployment: Deployment, application_name: str) -> AsyncIterator[None]:
    """Postgres's side of these connections is stopped: they stay open and say nothing."""
    superuser = await asyncpg.connect(deployment.cluster.superuser_url)
    async with asyncio.timeout(10):
        while not (rows := await superuser.fetch(BACKENDS, application_name)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    pids = [row["pid"] for row in rows]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        await superuser.close()


@pytest.fixture
async def cable(deployment: Deployment) -> AsyncIterator[Cable]:
    async with Cable(deployment.owner_url).laid() as laid:
        yield laid
        laid.mend()


@pytest.fixture
async def far(cable: Cable, pool: Database, deployment: Deployment) -> AsyncIterator[Database]:
    """The database at the other end of the cable."""
    database = await Database.connect(cable.url, deployment.settings)
    yield database
    cable.mend()
    await database.close()


async def test_a_reader_whose_connection_went_silent_reads_on_another(
    deployment: Deployment, hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as watching:
        before = await write(writer, user_id)
        assert (await take(watching, 1))[0].id == before
        async with silenced(deployment, "tallygraph hub"), within_the_promise():
            written = await write(writer, user_id)
            hub.wake()
            assert (await take(watching, 1, seconds=60))[0].id == written


async def test_a_bus_whose_connection_went_silent_listens_on_another(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        running(pool, WakeBus.postgres(deployment.service_url), heartbeat_seconds=60) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as watching,
    ):
        before = await write(writer, user_id)
        hub.wake()
        await take(watching, 1)
        async with silenced(deployment, "tallygraph live"), within_the_promise():
            written = await write(writer, user_id)
            assert [event.id for event in await take(watching, 1, seconds=60)] == [written]
        assert before < written


async def test_who_watches_where_nothing_can_be_read_is_sent_elsewhere_and_misses_nothing(
    far: Database, cable: Cable, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with running(far) as here, running(pool) as there:
        async with here.subscribe(topic=TOPIC, user_id=user_id) as watching:
            first = await write(writer, user_id)
            here.wake()
            [seen] = await take(watching, 1)
            cable.cut()
            async with within_the_promise():
                missed = await write(writer, user_id)
                with pytest.raises(SubscriptionAway):
                    await take(watching, 1, seconds=60)
        # To come back to the same place is refused as soon, since its log cannot be read.
        await write(writer, user_id)
        ahead = there.snapshot_cursor(await writer.fetchval("select app.seen_of_events()"))
        async with within_the_promise():
            with pytest.raises(DomainError) as refused:
                await here.subscribe(topic=TOPIC, user_id=user_id, after=ahead).__aenter__()
            assert refused.value.code is ErrorCode.SERVICE_UNAVAILABLE
        async with there.subscribe(topic=TOPIC, user_id=user_id, after=seen.cursor) as resumed:
            assert (await take(resumed, 1))[0].id == missed
        cable.mend()
        async with here.subscribe(topic=TOPIC, user_id=user_id, after=seen.cursor) as back:
            assert (await take(back, 1, seconds=20))[0].id == missed
    assert first < missed


async def test_a_short_outage_ends_no_subscription(
    far: Database, cable: Cable, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with running(far) as hub, hub.subscribe(topic=TOPIC, user_id=user_id) as watching:
        cable.cut()
        written = await write(writer, user_id)
        hub.wake()
        assert await nothing_comes(watching, 1.5)
        cable.mend()
        assert [event.id for event in await take(watching, 1)] == [written]


async def test_the_first_item_is_not_waited_for_longer_either(
    far: Database, cable: Cable, writer: asyncpg.Connection, user_id: UUID
) -> None:
    await writer.execute(GRANT, user_id)
    engine = Engine(build_schema(), far, introspection=False)
    async with running(far) as hub:
        cable.cut()
        items = Subscriber(engine, hub.subscribe, lambda: Actor("authenticated", user_id)).stream(
            CREDITS, {}, None
        )
        async with within_the_promise():
            with pytest.raises((DomainError, SubscriptionAway)):
                await anext(items)
        await items.aclose()
