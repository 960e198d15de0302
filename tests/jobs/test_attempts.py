"""An attempt is fenced and logged; what fails too often is set aside, and its provider gets a rest."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db.core.commands import call
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import Storage
from db.generations.operations import (
    AttemptFailure,
    RunnableGeneration,
    Wait,
    delete_generation,
    end_attempt,
    fail_generation,
    finish_generation,
    start_generation,
)
from jobs.core.declare import RetryLater, WorkerServices
from jobs.generations import GenerationRun
from jobs.providers.base import ProviderFailed, Providers

from .helpers import (
    PROVIDER,
    FakeProvider,
    Someone,
    begun,
    cancel,
    create_generation,
    different,
    finish,
    generation,
    logged,
    made,
    queued,
    wallet,
)

pytestmark = pytest.mark.usefixtures("clean_queue")


async def test_a_stale_worker_is_fenced(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    stale = await begun(database, generation_id)
    fresh = await begun(database, generation_id)
    assert not await finish_generation(database, stale, made({"by": "stale"}))
    assert not await fail_generation(
        database, generation_id, ErrorCode.PROVIDER_FAILED, "stale", attempt=stale.attempt
    )
    assert await wallet(owner, actor) == (10, 1)
    assert await finish_generation(database, fresh, made({"by": "fresh"}))
    assert not await finish_generation(database, stale, made({"by": "stale"}))
    row = await generation(owner, generation_id)
    assert (row["result"], row["attempts"]) == ('{"by": "fresh"}', 2)
    assert await wallet(owner, actor) == (9, 0)
    assert await logged(owner, generation_id) == ["DISCARDED", "SUCCEEDED"]


async def test_a_stale_workers_picture_replaces_nobodys(
    database: Database, someone: Someone, storage: Storage, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    slow, quick = FakeProvider(seconds=0.5), FakeProvider()
    runs = [
        GenerationRun(
            WorkerServices(database, storage, Providers(provider), lambda: None),
            generation_id,
        )
        for provider in (slow, quick)
    ]
    stale = asyncio.create_task(runs[0].run())
    await slow.called.wait()
    await runs[1].run()
    row = await generation(owner, generation_id)
    assert await storage.exists(row["result_path"])
    await stale
    assert (await generation(owner, generation_id))["result_path"] == row["result_path"]
    kept = [meta for chunk in storage._store.list(f"generations/{actor.user_id}") for meta in chunk]
    assert [meta["path"] for meta in kept] == [row["result_path"]]


async def test_a_generation_that_kills_its_workers_becomes_a_dead_job(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    for attempt in range(1, 4):
        assert (await begun(database, generation_id)).attempt == attempt
    assert await start_generation(database, generation_id, PROVIDER, 3) is None
    row = await generation(owner, generation_id)
    assert (row["status"], row["error_code"]) == ("FAILED", "PROVIDER_FAILED")
    assert await wallet(owner, actor) == (10, 0)
    assert await logged(owner, generation_id) == ["ABANDONED"] * 3
    dead = await owner.fetchrow("select * from dead_jobs where generation_id = $1", generation_id)
    assert (dead["attempts"], dead["error"]) == (3, "its workers died")

    for _ in range(2):
        await owner.fetchval("select app.requeue_dead_job($1, null)", dead["id"])
    row = await generation(owner, generation_id)
    assert (row["status"], row["error_code"]) == ("QUEUED", None)
    assert (await queued(owner)).count(generation_id) == 2, "the first job, and one for the retry"
    for attempt in range(4, 6):
        assert (await begun(database, generation_id)).attempt == attempt
    await finish(database, generation_id)
    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 0)
    assert await wallet(owner, actor) == (10, 0), "a retry by an admin is free"


async def test_each_attempt_waits_longer_and_as_long_as_the_provider_asks(
    database: Database, storage: Storage, someone: Someone
) -> None:
    actor, upload_id = someone
    busy, very_busy = ProviderFailed("Busy."), ProviderFailed("Busy.", retry_after_seconds=30)
    for error, waits in ((busy, [(1, 1.2), (2, 2.4)]), (very_busy, [(30, 36), (30, 36)])):
        provider = Providers(FakeProvider(error, failures=9))
        services = WorkerServices(database, storage, provider, lambda: None)
        color = {"color": f"#{len(str(error.retry_after_seconds)):06x}"}
        generation_id = await create_generation(database, actor, upload_id, parameters=color)
        for shortest, longest in waits:
            with pytest.raises(RetryLater) as later:
                await GenerationRun(services, generation_id).run()
            assert shortest <= later.value.seconds <= longest


async def fail_attempts(database: Database, running: RunnableGeneration, count: int) -> None:
    for _ in range(count):
        await end_attempt(database, running, PROVIDER, AttemptFailure.FAILED, 5, "ProviderFailed")


async def circuit(owner: asyncpg.Connection) -> str:
    state: str = await owner.fetchval("select state from provider_circuits where provider = 'fake'")
    return state


async def test_a_failing_provider_gets_a_rest_and_one_generation_tries_it_again(
    database: Database, someone: Someone, storage: Storage, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    first, second, third = await different(database, actor, upload_id, 3)
    running = await begun(database, first)
    await fail_attempts(database, running, 4)
    assert await circuit(owner) == "CLOSED"
    await end_attempt(database, running, PROVIDER, AttemptFailure.STORAGE_FAILED, 0, None)
    assert await circuit(owner) == "CLOSED", "the provider is not to blame for the storage"
    await fail_attempts(database, running, 1)
    assert await circuit(owner) == "OPEN"

    resting = await start_generation(database, second, PROVIDER, 3)
    assert isinstance(resting, Wait)
    assert 0 < resting.seconds <= 30
    assert (await generation(owner, second))["attempts"] == 0
    assert isinstance(await start_generation(database, second, "another", 3), RunnableGeneration)

    past = (
        "update provider_circuits set retry_at = now() - interval '1 second'"
        " where provider = 'fake'"
    )
    await owner.execute(past)
    probe = await begun(database, third)
    assert await circuit(owner) == "HALF_OPEN"
    assert isinstance(await start_generation(database, first, PROVIDER, 3), Wait)
    await fail_attempts(database, probe, 1)
    assert await circuit(owner) == "OPEN"

    await owner.execute(past)
    probe = await begun(database, third)
    assert await finish_generation(database, probe, made())
    assert await circuit(owner) == "CLOSED"
    assert isinstance(await start_generation(database, first, PROVIDER, 3), RunnableGeneration)


async def test_before_an_open_circuit_nobody_waits_for_ever(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    await fail_attempts(database, await begun(database, generation_id), 5)
    assert isinstance(await start_generation(database, generation_id, PROVIDER, 3), Wait)
    await owner.execute(
        "update generations set enqueued_at = now() - interval '6 minutes' where id = $1",
        generation_id,
    )
    assert await start_generation(database, generation_id, PROVIDER, 3) is None
    assert (await generation(owner, generation_id))["error_code"] == "PROVIDER_FAILED"
    assert await wallet(owner, actor) == (10, 0)


async def test_the_log_says_what_a_generation_took(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    await finish(database, generation_id)
    row = await owner.fetchrow(
        "select * from ai_generation_logs where generation_id = $1", generation_id
    )
    assert (row["user_id"], row["tool_id"], row["attempt"]) == (actor.user_id, "hair-color", 1)
    assert (row["provider"], row["outcome"], row["error"]) == (PROVIDER, "SUCCEEDED", None)
    assert (row["latency_milliseconds"], row["cost_micro_usd"]) == (12, 450)
    assert row["usage"] == '{"tokens": 3}'


async def test_an_attempt_ends_when_its_generation_is_deleted_meanwhile(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    running = await begun(database, generation_id)
    await cancel(database, actor, generation_id)
    waiting = "select count(*) from pg_locks where not granted"
    async with database.transaction(actor) as transaction:
        await call(transaction, delete_generation(generation_id))
        ending = asyncio.create_task(
            end_attempt(database, running, PROVIDER, AttemptFailure.CANCELLED, 5, None)
        )
        async with asyncio.timeout(20):
            while not await owner.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await ending
    assert await logged(owner, generation_id) == []
