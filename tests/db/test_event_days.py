"""Events lie in partitions of a day, which are made ahead and dropped whole, with a mark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db.core.pool import Database
from db.core.retention import rotate_event_partitions
from db.embedded.database import EmbeddedDatabase
from jobs.core.declare import declared_work
from settings import Settings

from .rows import migrated_database

WRITE = """
insert into events (topic, snapshot, created_at) values ('test', '{}', $1)
returning tableoid::regclass::text
"""
MARK = "select dropped_xid::text::bigint, dropped_id from database_epoch"
NEWEST = "select xid::text::bigint, id from events order by events.xid desc, id desc limit 1"
TODAY = datetime.now(UTC)


def day_of(moment: datetime) -> str:
    return f"event_days.on_{moment:%Y_%m_%d}"


@pytest.fixture
async def log(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[asyncpg.Connection]:
    """A database of its own, as its owner."""
    async with migrated_database(cluster, settings, "event_days") as owner_url:
        connection = await asyncpg.connect(owner_url)
        yield connection
        await connection.close()


@pytest.fixture
async def pools(
    log: asyncpg.Connection, cluster: EmbeddedDatabase, settings: Settings
) -> AsyncIterator[Database]:
    url = (
        cluster.owner_url.rpartition("/")[0] + "/" + await log.fetchval("select current_database()")
    )
    database = await Database.connect(url, settings)
    yield database
    await database.close()


async def test_an_event_lies_in_its_day_and_days_are_made_ahead(
    log: asyncpg.Connection, pools: Database
) -> None:
    for days in (0, 3):
        moment = datetime.now(UTC) + timedelta(days=days)
        assert await log.fetchval(WRITE, moment) == day_of(moment)
    await log.execute(f"drop table {day_of(TODAY + timedelta(days=3))}")
    await rotate_event_partitions(pools)
    await rotate_event_partitions(pools)
    last = TODAY + timedelta(days=3)
    assert await log.fetchval(WRITE, last) == day_of(last)


async def test_an_event_without_its_day_is_kept_and_its_day_left_to_the_rest(
    log: asyncpg.Connection, pools: Database
) -> None:
    await log.execute(f"drop table {day_of(TODAY)}")
    assert await log.fetchval(WRITE, TODAY) == "event_days.others"
    await rotate_event_partitions(pools)
    assert await log.fetchval(WRITE, TODAY) == "event_days.others"
    assert await log.fetchval("select count(*) from events") == 2


async def test_old_days_are_dropped_and_the_newest_of_them_marked(
    log: asyncpg.Connection, pools: Database
) -> None:
    old = datetime.now(UTC) - timedelta(days=8)
    await log.execute(
        f"create table {day_of(old)} partition of events"
        f" for values from ('{old:%Y-%m-%d}') to ('{old + timedelta(days=1):%Y-%m-%d}')"
    )
    assert await log.fetchval(WRITE, old) == day_of(old)
    assert await log.fetchval(WRITE, old - timedelta(days=30)) == "event_days.others"
    newest_old = tuple(await log.fetchrow(NEWEST))
    for kept in (timedelta(days=7), timedelta(0)):
        await log.execute(WRITE, datetime.now(UTC) - kept)
    # As the scheduled work does it.
    rotation = declared_work().schedule["rotate_events"]
    await rotation.run(pools)
    assert await log.fetchval("select to_regclass($1)", day_of(old)) is None
    assert tuple(await log.fetchrow(MARK)) == newest_old
    assert await log.fetchval("select count(*) from events") == 2
    assert await rotate_event_partitions(pools) == 0
    assert tuple(await log.fetchrow(MARK)) == newest_old


async def test_a_day_is_closed_to_everybody_but_through_the_log(
    log: asyncpg.Connection, pools: Database, settings: Settings
) -> None:
    partitions = await log.fetch(
        "select oid::regclass::text as name, relrowsecurity as locked, relacl from pg_class"
        " where relnamespace = 'event_days'::regnamespace and relkind = 'r'"
    )
    assert len(partitions) == 5
    assert all(partition["locked"] and partition["relacl"] is None for partition in partitions)


async def test_a_busy_table_is_left_for_the_next_time(
    log: asyncpg.Connection, pools: Database, cluster: EmbeddedDatabase, settings: Settings
) -> None:
    await log.execute(f"drop table {day_of(TODAY)}")
    async with log.transaction():
        await log.execute("lock table events in access exclusive mode")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await rotate_event_partitions(pools)
    await rotate_event_partitions(pools)
    assert await log.fetchval(WRITE, TODAY) == day_of(TODAY)
