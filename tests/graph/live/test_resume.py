"""A client that comes back with its cursor continues without a gap, a double or a lie."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import asyncpg
import pytest

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.core.retention import rotate_event_partitions
from graph.live.bus import WakeBus
from graph.live.cursors import decode_cursor
from graph.live.hub import EventHub
from graph.live.subscriptions import DeliveredEvent
from tests.graph.live.deployment import TOPIC, Deployment, nothing_comes, running, take, write


async def test_the_current_state_then_only_what_it_did_not_show(
    deployment: Deployment, hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    older = await deployment.connect()
    transaction = older.transaction()
    await transaction.start()
    held = await write(older, user_id, 1)
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        shown = await write(writer, user_id, 2)
        snapshot = await writer.fetchval("select app.seen_of_events()")
        cursor = subscription.skip_seen(snapshot)
        assert cursor == hub.snapshot_cursor(snapshot)
        await transaction.commit()
        after = await write(writer, user_id, 3)
        hub.wake()
        events = await take(subscription, 2)
        assert [event.id for event in events] == [held, after]
    # Whoever resumes after the first of these is not shown what the state had shown already.
    for resumed_from, expected in ((cursor, [held, after]), (events[0].cursor, [after])):
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after=resumed_from) as resumed:
            assert [event.id for event in await take(resumed, len(expected))] == expected
            assert await nothing_comes(resumed, 0.05)
    assert shown not in [event.id for event in events]
    await older.close()


async def write_many(deployment: Deployment, user_id: UUID, count: int, seed: int) -> list[int]:
    """Transactions of one writer: some long, some rolled back; the ids that were committed."""
    chance = random.Random(seed)
    connection = await deployment.connect()
    committed = []
    for number in range(count):
        transaction = connection.transaction()
        await transaction.start()
        written = [await write(connection, user_id, number) for _ in range(chance.randint(1, 3))]
        await asyncio.sleep(chance.choice((0, 0, 0.002, 0.02)))
        if chance.random() < 0.25:
            await transaction.rollback()
        else:
            await transaction.commit()
            committed += written
    await connection.close()
    return committed


async def follow(
    hubs: list[EventHub],
    user_id: UUID,
    cursor: str,
    seen: list[DeliveredEvent],
    wanted: int,
    seed: int,
) -> None:
    """A client that leaves after a few events and resumes with its cursor, on any node."""
    chance = random.Random(seed)
    while True:
        hub = chance.choice(hubs)
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after=cursor) as subscription:
            for _ in range(chance.randint(1, 12)):
                event = await anext(subscription)
                seen.append(event)
                cursor = event.cursor
                if event.snapshot["number"] == wanted:
                    return


async def test_resuming_among_concurrent_writers_leaves_no_gap_and_no_double(
    deployment: Deployment, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with (
        running(pool, WakeBus.postgres(deployment.service_url)) as first,
        running(pool, WakeBus.postgres(deployment.service_url)) as second,
    ):
        snapshot = await writer.fetchval("select app.seen_of_events()")
        start = first.snapshot_cursor(snapshot)
        followers: list[list[DeliveredEvent]] = [[] for _ in range(4)]
        following = [
            asyncio.create_task(follow([first, second], user_id, start, seen, -1, number))
            for number, seen in enumerate(followers)
        ]
        written = await asyncio.gather(
            *(write_many(deployment, user_id, 40, seed) for seed in range(4))
        )
        last = await write(writer, user_id, -1)
        first.wake()
        async with asyncio.timeout(30):
            await asyncio.gather(*following)
    expected = sorted(sum(written, [last]))
    for seen in followers:
        assert sorted(event.id for event in seen) == expected
        assert [(e.xid, e.id) for e in seen] == sorted((e.xid, e.id) for e in seen)


async def test_a_long_backlog_is_read_in_pieces(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    snapshot = await writer.fetchval("select app.seen_of_events()")
    await writer.execute(
        "insert into events (topic, user_id, snapshot)"
        " select $1, $2, jsonb_build_object('number', n) from generate_series(1, 1200) n",
        TOPIC,
        user_id,
    )
    for _ in ("live, in bursts larger than a buffer", "from the log alone"):
        async with hub.subscribe(
            topic=TOPIC, user_id=user_id, after=hub.snapshot_cursor(snapshot)
        ) as subscription:
            hub.wake()
            numbers = [event.snapshot["number"] for event in await take(subscription, 1200)]
            assert numbers == list(range(1, 1201))
            assert await nothing_comes(subscription, 0.05)


async def test_a_cursor_of_another_history_is_expired(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    text = hub.snapshot_cursor(await writer.fetchval("select app.seen_of_events()"))
    here = decode_cursor(text)
    elsewhere = type(here)(here.epoch ^ 1, here.xid, here.id)
    future = type(here)(here.epoch, here.xid + 1_000_000, 0)
    for cursor in (elsewhere, future):
        with pytest.raises(DomainError) as refused:
            async with hub.subscribe(topic=TOPIC, user_id=user_id, after=cursor.encode()):
                pass
        assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def test_a_restored_database_expires_those_who_listen(
    hub: EventHub, writer: asyncpg.Connection, user_id: UUID
) -> None:
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as subscription:
        await writer.execute("update database_epoch set epoch = gen_random_uuid()")
        with pytest.raises(DomainError) as ended:
            await take(subscription, 1)
    assert ended.value.code is ErrorCode.CURSOR_EXPIRED
    async with hub.subscribe(topic=TOPIC, user_id=user_id) as again:
        written = await write(writer, user_id)
        hub.wake()
        assert (await take(again, 1))[0].id == written


async def test_a_cursor_older_than_what_is_kept_is_expired(
    hub: EventHub, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    cursor = hub.snapshot_cursor(await writer.fetchval("select app.seen_of_events()"))
    for number in range(3):
        await write(writer, user_id, number)
    async with hub.subscribe(topic=TOPIC, user_id=user_id, after=cursor) as subscription:
        events = await take(subscription, 3)
    await writer.execute(
        "update events set created_at = now() - interval '9 days' where id <= $1", events[1].id
    )
    await rotate_event_partitions(pool)
    with pytest.raises(DomainError) as refused:
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after=events[0].cursor):
            pass
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED
    async with hub.subscribe(topic=TOPIC, user_id=user_id, after=events[1].cursor) as kept:
        assert [event.id for event in await take(kept, 1)] == [events[2].id]


async def test_a_log_that_was_dropped_whole_still_knows_which_cursors_are_too_old(
    hub: EventHub, pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    before = hub.snapshot_cursor(await writer.fetchval("select app.seen_of_events()"))
    await write(writer, user_id)
    after = hub.snapshot_cursor(await writer.fetchval("select app.seen_of_events()"))
    await writer.execute("update events set created_at = now() - interval '9 days'")
    await rotate_event_partitions(pool)
    assert await writer.fetchval("select count(*) from events") == 0
    # Refused at once, or as soon as this node, which had read as far, has looked again.
    with pytest.raises(DomainError) as refused:
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after=before) as expired:
            await take(expired, 1)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED
    async with hub.subscribe(topic=TOPIC, user_id=user_id, after=after) as kept:
        written = await write(writer, user_id)
        hub.wake()
        assert [event.id for event in await take(kept, 1)] == [written]


async def test_who_watches_where_the_node_slept_longer_than_events_are_kept_is_told(
    pool: Database, writer: asyncpg.Connection, user_id: UUID
) -> None:
    await write(writer, user_id)
    async with (
        running(pool, heartbeat_seconds=60) as hub,
        hub.subscribe(topic=TOPIC, user_id=user_id) as watching,
    ):
        await asyncio.sleep(0.3)  # it has read what there is, and sleeps
        missed = await write(writer, user_id)
        await writer.execute(
            "update events set created_at = now() - interval '9 days' where id <= $1", missed
        )
        await rotate_event_partitions(pool)
        await write(writer, user_id)
        hub.wake()
        with pytest.raises(DomainError) as ended:
            await take(watching, 1)
    assert ended.value.code is ErrorCode.CURSOR_EXPIRED


async def test_a_broken_cursor_is_bad_input(hub: EventHub, user_id: UUID) -> None:
    with pytest.raises(DomainError) as refused:
        async with hub.subscribe(topic=TOPIC, user_id=user_id, after="nonsense"):
            pass
    assert refused.value.code is ErrorCode.BAD_USER_INPUT
