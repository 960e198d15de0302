"""Equal generations are one call and one charge, and what another parameter or mask asks for is none of them."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest

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
    Someone,
    begun,
    cancel,
    create_generation,
    finish,
    generation,
    made,
    queued,
    ready_upload,
    wallet,
)

pytestmark = pytest.mark.usefixtures("clean_queue")


async def test_identical_generations_at_once_are_one_call_and_one_charge(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    provider = FakeProvider()
    services = WorkerServices(database, storage, Providers(provider), lambda: None)
    ids = await asyncio.gather(*(create_generation(database, actor, upload_id) for _ in range(10)))
    (leader,) = await queued(owner)
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
    key = "select app.result_cache_key($1, 'tool', 'photo', $2, $3)"
    user = uuid4()
    keys = {await owner.fetchval(key, user, json.dumps(given), None) for given in (first, second)}
    assert len(keys) == 1
    for other in ({"a": [1, 2]}, {"a": [2, 1]}, {"a": "1"}, {"a": None}):
        keys.add(await owner.fetchval(key, user, json.dumps(other), None))
    assert len(keys) == 5
    keys.add(await owner.fetchval(key, user, json.dumps(first), "mask"))
    assert len(keys) == 6


async def test_followers_fail_with_the_one_they_follow(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
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
    assert await queued(owner) == [leader, heir]
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
