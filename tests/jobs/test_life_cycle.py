"""A generation lives as drawn: in turn, once, shared by its equals, and never backwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import product
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from db.actor import Actor
from db.errors import ErrorCode
from db.generations.operations import (
    AttemptOutcome,
    MadeGeneration,
    RunnableGeneration,
    Wait,
    end_attempt,
    fail_generation,
    finish_generation,
    give_up_overdue_generations,
    start_generation,
)
from db.pool import Database
from db.storage import Storage, open_storage
from jobs.generations import GenerationRun, GenerationServices
from jobs.providers.base import LimitedProvider
from settings import Settings

from ..conftest import MakeUser
from .house import FakeProvider, create_generation, generation, logged, ready_upload, wallet

STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
LAWFUL = {
    ("QUEUED", "RUNNING"),
    ("QUEUED", "FAILED"),
    ("QUEUED", "CANCELLED"),
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("FAILED", "QUEUED"),
}
CANCEL = text("select app.cancel_generation(:id, :key)")
PROVIDER = "fake"
Create = Callable[..., "asyncio.Future[UUID]"]


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture(autouse=True)
async def clean(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Each test has an empty queue and knows nothing against a provider."""
    await owner.execute("delete from queue.pgqueuer")
    await owner.execute("delete from provider_circuits where provider = 'fake'")
    yield
    await owner.execute("delete from provider_circuits where provider = 'fake'")


async def begun(database: Database, generation_id: UUID) -> RunnableGeneration:
    """The generation with its next attempt begun."""
    started = await start_generation(database, generation_id, PROVIDER, 3)
    assert isinstance(started, RunnableGeneration)
    return started


def made(result: dict[str, object] | None = None) -> MadeGeneration:
    return MadeGeneration(result or {"n": 1}, None, None, False, PROVIDER, 12, {"tokens": 3}, 450)


async def finish(database: Database, generation_id: UUID) -> None:
    """Runs a generation to its success."""
    assert await finish_generation(database, await begun(database, generation_id), made())


async def cancel(
    database: Database, actor: Actor, generation_id: UUID, key: str | None = None
) -> None:
    async with database.transaction(actor) as transaction:
        await transaction.fetch_value(CANCEL, id=generation_id, key=key)


async def refusal_of_cancel(
    database: Database, actor: Actor, generation_id: UUID, key: str | None = None
) -> str:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await cancel(database, actor, generation_id, key)
    assert refused.value.sqlstate == "TG000"
    return str(refused.value.hint)


async def queue(owner: asyncpg.Connection) -> list[UUID]:
    """The generations that have a job, in the queue's order."""
    rows = await owner.fetch(
        "select convert_from(payload, 'UTF8')::json ->> 'generation_id' as generation from queue.pgqueuer"
        " order by priority desc, id"
    )
    return [UUID(row["generation"]) for row in rows]


async def different(database: Database, actor: Actor, upload_id: UUID, count: int) -> list[UUID]:
    return [
        await create_generation(database, actor, upload_id, parameters={"color": f"#{n:06x}"})
        for n in range(count)
    ]


