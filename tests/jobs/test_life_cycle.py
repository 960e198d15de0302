"""A generation takes its turn, three of a user's run at once, and each ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import Storage
from db.generations.operations import (
    fail_generation,
    finish_generation,
    give_up_overdue_generations,
    start_generation,
)

from ..conftest import MakeUser
from .helpers import (
    PROVIDER,
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
    ready_upload,
    wallet,
)

pytestmark = pytest.mark.usefixtures("clean_queue")
# Of one contestant before the other; with the longest it has surely won.
HEAD_STARTS_SECONDS = (0, 0.001, 0.002, 0.004, 0.05)


async def test_three_run_at_once_and_the_rest_wait_in_order(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, other = await make_user(), await make_user()
    upload_id = await ready_upload(database, storage, actor)
    ids = await different(database, actor, upload_id, 7)
    assert await queued(owner) == ids[:3]
    theirs = await create_generation(database, other, await ready_upload(database, storage, other))
    assert await queued(owner) == [*ids[:3], theirs], "another user does not wait behind them"
    await finish(database, ids[1])
    assert await queued(owner) == [*ids[:3], theirs, ids[3]]
    assert await fail_generation(database, ids[0], ErrorCode.PROVIDER_FAILED, "no")
    await cancel(database, actor, ids[2])
    assert await queued(owner) == [*ids[:3], theirs, *ids[3:6]]
    await cancel(database, actor, ids[6])
    await finish(database, ids[3])
    assert await queued(owner) == [*ids[:3], theirs, *ids[3:6]], "the cancelled one never runs"
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
        assert await queued(owner) == in_order[: ended + 3]
        await finish(database, generation_id)
    assert await wallet(owner, actor) == (8, 0)


async def refusal_of_cancel(
    database: Database, actor: Actor, generation_id: UUID, key: str | None = None
) -> str:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await cancel(database, actor, generation_id, key)
    assert refused.value.sqlstate == "TG000"
    return str(refused.value.hint)


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


async def later(seconds: float, work: Awaitable[Any]) -> Any:
    """Does the work after a while."""
    await asyncio.sleep(seconds)
    return await work


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
        first, second = contest if n % 2 else contest[::-1]
        head_start_seconds = HEAD_STARTS_SECONDS[n // 2 % len(HEAD_STARTS_SECONDS)]
        await asyncio.gather(first, later(head_start_seconds, second), return_exceptions=True)
        row = await generation(owner, generation_id)
        winners.add(row["status"])
        paid = row["status"] == "SUCCEEDED"
        assert row["hold_status"] == ("CAPTURED" if paid else "RELEASED")
        assert await wallet(owner, actor) == (before - paid, 0)
        assert await logged(owner, generation_id) == ["SUCCEEDED" if paid else "DISCARDED"]
    assert winners == {"SUCCEEDED", "CANCELLED"}


async def test_a_preview_gives_back_what_was_held_and_is_not_kept_for_the_next(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    generation_id = await create_generation(database, actor, upload_id)
    running = await begun(database, generation_id)
    assert await wallet(owner, actor) == (10, 1)
    assert await finish_generation(database, running, replace(made(), is_preview=True))
    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 0)
    assert row["hold_status"] == "RELEASED"
    assert await wallet(owner, actor) == (10, 0)
    again = await create_generation(database, actor, upload_id, key="again")
    assert (await generation(owner, again))["status"] == "QUEUED"


async def test_a_free_generation_that_lost_its_job_ends_too(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
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
