"""Scheduled work runs once a tick on any number of workers, and once for all that was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from db.jobs.operations import enqueue_tick
from jobs.core.declare import DeclaredWork, ScheduledWork, declared_work
from jobs.core.scheduler import Scheduler, next_tick
from jobs.core.worker import Worker
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from jobs.upkeep import purge_old_rows
from settings import Settings

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    MakeServices,
    create_generation,
    eventually,
    ready_upload,
    run_generation,
)

NAME = "test_work"


@pytest.fixture(autouse=True)
async def clean(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Each test has an empty queue and a schedule of its own."""
    await owner.execute("delete from queue.pgqueuer")
    await owner.execute("delete from scheduled_runs")
    yield
    await owner.execute("delete from scheduled_runs")


class Work:
    """Counts its runs; fails when it is told to."""

    def __init__(self, times: str = "* * * * * *") -> None:
        self.runs: list[datetime] = []
        self.error: Exception | None = None
        self.scheduled = ScheduledWork(NAME, times, self.run)

    async def run(self) -> None:
        self.runs.append(datetime.now(UTC))
        if self.error is not None:
            raise self.error


def node_of(work: Work, services: MakeServices) -> Scheduler:
    """The clock of one worker, which knows one work."""
    return Scheduler(services(FakeProvider()), {NAME: work.scheduled})


@pytest.mark.parametrize(
    ("times", "after", "expected"),
    [
        ("* * * * *", "2026-01-31T23:59:00+00:00", "2026-02-01T00:00:00+00:00"),
        ("17 3 * * *", "2026-06-01T03:17:00+00:00", "2026-06-02T03:17:00+00:00"),
        ("17 3 * * *", "2026-06-01T05:16:59+02:00", "2026-06-01T03:17:00+00:00"),
    ],
)
def test_ticks_are_in_utc_and_always_later(times: str, after: str, expected: str) -> None:
    assert next_tick(times, datetime.fromisoformat(after)) == datetime.fromisoformat(expected)


def test_every_work_has_times() -> None:
    for work in declared_work().schedule.values():
        assert next_tick(work.times, datetime.now(UTC)) > datetime.now(UTC)


async def due(owner: asyncpg.Connection, ago: timedelta) -> None:
    await owner.execute("update scheduled_runs set next_run_at = now() - $1::interval", ago)


async def jobs(owner: asyncpg.Connection) -> int:
    count: int = await owner.fetchval(
        "select count(*) from queue.pgqueuer where entrypoint = 'run_scheduled'"
    )
    return count


async def test_of_many_nodes_one_takes_the_tick(
    services: MakeServices, owner: asyncpg.Connection
) -> None:
    work = Work("0 0 1 * *")
    nodes = [node_of(work, services) for _ in range(8)]
    await asyncio.gather(*(node.tick() for node in nodes))
    assert await jobs(owner) == 0, "nothing is due when the schedule is new"
    for missed in (timedelta(seconds=1), timedelta(days=400)):
        await due(owner, missed)
        await asyncio.gather(*(node.tick() for node in nodes))
        assert await jobs(owner) == 1, "what was missed many times is made up for once"
        seconds = await nodes[0].tick()
        assert await jobs(owner) == 1
        assert seconds == 60, "nobody looks again before a minute is over"
        await owner.execute("delete from queue.pgqueuer")
        await asyncio.gather(*(node.tick() for node in nodes))
        assert await jobs(owner) == 0, "what was made up for once is not made up for again"


async def test_a_node_that_saw_the_tick_long_ago_takes_it_no_more(
    services: MakeServices, owner: asyncpg.Connection
) -> None:
    await node_of(Work("0 0 1 1 *"), services).tick()
    await due(owner, timedelta(seconds=1))
    due_at = await owner.fetchval("select next_run_at from scheduled_runs")
    for taken in (1, 0):
        await enqueue_tick(
            services(FakeProvider()).database, NAME, due_at, due_at + timedelta(days=1)
        )
        assert await jobs(owner) == taken
        await owner.execute("delete from queue.pgqueuer")  # it was done meanwhile


async def test_a_tick_that_meets_its_own_last_run_does_not_pile_up(
    services: MakeServices, owner: asyncpg.Connection
) -> None:
    node = node_of(Work("0 0 1 1 *"), services)
    await node.tick()
    for _ in range(3):
        await due(owner, timedelta(seconds=1))
        await node.tick()
    assert await jobs(owner) == 1


async def test_new_times_count_at_once(services: MakeServices, owner: asyncpg.Connection) -> None:
    await node_of(Work("0 0 1 1 *"), services).tick()
    await node_of(Work("* * * * *"), services).tick()
    row = await owner.fetchrow("select times, next_run_at - now() as rest from scheduled_runs")
    assert (row["times"], row["rest"] <= timedelta(minutes=1)) == ("* * * * *", True)


async def test_what_came_of_a_run_is_written_down(
    services: MakeServices, owner: asyncpg.Connection
) -> None:
    work = Work("0 0 1 1 *")
    node = node_of(work, services)
    await node.tick()
    for error, result in ((None, "SUCCEEDED"), (ValueError("a canary secret"), "FAILED")):
        work.error = error
        await node.run_work(NAME)
        row = await owner.fetchrow("select * from scheduled_runs")
        assert (row["last_result"], row["last_error"]) == (result, error and "ValueError")
        assert row["last_started_at"] <= row["last_finished_at"]
        assert row["last_milliseconds"] >= 0


async def test_two_workers_run_each_tick_once(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    owner: asyncpg.Connection,
) -> None:
    work = Work()
    declared = DeclaredWork(schedule={NAME: work.scheduled})
    workers = [
        Worker(
            settings,
            cluster.owner_url,
            database,
            storage,
            Providers(OfflineProvider()),
            lambda: None,
            declared,
        )
        for _ in range(2)
    ]
    running = [asyncio.create_task(worker.run()) for worker in workers]

    async def ran_often() -> bool:
        return len(work.runs) >= 4

    await eventually(ran_often, 30)
    for worker in workers:
        await worker.stop()
    await asyncio.gather(*running)
    ticks = await owner.fetchval(
        "select count(*) from queue.pgqueuer_log where entrypoint = 'run_scheduled'"
        " and status = 'successful' and created >= $1",
        work.runs[0],
    )
    assert len(work.runs) == ticks
    seconds = [moment.replace(microsecond=0) for moment in work.runs]
    assert len(work.runs) <= (seconds[-1] - seconds[0]).total_seconds() + 2


async def test_old_rows_are_purged_and_young_ones_stay(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor, other = await make_user(), await make_user()
    for user in (actor, other):
        upload_id = await ready_upload(database, storage, user)
        generation_id = await create_generation(database, user, upload_id)
        await run_generation(services(FakeProvider()), generation_id)
    await owner.execute(
        "update result_cache set expires_at = now() where user_id = $1", actor.user_id
    )
    await owner.execute(
        "update idempotency_keys set created_at = now() - interval '31 days' where user_id = $1",
        actor.user_id,
    )
    await purge_old_rows(database)
    for table in ("result_cache", "idempotency_keys"):
        left = {
            user: await owner.fetchval(
                f"select count(*) from {table} where user_id = $1", user.user_id
            )
            for user in (actor, other)
        }
        assert left[actor] == 0, table
        assert left[other] > 0, table
