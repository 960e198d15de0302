"""A generation is charged once when it succeeds, never otherwise, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.actor import SERVICE, Actor
from db.errors import ErrorCode
from db.generations.operations import (
    MadeGeneration,
    RunnableGeneration,
    fail_generation,
    finish_generation,
    start_generation,
)
from db.pool import Database
from db.storage import Storage
from db.uploads.operations import UploadRecords
from jobs import generations as generations_job
from jobs.generations import GenerationRun, GenerationServices, RetryLater
from jobs.providers.base import (
    LimitedProvider,
    Provider,
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
)
from jobs.providers.offline import OfflineProvider
from jobs.schedule import end_overdue_work, purge_old_rows

from ..conftest import MakeUser
from .house import (
    FakeProvider,
    awaiting_upload,
    create_generation,
    generation,
    logged,
    ready_upload,
    wallet,
)

MakeServices = Callable[[Provider], GenerationServices]


@pytest.fixture
def services(database: Database, storage: Storage) -> MakeServices:
    return lambda provider: GenerationServices(
        database, storage, LimitedProvider(provider), lambda: None
    )


@pytest.fixture(autouse=True)
async def closed_circuits(owner: asyncpg.Connection) -> None:
    """Each test begins with providers that nothing is known against."""
    await owner.execute("delete from provider_circuits where provider = 'fake'")


async def run_generation(services: GenerationServices, generation_id: UUID) -> None:
    """Runs a generation to its end, as a worker does, without its pauses."""
    while True:
        try:
            return await GenerationRun(services, generation_id).run()
        except RetryLater:
            continue


async def notifications(owner: asyncpg.Connection, actor: Actor) -> list[str]:
    rows = await owner.fetch(
        "select title_key from notifications where user_id = $1 order by id", actor.user_id
    )
    return [row["title_key"] for row in rows]


async def movements(owner: asyncpg.Connection, actor: Actor) -> list[str]:
    rows = await owner.fetch(
        "select type from credit_transactions where user_id = $1 order by id", actor.user_id
    )
    return [row["type"] for row in rows]


async def stored_results(storage: Storage, actor: Actor) -> list[str]:
    """The results that lie in storage for a user."""
    chunks = storage._store.list(f"generations/{actor.user_id}")
    return [meta["path"] for chunk in chunks for meta in chunk]


async def test_a_photo_goes_in_a_credit_is_spent_a_picture_comes_out(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id, key="one")
    assert await wallet(owner, actor) == (1, 1)

    await run_generation(services(OfflineProvider()), generation_id)

    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"], row["hold_status"]) == (
        "SUCCEEDED",
        1,
        "CAPTURED",
    )
    assert row["made_offline"]
    assert not row["from_cache"]
    assert row["started_at"] <= row["finished_at"]
    assert (await storage.get(row["result_path"])).startswith(b"\xff\xd8\xff")
    assert await wallet(owner, actor) == (0, 0)
    assert await movements(owner, actor) == ["ADMIN", "HOLD", "CAPTURE"]
    assert await notifications(owner, actor) == ["notifications.generationSucceeded.title"]
    statuses = await owner.fetch(
        "select snapshot ->> 'status' as status from events where entity_id = $1 order by id",
        str(generation_id),
    )
    assert [event["status"] for event in statuses] == ["QUEUED", "RUNNING", "SUCCEEDED"]

    assert await create_generation(database, actor, upload_id, key="one") == generation_id
    again = await generation(
        owner, await create_generation(database, actor, upload_id, key="another")
    )
    assert (again["status"], again["from_cache"], again["credits_charged"]) == (
        "SUCCEEDED",
        True,
        0,
    )
    assert again["result_path"] == row["result_path"]
    assert await wallet(owner, actor) == (0, 0)


async def test_an_analysis_has_figures_and_no_picture(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id, "analysis", {})
    await run_generation(services(OfflineProvider()), generation_id)
    row = await generation(owner, generation_id)
    assert (row["status"], row["result_path"]) == ("SUCCEEDED", None)
    assert '"provider": "offline"' in row["result"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ProviderRefused("Not this photo."), "PROVIDER_REFUSED", "Not this photo."),
        (ProviderFailed("Busy; try later."), "PROVIDER_FAILED", "Busy; try later."),
        (ValueError("a canary secret"), "PROVIDER_FAILED", generations_job._FAILED),
    ],
)
async def test_a_failure_gives_the_credit_back(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    error: Exception,
    code: str,
    message: str,
) -> None:
    actor = await make_user(credits=3)
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    await run_generation(services(FakeProvider(error, failures=9)), generation_id)  # type: ignore[arg-type]
    row = await generation(owner, generation_id)
    assert (row["status"], row["error_code"], row["error_message"]) == ("FAILED", code, message)
    assert (row["hold_status"], row["credits_charged"]) == ("RELEASED", 0)
    assert await wallet(owner, actor) == (3, 0)
    assert await notifications(owner, actor) == ["notifications.generationFailed.title"]


async def test_a_provider_that_never_answers_is_a_failure(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    hurried = services(
        FakeProvider(seconds=30, limits=ProviderLimits(timeout_seconds=0.05, concurrent_calls=1))
    )
    with pytest.raises(RetryLater):
        await GenerationRun(hurried, generation_id).run()
    assert (await generation(owner, generation_id))["status"] == "RUNNING"
    await run_generation(hurried, generation_id)
    assert (await generation(owner, generation_id))["error_code"] == "PROVIDER_FAILED"
    assert await logged(owner, generation_id) == ["TIMED_OUT"] * 3
    assert await wallet(owner, actor) == (10, 0)


async def test_a_crash_between_provider_and_capture_is_charged_once(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = await make_user()
    provider = FakeProvider()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )

    async def crash(*_: object, **__: object) -> bool:
        raise RuntimeError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(generations_job, "finish_generation", crash)
        with pytest.raises(RuntimeError):
            await run_generation(services(provider), generation_id)
    assert await wallet(owner, actor) == (10, 1)
    await run_generation(services(provider), generation_id)
    await run_generation(services(provider), generation_id)
    assert provider.calls == 2
    assert (await generation(owner, generation_id))["status"] == "SUCCEEDED"
    assert await wallet(owner, actor) == (9, 0)
    assert (await movements(owner, actor)).count("CAPTURE") == 1


async def test_the_second_end_changes_nothing(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    await run_generation(services(FakeProvider()), generation_id)
    before = (
        dict(await generation(owner, generation_id)),
        await wallet(owner, actor),
        await movements(owner, actor),
        await notifications(owner, actor),
    )
    assert await start_generation(database, generation_id, "fake", 3) is None
    late = RunnableGeneration(generation_id, actor.user_id, 1, 2, "hair-color", {}, "", "")  # type: ignore[arg-type]
    made = MadeGeneration({"other": 1}, None, None, True, "fake", 1, {}, 0)
    assert not await finish_generation(database, late, made)
    assert not await fail_generation(database, generation_id, ErrorCode.PROVIDER_FAILED, "too late")
    assert before == (
        dict(await generation(owner, generation_id)),
        await wallet(owner, actor),
        await movements(owner, actor),
        await notifications(owner, actor),
    )


async def test_a_result_that_came_too_late_is_not_kept(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    provider = FakeProvider(seconds=0.3)
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    running = asyncio.create_task(run_generation(services(provider), generation_id))
    await provider.called.wait()
    assert await fail_generation(database, generation_id, ErrorCode.PROVIDER_FAILED, "given up")
    await running
    assert await logged(owner, generation_id) == ["DISCARDED"]
    assert not await stored_results(storage, actor)
    assert await wallet(owner, actor) == (10, 0)


async def test_two_workers_at_once_charge_once_and_do_not_deadlock(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user(credits=8)
    upload_id = await ready_upload(database, storage, actor)
    ids = [
        await create_generation(database, actor, upload_id, parameters={"color": f"#00000{n}"})
        for n in range(4)
    ]
    runner = services(FakeProvider())
    await asyncio.gather(
        *(run_generation(runner, generation_id) for generation_id in ids * 2),
        *(
            create_generation(database, actor, upload_id, parameters={"color": f"#10000{n}"})
            for n in range(4)
        ),
    )
    assert await wallet(owner, actor) == (4, 4)
    assert (await movements(owner, actor)).count("CAPTURE") == 4
    for generation_id in ids:
        row = await generation(owner, generation_id)
        assert await storage.exists(row["result_path"])


async def test_overdue_work_ends_by_the_clock(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    async with database.transaction(SERVICE) as transaction:
        await transaction.connection.execute(
            "select app.hold_credits($1, 2, 'no generation', interval '1 hour')", actor.user_id
        )
    await owner.execute(
        "update credit_holds set expires_at = now() - interval '1 second' where user_id = $1",
        actor.user_id,
    )
    assert await wallet(owner, actor) == (10, 3)
    await end_overdue_work(database)
    assert await wallet(owner, actor) == (10, 0)
    assert (await generation(owner, generation_id))["status"] == "FAILED"
    provider = FakeProvider()
    await run_generation(services(provider), generation_id)
    assert provider.calls == 0


async def test_a_generation_whose_hold_is_gone_is_not_run(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    hold_id = (await generation(owner, generation_id))["hold_id"]
    async with database.transaction(SERVICE) as transaction:
        await transaction.connection.execute("select app.release_hold($1)", hold_id)
    provider = FakeProvider()
    await run_generation(services(provider), generation_id)
    assert provider.calls == 0
    assert (await generation(owner, generation_id))["error_code"] == "PROVIDER_FAILED"
    assert await wallet(owner, actor) == (10, 0)


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


async def refused(
    database: Database,
    owner: asyncpg.Connection,
    actor: Actor,
    upload_id: UUID,
    tool_id: str = "hair-color",
    parameters: dict[str, object] | None = None,
    key: str = "k",
) -> str:
    """The code of a refused creation, after a look that nothing changed."""
    count = "select count(*) from generations where user_id = $1"
    jobs = "select count(*) from queue.pgqueuer"
    before = (
        await wallet(owner, actor),
        await movements(owner, actor),
        await owner.fetchval(count, actor.user_id),
        await owner.fetchval(jobs),
    )
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await create_generation(database, actor, upload_id, tool_id, parameters, key)
    assert refusal.value.sqlstate == "TG000"
    assert before == (
        await wallet(owner, actor),
        await movements(owner, actor),
        await owner.fetchval(count, actor.user_id),
        await owner.fetchval(jobs),
    )
    return str(refusal.value.hint)


async def test_unusable_uploads_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, stranger = await make_user(), await make_user()
    records = UploadRecords(database)
    foreign = await ready_upload(database, storage, stranger)
    assert await refused(database, owner, actor, foreign) == "NOT_FOUND"
    assert await refused(database, owner, actor, uuid4()) == "NOT_FOUND"
    awaiting = await awaiting_upload(database, actor)
    assert await refused(database, owner, actor, awaiting) == "UPLOAD_MISSING"
    expired = await awaiting_upload(database, actor, url_seconds=0)
    assert await refused(database, owner, actor, expired) == "UPLOAD_EXPIRED"
    for code in (ErrorCode.INVALID_IMAGE, ErrorCode.EMPTY_FILE):
        rejected = await awaiting_upload(database, actor)
        await records.mark_rejected(rejected, code, "Send another.")
        assert await refused(database, owner, actor, rejected) == code


async def test_tools_that_cannot_be_used_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id: UUID = await ready_upload(database, storage, actor)
    assert await refused(database, owner, actor, upload_id, "beard", {}) == "TOOL_INACTIVE"
    assert await refused(database, owner, actor, upload_id, "moustache", {}) == "NOT_FOUND"


async def test_an_empty_wallet_and_a_reused_key_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    await create_generation(database, actor, upload_id, key="used")
    assert (
        await refused(database, owner, actor, upload_id, "halloween", {}, key="used")
        == "IDEMPOTENCY_CONFLICT"
    )
    assert (
        await refused(database, owner, actor, upload_id, "halloween", {}, key="new")
        == "INSUFFICIENT_CREDITS"
    )
