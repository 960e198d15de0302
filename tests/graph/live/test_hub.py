"""The hub delivers every committed event once and in order, whatever happens around it."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from db.core.pool import Database
from graph.live import event_log
from graph.live import hub as hub_module
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


async def test_a_rollback_delays_what_waited_behind_it_by_less_than_fifty_milliseconds(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    """The middle one of many tries: one alone may meet a machine that is busy with something else."""
    older = await deployment.connect()
    delays_milliseconds = []
    async with (
        running(pool, heartbeat_seconds=30) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as subscription,
    ):
        for number in range(21):
            transaction = older.transaction()
            await transaction.start()
            await write(older, user_id, -1)
            newer = await write(writer, user_id, number)
            hub.wake()
            # Longer than a read takes, and another moment of the hub's turn each time.
            await asyncio.sleep(0.05 + number / 1000)
            began = time.perf_counter()
            await transaction.rollback()
            assert [event.id for event in await take(subscription, 1)] == [newer]
            delays_milliseconds.append((time.perf_counter() - began) * 1000)
    await older.close()
    middle = statistics.median(delays_milliseconds)
    print(
        f"\nfrom ROLLBACK to delivery: {middle:.1f} ms, longest {max(delays_milliseconds):.1f} ms"
    )
    assert middle < 50


@pytest.mark.parametrize("does", ["nothing", "something for ever"])
async def test_a_writer_that_never_ends_is_cut_off_and_what_waited_is_delivered(
    deployment: Deployment, hub: EventHub, writer: asyncpg.Connection, user_id: UUID, does: str
) -> None:
    for role in ("anon", "authenticated", "service"):
        limits = await writer.fetchval(
            "select setconfig from pg_db_role_setting where setrole = $1::text::regrole", role
        )
        assert "idle_in_transaction_session_timeout=30s" in limits
        assert "transaction_timeout=30s" in limits
    forgotten = await deployment.connect()
    timeout = "idle_in_transaction_session_timeout" if does == "nothing" else "transaction_timeout"
    await forgotten.execute(f"set {timeout} = '300ms'")
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        await forgotten.execute("begin")
        await write(forgotten, user_id, 1)
        if does != "nothing":
            busy = asyncio.create_task(forgotten.execute("select pg_sleep(60)"))
        newer = await write(writer, user_id, 2)
        hub.wake()
        assert [event.id for event in await take(subscription, 1)] == [newer]
    if does != "nothing":
        with pytest.raises(asyncpg.PostgresError):
            await busy
    async with asyncio.timeout(5):
        while not forgotten.is_closed():  # noqa: ASYNC110 -- asyncpg has no event for it
            await asyncio.sleep(0.01)


async def test_who_holds_events_back_is_logged(
    deployment: Deployment,
    pool: Database,
    writer: asyncpg.Connection,
    user_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "HELD_BACK_SECONDS", 0.1)
    older = await deployment.connect()
    with capture_logs() as logs:
        async with running(pool) as hub, hub.subscribe(topic=TOPIC, user_id=user_id) as watching:
            async with older.transaction():
                await write(older, user_id, 1)
                xid = int(await older.fetchval("select pg_current_xact_id()::text"))
                await write(writer, user_id, 2)
                hub.wake()
                assert await nothing_comes(watching, 0.5)
                assert hub.held_since is not None
            await take(watching, 2)
    told = [line for line in logs if line["event"] == "live.held_back"]
    assert [line["by_transaction"] for line in told] == [xid]
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


async def test_who_comes_while_the_hub_reads_past_their_topic_misses_nothing(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked, written = hub._log.after, asyncio.Event(), asyncio.Event()

    async def read_late(*arguments: Any) -> Any:
        asked.set()
        await written.wait()
        return await read(*arguments)

    async with hub.subscribe(topic="another.topic", user_id=user_id):
        monkeypatch.setattr(hub._log, "after", read_late)
        hub.wake()
        await asked.wait()
        async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
            identifier = await write(writer, user_id, 1)
            written.set()
            [event] = await take(subscription, 1)
            assert (event.id, event.snapshot) == (identifier, {"number": 1})


async def test_who_comes_while_the_hub_passes_over_what_nobody_watches_misses_nothing(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, read_once, let_go = hub._log.after, asyncio.Event(), asyncio.Event()

    async def answer_late(*arguments: Any) -> Any:
        batch = await read(*arguments)
        read_once.set()
        await let_go.wait()
        return batch

    subscription = hub.subscribe(topic=TOPIC, user_id=user_id)
    await hub.ready()
    while hub._is_reading:  # noqa: ASYNC110 -- its first read, which could see what is written next
        await asyncio.sleep(0.001)
    identifier = await write(writer, user_id, 1)
    monkeypatch.setattr(hub._log, "after", answer_late)
    await read_once.wait()
    before = hub.position
    async with subscription:
        let_go.set()
        [event] = await take(subscription, 1)
    assert before < (event.xid, event.id)
    assert (event.id, event.snapshot) == (identifier, {"number": 1})


async def test_the_hub_goes_on_behind_what_nobody_watches(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, passed = hub._log.after, asyncio.Event()

    async def count_rows(*arguments: Any) -> Any:
        batch = await read(*arguments)
        assert not batch.rows
        passed.set()
        return batch

    await hub.ready()
    monkeypatch.setattr(hub._log, "after", count_rows)
    before = hub.position
    await write(writer, user_id, 1)
    while hub.position <= before:
        passed.clear()
        await asyncio.wait_for(passed.wait(), 10)
        await asyncio.sleep(0)
    monkeypatch.setattr(hub._log, "after", read)
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        identifier = await write(writer, user_id, 2)
        [event] = await take(subscription, 1)
        assert (event.id, event.snapshot) == (identifier, {"number": 2})


async def test_while_nobody_subscribes_one_read_serves_the_wake_ups_of_a_while(
    pool: Database, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    heard: list[str | None] = []
    all_heard = asyncio.Event()
    written = [str(number) for number in range(20)]
    read = event_log.EventLog.after

    def hear(entity: str | None) -> None:
        heard.append(entity)
        if entity == written[-1]:
            all_heard.set()

    async def counted(*given: Any) -> event_log.Batch:
        nonlocal reads
        reads += 1
        return await read(*given)

    monkeypatch.setattr(event_log.EventLog, "after", counted)
    monkeypatch.setattr(hub_module, "LISTENING_PAUSE_SECONDS", 1.0)
    async with running(pool) as hub:
        hub.listen(TOPIC, hear)
        await hub.ready()
        began_at, reads = time.monotonic(), 0
        for number, entity in enumerate(written):
            await write(writer, None, number, entity)
            hub.wake()
            await asyncio.sleep(0.01)
        await all_heard.wait()
        seconds = time.monotonic() - began_at
    assert [one for one in heard if one is not None] == written
    # A read for each pause and some at either end; the wake-ups were twenty.
    assert reads <= 6 + seconds


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
    service = await asyncpg.connect(deployment.service_url, server_settings=event_log.PLANNING)
    plans = []
    for sql, arguments in (
        (event_log.READ_ALL, ("3", 0, 500, [TOPIC])),
        (event_log.READ_WATCHED, ("3", 0, 200, str(2**63), 0, TOPIC, None, uuid4())),
    ):
        rows = await service.fetch(f"explain {sql}", *arguments)
        plans.append("\n".join(row[0] for row in rows))
    await service.close()
    await writer.execute("delete from events where topic = 'plan.tested'")
    for plan in plans:
        assert "Seq Scan on on_" not in plan, plan
        # What is read comes in the order of the days' indexes; only what is given out is sorted.
        assert "->  Sort " not in plan, plan
        assert plan.count("Merge Append") > 1, plan
    assert plans[1].count("user_id_topic_xid_id_idx on on_") > 1, plans[1]


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
