"""The hub delivers every committed event once and in order, whatever happens around it."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.pool import Database, compiled
from graph.live import event_log
from graph.live.bus import WakeBus
from graph.live.hub import EventHub
from graph.live.subscriptions import HubStopped, SlowConsumer
from tests.graph.live.deployment import TOPIC, Deployment, nothing_comes, running, take, write


async def test_an_event_arrives_at_its_user_and_nobody_else(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        hub.subscribe(topic=TOPIC, user_id=user_id) as mine,
        hub.subscribe(topic=TOPIC, user_id=uuid4()) as foreign,
        hub.subscribe(topic=TOPIC, user_id=None) as anonymous,
        hub.subscribe(topic="generation.updated", user_id=user_id) as other_topic,
        hub.subscribe(topic=TOPIC, user_id=user_id, entity_id="a") as filtered,
    ):
        first = await write(writer, user_id, 1, "b")
        second = await write(writer, user_id, 2, "a")
        hub.wake()
        events = await take(mine, 2)
        assert [event.id for event in events] == [first, second]
        assert [event.snapshot for event in events] == [{"number": 1}, {"number": 2}]
        assert (events[0].topic, events[0].user_id, events[0].entity_id) == (TOPIC, user_id, "b")
        assert [event.id for event in await take(filtered, 1)] == [second]
        for subscription in (foreign, anonymous, other_topic):
            assert await nothing_comes(subscription, 0.05)


async def test_a_public_event_arrives_at_everybody(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        hub.subscribe(topic=TOPIC, user_id=user_id) as mine,
        hub.subscribe(topic=TOPIC, user_id=None) as anonymous,
    ):
        written = await write(writer, None)
        hub.wake()
        assert (await take(mine, 1))[0].id == (await take(anonymous, 1))[0].id == written


async def test_a_lost_wake_up_costs_a_heartbeat_and_no_event(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        written = await write(writer, user_id)
        assert (await take(subscription, 1, seconds=3))[0].id == written


async def test_an_older_transaction_that_commits_later_is_delivered_first_and_once(
    deployment: Deployment, hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    older = await deployment.connect()
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        transaction = older.transaction()
        await transaction.start()
        held = await write(older, user_id, 1)
        newer = await write(writer, user_id, 2)
        hub.wake()
        assert await nothing_comes(subscription)
        await transaction.commit()
        hub.wake()
        last = await write(writer, user_id, 3)
        assert [event.id for event in await take(subscription, 3)] == [held, newer, last]
        assert await nothing_comes(subscription)
    await older.close()


async def test_a_rollback_releases_what_waits_behind_it_without_a_wake_up(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    older = await deployment.connect()
    async with (
        running(pool, heartbeat_seconds=30) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as subscription,
    ):
        transaction = older.transaction()
        await transaction.start()
        await write(older, user_id, 1)
        newer = await write(writer, user_id, 2)
        hub.wake()
        assert await nothing_comes(subscription)
        await transaction.rollback()
        assert [event.id for event in await take(subscription, 1, seconds=2)] == [newer]
    await older.close()


async def test_a_burst_that_overflows_the_buffer_is_read_from_the_log(
    pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        running(pool, buffer_events=3) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as behind,
        hub.subscribe(topic=TOPIC, user_id=user_id) as witness,
    ):
        written = []
        for _ in range(3):
            written += [await write(writer, user_id, number) for number in range(7)]
            hub.wake()
            await take(witness, 7)
            assert [event.id for event in await take(behind, 5)] == written[:5]
            del written[:5]
        assert [event.id for event in await take(behind, 6)] == written
        written = [await write(writer, user_id)]
        hub.wake()
        assert [event.id for event in await take(behind, 1)] == written
        assert await nothing_comes(behind, 0.05)


async def test_a_slow_consumer_gets_what_it_had_then_resumes_without_a_gap(
    pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with running(pool, buffer_events=3, slow_seconds=0.05) as hub:
        async with (
            hub.subscribe(topic=TOPIC, user_id=user_id) as slow,
            hub.subscribe(topic=TOPIC, user_id=user_id) as witness,
        ):
            written = [await write(writer, user_id, number) for number in range(5)]
            hub.wake()
            await take(witness, 5)
            await asyncio.sleep(0.1)
            last = await write(writer, user_id, 9)
            hub.wake()
            await take(witness, 1)
            events = await take(slow, 3)
            with pytest.raises(SlowConsumer):
                await take(slow, 1)
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after=events[-1].cursor) as resumed:
            rest = await take(resumed, 3)
        assert [event.id for event in events + rest] == [*written, last]


async def test_stopping_ends_subscriptions_resumably(pool: Database, user_id: UUID) -> None:
    async with running(pool) as hub:
        subscription = hub.subscribe(topic=TOPIC, user_id=user_id)
        await subscription.__aenter__()
    with pytest.raises(HubStopped):
        await take(subscription, 1)


async def test_the_hubs_read_costs_the_same_however_long_the_log_is(
    deployment: Deployment, writer: asyncpg.Connection
) -> None:
    await writer.execute(
        "insert into events (topic, snapshot)"
        " select 'plan.tested', '{}' from generate_series(1, 20000)"
    )
    service = await asyncpg.connect(deployment.service_url)
    sql, names, _ = compiled(event_log.READ_ALL)
    arguments = {"after_xid": "3", "until_xid": str(2**63), "until_id": 2**63 - 1}
    arguments |= {"after_id": 0, "row_limit": 500}
    rows = await service.fetch(f"explain {sql}", *(arguments[name] for name in names))
    await service.close()
    await writer.execute("delete from events where topic = 'plan.tested'")
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on events" not in plan, plan


async def test_a_restart_of_the_database_is_survived_without_a_gap(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        running(pool, WakeBus.postgres(deployment.service_url)) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as subscription,
    ):
        expected = []
        for _ in range(2):
            expected.append(await write(writer, user_id))
            await asyncio.to_thread(deployment.restart)
            writer = await deployment.connect()
            expected.append(await write(writer, user_id))
        await writer.close()
        assert [event.id for event in await take(subscription, 4)] == expected
        assert await nothing_comes(subscription)