async def test_the_database_itself_refuses_every_other_change(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    for before, after in product(STATUSES, STATUSES):
        generation_id = await owner.fetchval(
            "insert into generations (user_id, tool_id, upload_id, cache_key, status, error_code)"
            " values ($1, 'halloween', $2, gen_random_uuid(), $3::text,"
            " case when $3 = 'FAILED' then 'INTERNAL' end) returning id",
            actor.user_id,
            upload_id,
            before,
        )
        change = owner.execute(
            "update generations set status = $2::text, attempts = attempts + 1,"
            " error_code = case when $2 = 'FAILED' then 'INTERNAL' end where id = $1",
            generation_id,
            after,
        )
        if before == after or (before, after) in LAWFUL:
            await change
        else:
            with pytest.raises(asyncpg.RestrictViolationError):
                await change
        await owner.execute("delete from generations where id = $1", generation_id)


async def test_attempts_are_never_taken_back(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    running = await begun(database, await create_generation(database, actor, upload_id))
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute("update generations set attempts = 0 where id = $1", running.id)


async def test_three_run_at_once_and_the_rest_wait_in_order(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, other = await make_user(), await make_user()
    upload_id = await ready_upload(database, storage, actor)
    ids = await different(database, actor, upload_id, 7)
    assert await queue(owner) == ids[:3]
    theirs = await create_generation(database, other, await ready_upload(database, storage, other))
    assert await queue(owner) == [*ids[:3], theirs], "another user does not wait behind them"
    await finish(database, ids[1])
    assert await queue(owner) == [*ids[:3], theirs, ids[3]]
    assert await fail_generation(database, ids[0], ErrorCode.PROVIDER_FAILED, "no")
    await cancel(database, actor, ids[2])
    assert await queue(owner) == [*ids[:3], theirs, *ids[3:6]]
    await cancel(database, actor, ids[6])
    await finish(database, ids[3])
    assert await queue(owner) == [*ids[:3], theirs, *ids[3:6]], "the cancelled one never runs"
    assert await wallet(owner, actor) == (8, 2)


async def test_those_created_at_once_take_turns_too(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=20)
    upload_id = await ready_upload(database, storage, actor)
    await asyncio.gather(
        *(
            create_generation(database, actor, upload_id, parameters={"color": f"#{n:06x}"})
            for n in range(12)
        )
    )
    in_order = [
        row["id"]
        for row in await owner.fetch(
            "select id from generations where user_id = $1 order by created_at", actor.user_id
        )
    ]
    for ended, generation_id in enumerate(in_order):
        assert await queue(owner) == in_order[: ended + 3]
        await finish(database, generation_id)
    assert await wallet(owner, actor) == (8, 0)


async def test_identical_generations_at_once_are_one_call_and_one_charge(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    provider = FakeProvider()
    services = GenerationServices(database, storage, LimitedProvider(provider), lambda: None)
    ids = await asyncio.gather(*(create_generation(database, actor, upload_id) for _ in range(10)))
    (leader,) = await queue(owner)
    await asyncio.gather(*(GenerationRun(services, one).run() for one in ids))
    assert provider.calls == 1
    assert await wallet(owner, actor) == (0, 0)
    first = await generation(owner, leader)
    assert (first["from_cache"], first["credits_charged"]) == (False, 1)
    for one in set(ids) - {leader}:
        row = await generation(owner, one)
        assert (row["status"], row["from_cache"], row["credits_charged"]) == ("SUCCEEDED", True, 0)
        assert row["result_path"] == first["result_path"]
    told = await owner.fetchval(
        "select count(*) from notifications where user_id = $1", actor.user_id
    )
    assert told == 10
    # An empty wallet does not keep anyone from what is made already.
    hit = await generation(owner, await create_generation(database, actor, upload_id))
    assert (hit["status"], hit["from_cache"]) == ("SUCCEEDED", True)


async def test_another_users_identical_photo_is_nobody_elses_result(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    for actor in (await make_user(), await make_user()):
        upload_id = await ready_upload(database, storage, actor)
        row = await generation(owner, await create_generation(database, actor, upload_id))
        assert (row["status"], row["follows_id"]) == ("QUEUED", None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": [2.50, {"c": 3}]}, {"b": [2.5, {"c": 3.0}], "a": 1.0}),
        ({"n": 100}, {"n": 1e2}),
        ({}, {}),
    ],
)
async def test_parameters_spelled_otherwise_are_the_same(
    owner: asyncpg.Connection, first: object, second: object
) -> None:
    import json

    key = "select app.result_cache_key($1, 'tool', 'photo', $2)"
    user = uuid4()
    keys = {await owner.fetchval(key, user, json.dumps(given)) for given in (first, second)}
    assert len(keys) == 1
    for other in ({"a": [1, 2]}, {"a": [2, 1]}, {"a": "1"}, {"a": None}):
        keys.add(await owner.fetchval(key, user, json.dumps(other)))
    assert len(keys) == 5


async def test_followers_fail_with_the_one_they_follow(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    leader, follower = [await create_generation(database, actor, upload_id) for _ in range(2)]
    await begun(database, leader)
    assert await fail_generation(database, leader, ErrorCode.PROVIDER_REFUSED, "Not this photo.")
    row = await generation(owner, follower)
    assert (row["status"], row["error_code"]) == ("FAILED", "PROVIDER_REFUSED")
    assert await wallet(owner, actor) == (10, 0)


async def test_when_the_first_is_called_off_the_next_takes_its_place(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    leader, heir, third = [await create_generation(database, actor, upload_id) for _ in range(3)]
    stale = await begun(database, leader)
    await cancel(database, actor, leader)
    assert await queue(owner) == [leader, heir]
    assert await wallet(owner, actor) == (1, 1)
    assert not await finish_generation(database, stale, made({"by": "the cancelled"}))
    await finish(database, heir)
    assert await wallet(owner, actor) == (0, 0)
    assert (await generation(owner, third))["status"] == "SUCCEEDED"


async def test_an_heir_that_cannot_pay_fails_with_its_followers(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    leader, heir, third = [await create_generation(database, actor, upload_id) for _ in range(3)]
    await owner.execute("update tools set credits_cost = 2 where id = 'hair-color'")
    try:
        await cancel(database, actor, leader)
    finally:
        await owner.execute("update tools set credits_cost = 1 where id = 'hair-color'")
    for one in (heir, third):
        row = await generation(owner, one)
        assert (row["status"], row["error_code"]) == ("FAILED", "INSUFFICIENT_CREDITS")
    assert await wallet(owner, actor) == (1, 0)


async def test_cancelling_gives_the_credit_back_and_may_be_repeated(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, stranger = await make_user(), await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id)
    assert await refusal_of_cancel(database, stranger, generation_id) == "NOT_FOUND"
    assert await wallet(owner, actor) == (10, 1)
    for key in (None, "k", "k"):
        await cancel(database, actor, generation_id, key)
        row = await generation(owner, generation_id)
        assert (row["status"], row["hold_status"]) == ("CANCELLED", "RELEASED")
    assert await wallet(owner, actor) == (10, 0)
    other = await create_generation(database, actor, upload_id)
    assert await refusal_of_cancel(database, actor, other, "k") == "IDEMPOTENCY_CONFLICT"
    await finish(database, other)
    assert await refusal_of_cancel(database, actor, other) == "GENERATION_ENDED"
    assert await start_generation(database, generation_id, PROVIDER, 3) is None


async def test_of_cancelling_and_finishing_at_once_one_wins(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=30)
    upload_id = await ready_upload(database, storage, actor)
    winners = set()
    for n in range(24):
        generation_id = await create_generation(
            database, actor, upload_id, parameters={"color": f"#{n:06x}"}
        )
        running = await begun(database, generation_id)
        before, _ = await wallet(owner, actor)
        contest = [
            finish_generation(database, running, made()),
            cancel(database, actor, generation_id),
        ]
        order = contest if n % 2 else contest[::-1]
        await asyncio.gather(*order, return_exceptions=True)
        row = await generation(owner, generation_id)
        winners.add(row["status"])
        paid = row["status"] == "SUCCEEDED"
        assert row["hold_status"] == ("CAPTURED" if paid else "RELEASED")
        assert await wallet(owner, actor) == (before - paid, 0)
        assert await logged(owner, generation_id) == ["SUCCEEDED" if paid else "DISCARDED"]
    assert winners == {"SUCCEEDED", "CANCELLED"}


async def test_a_stale_worker_is_fenced(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
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
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id)
    slow, quick = FakeProvider(seconds=0.5), FakeProvider()
    runs = [
        GenerationRun(
            GenerationServices(database, storage, LimitedProvider(provider), lambda: None),
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
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
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
    assert (await queue(owner)).count(generation_id) == 2, "the first job, and one for the retry"
    for attempt in range(4, 6):
        assert (await begun(database, generation_id)).attempt == attempt
    await finish(database, generation_id)
    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 0)
    assert await wallet(owner, actor) == (10, 0), "a retry by an admin is free"


async def fail_attempts(database: Database, running: RunnableGeneration, count: int) -> None:
    for _ in range(count):
        await end_attempt(database, running, PROVIDER, AttemptOutcome.FAILED, 5, "ProviderFailed")


async def circuit(owner: asyncpg.Connection) -> str:
    state: str = await owner.fetchval("select state from provider_circuits where provider = 'fake'")
    return state


async def test_a_failing_provider_gets_a_rest_and_one_generation_tries_it_again(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    first, second, third = await different(database, actor, upload_id, 3)
    running = await begun(database, first)
    await fail_attempts(database, running, 4)
    assert await circuit(owner) == "CLOSED"
    await end_attempt(database, running, PROVIDER, AttemptOutcome.STORAGE_FAILED, 0, None)
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
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
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


async def test_a_free_generation_that_lost_its_job_ends_too(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    await owner.execute("update tools set credits_cost = 0 where id = 'hair-color'")
    try:
        generation_id = await create_generation(database, actor, upload_id)
    finally:
        await owner.execute("update tools set credits_cost = 1 where id = 'hair-color'")
    assert await wallet(owner, actor) == (10, 0)
    await give_up_overdue_generations(database, 100)
    assert (await generation(owner, generation_id))["status"] == "QUEUED"
    await owner.execute(
        "update generations set enqueued_at = now() - interval '61 minutes' where id = $1",
        generation_id,
    )
    assert await give_up_overdue_generations(database, 100) == 1
    assert (await generation(owner, generation_id))["status"] == "FAILED"


async def test_the_log_says_what_a_generation_took(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id)
    await finish(database, generation_id)
    row = await owner.fetchrow(
        "select * from ai_generation_logs where generation_id = $1", generation_id
    )
    assert (row["user_id"], row["tool_id"], row["attempt"]) == (actor.user_id, "hair-color", 1)
    assert (row["provider"], row["outcome"], row["error"]) == (PROVIDER, "SUCCEEDED", None)
    assert (row["latency_milliseconds"], row["cost_micro_usd"]) == (12, 450)
    assert row["usage"] == '{"tokens": 3}'
