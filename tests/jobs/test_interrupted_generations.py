"""A generation is charged at most once, whatever happens between its beginning and its end."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db.core.actor import SERVICE
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import Storage
from db.generations.operations import (
    MadeGeneration,
    RunnableGeneration,
    fail_generation,
    finish_generation,
    start_generation,
)
from jobs import generations as generations_job
from jobs.generations import end_overdue_work

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    MakeServices,
    create_generation,
    generation,
    logged,
    movements,
    notifications,
    ready_upload,
    run_generation,
    stored_results,
    wallet,
)


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
