"""A job that was enqueued is done, once, though workers are killed and databases go away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from jobs import generations as generations_job
from jobs.core import worker as worker_module
from jobs.providers.base import (
    ProviderFailed,
)
from jobs.providers.offline import OfflineProvider
from settings import Settings

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    Someone,
    Start,
    create_generation,
    ended,
    enqueued,
    eventually,
    generation,
    logged,
    queue_is_empty,
    wallet,
)

ROOT = Path(__file__).parents[2]
# Its provider sleeps for so many seconds.
OtherWorker = Callable[[float], AbstractAsyncContextManager[asyncio.subprocess.Process]]


async def test_a_worker_runs_what_was_enqueued(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    start(OfflineProvider())
    ids = [await enqueued(database, storage, actor, n) for n in range(3)]
    for generation_id in ids:
        row = await ended(owner, generation_id, 20)
        assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 1)
    assert await wallet(owner, actor) == (7, 0)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    await eventually(lambda: queue_is_empty(owner), 30)


async def test_a_failing_provider_gets_three_attempts(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generations_job, "RETRY_DELAY_SECONDS", 0.1)
    actor = await make_user()
    provider = FakeProvider(ProviderFailed("Busy."), failures=99)
    start(provider)
    generation_id = await enqueued(database, storage, actor)
    row = await ended(owner, generation_id, 20)
    assert (row["status"], row["error_code"], provider.calls) == ("FAILED", "PROVIDER_FAILED", 3)
    assert await wallet(owner, actor) == (10, 0)


async def test_a_lost_connection_does_not_lose_or_double_work(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    cluster: EmbeddedDatabase,
    start: Start,
) -> None:
    actor = await make_user()
    provider = FakeProvider(seconds=1)
    start(provider)
    first = await enqueued(database, storage, actor, 1)
    await provider.called.wait()
    superuser = await asyncpg.connect(cluster.superuser_url)
    killed = await superuser.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'tallygraph worker'"
    )
    await superuser.close()
    assert killed == 1
    second = await enqueued(database, storage, actor, 2)
    for generation_id in (first, second):
        assert (await ended(owner, generation_id, 20))["status"] == "SUCCEEDED"
    assert provider.calls == 2
    assert await wallet(owner, actor) == (8, 0)
    await eventually(lambda: queue_is_empty(owner), 30)
    assert provider.calls == 2


async def test_a_job_starts_at_once(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user(credits=20)
    start(FakeProvider())
    delays = []
    for n in range(9):
        row = await ended(owner, await enqueued(database, storage, actor, n), 20)
        delays.append((row["started_at"] - row["created_at"]).total_seconds())
    # Without its wake-ups a worker looks every two seconds.
    assert sorted(delays)[len(delays) // 2] < 0.5


async def test_stopping_lets_running_jobs_end(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    provider = FakeProvider(seconds=0.5)
    worker = start(provider)
    generation_id = await enqueued(database, storage, actor)
    await provider.called.wait()
    await worker.stop()
    assert (await generation(owner, generation_id))["status"] == "SUCCEEDED"


async def test_a_job_that_outlasts_the_stop_is_left_to_another_worker(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "DRAIN_SECONDS", 0.2)
    actor = await make_user()
    provider = FakeProvider(seconds=60)
    worker = start(provider)
    generation_id = await enqueued(database, storage, actor)
    await provider.called.wait()
    await worker.stop()
    assert (await generation(owner, generation_id))["status"] == "RUNNING"
    start(FakeProvider())
    assert (await ended(owner, generation_id, 15))["status"] == "SUCCEEDED"
    assert await wallet(owner, actor) == (9, 0)


async def test_a_job_that_nobody_can_read_is_set_aside(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    await owner.execute(
        "insert into queue.pgqueuer (priority, entrypoint, payload, status)"
        " values (9, 'run_generation', 'no json', 'queued')"
    )
    start(FakeProvider())
    generation_id = await enqueued(database, storage, actor)
    assert (await ended(owner, generation_id, 20))["status"] == "SUCCEEDED"

    await eventually(lambda: queue_is_empty(owner), 30)
    rows = await owner.fetch("select entrypoint, payload, attempts from dead_jobs")
    assert ("run_generation", b"no json", 1) in [tuple(row) for row in rows]


@pytest.fixture
def other_worker(settings: Settings, cluster: EmbeddedDatabase) -> OtherWorker:
    """A worker in a process of its own; it is killed at the end, if it still runs."""

    @asynccontextmanager
    async def working(seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.jobs.worker_process"),
            *(cluster.owner_url, str(seconds)),
            cwd=ROOT,
            env={**os.environ, "DATA_DIRECTORY": str(settings.data_directory)},
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    return working


async def is_running(owner: asyncpg.Connection, generation_id: UUID) -> bool:
    status: str = (await generation(owner, generation_id))["status"]
    return status == "RUNNING"


async def test_a_killed_workers_job_is_done_by_another(
    database: Database,
    someone: Someone,
    owner: asyncpg.Connection,
    start: Start,
    other_worker: OtherWorker,
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    async with other_worker(60) as process:
        await eventually(lambda: is_running(owner, generation_id), 30)
        process.kill()
        await process.wait()
    killed_at = time.monotonic()
    start(FakeProvider())
    row = await ended(owner, generation_id, 10)
    assert time.monotonic() - killed_at < 10
    assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 1)
    assert await wallet(owner, actor) == (9, 0)
    assert await logged(owner, generation_id) == ["ABANDONED", "SUCCEEDED"]


async def test_a_worker_that_wakes_from_a_long_sleep_charges_nothing(
    database: Database,
    storage: Storage,
    someone: Someone,
    owner: asyncpg.Connection,
    start: Start,
    other_worker: OtherWorker,
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    async with other_worker(1) as process:
        await eventually(lambda: is_running(owner, generation_id), 30)
        process.send_signal(signal.SIGSTOP)
        start(FakeProvider())
        finished = await ended(owner, generation_id, 15)
        assert (finished["status"], finished["attempts"]) == ("SUCCEEDED", 2)
        process.send_signal(signal.SIGCONT)

        async def stale_result_came() -> bool:
            return await logged(owner, generation_id) == ["DISCARDED", "SUCCEEDED"]

        await eventually(stale_result_came, 30)
    assert dict(await generation(owner, generation_id)) == dict(finished)
    assert await wallet(owner, actor) == (9, 0)
    assert await storage.exists(finished["result_path"])


async def test_a_cancelled_generation_frees_its_worker_at_once(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    provider = FakeProvider(seconds=60)
    start(provider)
    generation_id = await enqueued(database, storage, actor)
    await provider.called.wait()
    async with database.transaction(actor) as transaction:
        await transaction.connection.execute(
            "select app.cancel_generation($1, null)", generation_id
        )
    await eventually(lambda: queue_is_empty(owner), 30)

    async def noted() -> bool:
        return await logged(owner, generation_id) == ["CANCELLED"]

    await eventually(noted, 30)
    assert (await generation(owner, generation_id))["status"] == "CANCELLED"
    assert await wallet(owner, actor) == (10, 0)


async def test_a_forged_notification_calls_nothing_off(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    provider = FakeProvider(seconds=0.5)
    start(provider)
    generation_id = await enqueued(database, storage, actor)
    await provider.called.wait()
    async with database.transaction(
        actor
    ) as transaction:  # as somebody's who runs SQL of their own
        await transaction.connection.execute(f"notify generation_cancelled, '{generation_id}'")
    assert (await ended(owner, generation_id, 10))["status"] == "SUCCEEDED"
    assert await logged(owner, generation_id) == ["SUCCEEDED"]


async def test_a_job_goes_on_when_the_provider_has_rested(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    await owner.execute("insert into provider_circuits (provider) values ('fake')")
    rests_until = await owner.fetchval(
        "update provider_circuits set state = 'OPEN', consecutive_failures = 5,"
        " retry_at = now() + interval '3 seconds' where provider = 'fake' returning retry_at"
    )
    provider = FakeProvider()
    start(provider)
    generation_id = await enqueued(database, storage, actor)
    row = await ended(owner, generation_id, 15)
    assert (row["status"], row["attempts"], provider.calls) == ("SUCCEEDED", 1, 1)
    assert row["created_at"] < rests_until <= row["finished_at"]
    assert (
        await owner.fetchval("select state from provider_circuits where provider = 'fake'")
        == "CLOSED"
    )
