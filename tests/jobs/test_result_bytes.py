"""Pictures that were made count toward their user's bytes, and room for them is taken before the work."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import Storage
from db.generations.operations import fail_generation, finish_generation
from jobs.core.declare import WorkerServices
from jobs.generations import GenerationRun
from jobs.providers.base import Providers

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    begun,
    cancel,
    create_generation,
    different,
    made,
    queued,
    ready_upload,
    wallet,
)

pytestmark = pytest.mark.usefixtures("clean_queue")

USED = "select bytes_used from quota_use where user_id = $1 and slice = 'generations'"
PHOTO = "select size_bytes from uploads where id = $1"
DELETE = text("select app.delete_generation(:id)")
TEXTS = """
select coalesce(sum(octet_length(parameters::text) + coalesce(octet_length(result::text), 0)), 0)
from generations where user_id = $1
"""


async def pictures_bytes(owner: asyncpg.Connection, actor: Actor) -> int:
    """What is counted beyond the texts of the generations."""
    used = await owner.fetchval(USED, actor.user_id)
    return int(used - await owner.fetchval(TEXTS, actor.user_id))


async def room_for(owner: asyncpg.Connection, actor: Actor, stored_bytes: int) -> None:
    """Gives the user a plan that allows so many bytes of generations."""
    plan = f"plan-{actor.user_id}"
    await owner.execute("insert into plans values ($1, $1, 1, 1)", plan)
    await owner.execute(
        "insert into quota_limits values ($1, 'generations', 100, $2)", plan, stored_bytes
    )
    await owner.execute("update users set plan_id = $2 where id = $1", actor.user_id, plan)


async def test_who_has_no_room_for_a_picture_is_refused_before_the_work(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=9)
    upload_id = await ready_upload(database, storage, actor)
    photo = await owner.fetchval(PHOTO, upload_id)
    await room_for(owner, actor, 3 * photo + photo // 2)
    first, second, third = await different(database, actor, upload_id, 3)
    before = await wallet(owner, actor), await queued(owner)
    with pytest.raises(asyncpg.PostgresError, match=r"Your generations take .* deleteGeneration"):
        await create_generation(database, actor, upload_id, parameters={"color": "#ffffff"})
    assert (await wallet(owner, actor), await queued(owner)) == before
    # What makes no picture takes no room; what makes a larger one takes what it has.
    await cancel(database, actor, first)
    await fail_generation(database, second, ErrorCode.PROVIDER_FAILED, "No.")
    assert await pictures_bytes(owner, actor) == photo
    large = replace(made(), result_path="generations/x", result_bytes=3 * photo)
    assert await finish_generation(database, await begun(database, third), large)
    assert await pictures_bytes(owner, actor) == 3 * photo
    with pytest.raises(asyncpg.PostgresError, match="Your generations take"):
        await create_generation(database, actor, upload_id, parameters={"color": "#ffffff"})


async def test_each_generation_counts_the_picture_that_it_shows(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=9)
    upload_id = await ready_upload(database, storage, actor)
    ids: list[UUID] = [await create_generation(database, actor, upload_id) for _ in range(2)]
    provider = Providers(FakeProvider())
    services = WorkerServices(database, storage, provider, lambda: None)
    await GenerationRun(services, (await queued(owner))[-1]).run()
    ids.append(await create_generation(database, actor, upload_id))  # from the cache
    path = await owner.fetchval("select result_path from generations where id = $1", ids[0])
    picture = len(await storage.get(path))
    assert picture > 0
    assert await pictures_bytes(owner, actor) == 3 * picture
    async with database.transaction(actor) as transaction:
        for one in ids:
            await transaction.fetch_value(DELETE, id=one)
    assert await owner.fetchval(USED, actor.user_id) == 0
