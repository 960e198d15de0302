"""A client sees what its user has stored and may store, and is told what to delete."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg

from db.core.actor import Actor
from graph.quotas import QuotaSlice

from ..conftest import MakeUser
from .conftest import Ask

QUOTAS = "{ viewer { quotas { slice rowsUsed rowsLimit bytesUsed bytesLimit } } }"
CREATE = """mutation($input: CreateProfileInput!) { createProfile(input: $input) {
  profile { id sizeBytes } viewer { quotas { slice rowsUsed bytesUsed } }
  errors { code message path } } }"""
DELETE = """mutation($id: ID!) { deleteGeneration(input: {id: $id}) {
  deletedId viewer { quotas { slice rowsUsed } } errors { code path } } }"""


def of(quotas: list[dict[str, Any]], slice_name: str) -> dict[str, Any]:
    return next(quota for quota in quotas if quota["slice"] == slice_name)


async def test_a_user_sees_what_they_have_and_may_have(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    quotas = (await ask(QUOTAS, actor=actor))["data"]["viewer"]["quotas"]
    assert [quota["slice"] for quota in quotas] == [known.name for known in QuotaSlice]
    assert of(quotas, "PROFILES") == {
        "slice": "PROFILES",
        "rowsUsed": 0,
        "rowsLimit": 20_000,
        "bytesUsed": 0,
        "bytesLimit": 250_000_000,
    }
    made = (await ask(CREATE, {"input": {"analysis": {"a": 1}}}, actor=actor))["data"]
    payload = made["createProfile"]
    assert payload["profile"]["sizeBytes"] == len('{"a": 1}') + len("[]")
    seen = {"slice": "PROFILES", "rowsUsed": 1, "bytesUsed": 10}
    assert of(payload["viewer"]["quotas"], "PROFILES") == seen
    quotas = (await ask(QUOTAS, actor=actor))["data"]["viewer"]["quotas"]
    assert of(quotas, "PROFILES") | seen == of(quotas, "PROFILES")
    stranger = (await ask(QUOTAS, actor=await make_user()))["data"]["viewer"]["quotas"]
    assert of(stranger, "PROFILES")["rowsUsed"] == 0


async def test_what_goes_beyond_is_a_user_error(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, plan = await make_user(), f"plan-{uuid4()}"
    await owner.execute("insert into plans values ($1, $1, 1, 1)", plan)
    await owner.execute("insert into quota_limits values ($1, 'profiles', 1, 1000)", plan)
    await owner.execute("update users set plan_id = $2 where id = $1", actor.user_id, plan)
    await ask(CREATE, {"input": {"analysis": {}}}, actor=actor)
    refused = (await ask(CREATE, {"input": {"analysis": {}}}, actor=actor))["data"]
    assert refused["createProfile"]["profile"] is None
    assert refused["createProfile"]["errors"] == [
        {
            "code": "QUOTA_EXCEEDED",
            "message": "You may have 1 profiles. Delete some with deleteProfile.",
            "path": ["input"],
        }
    ]


async def new_generation(owner: asyncpg.Connection, actor: Actor, status: str) -> str:
    upload_id = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/jpeg', 10, now()) returning id",
        actor.user_id,
    )
    generation_id = await owner.fetchval(
        "insert into generations (user_id, tool_id, upload_id, cache_key)"
        " values ($1, 'halloween', $2, gen_random_uuid()) returning id",
        actor.user_id,
        upload_id,
    )
    await owner.execute(
        "update generations set status = $2, from_cache = true, attempts = 1 where id = $1",
        generation_id,
        status,
    )
    await owner.execute(
        "insert into idempotency_keys values ($1, 'create_generation', 'key', '', $2)",
        actor.user_id,
        generation_id,
    )
    return f"generation_{generation_id}"


async def test_a_generation_that_has_ended_can_be_deleted(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    ended = await new_generation(owner, actor, "SUCCEEDED")
    foreign = (await ask(DELETE, {"id": ended}, actor=await make_user()))["data"]
    assert foreign["deleteGeneration"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    deleted = (await ask(DELETE, {"id": ended}, actor=actor))["data"]["deleteGeneration"]
    assert (deleted["deletedId"], deleted["errors"]) == (ended, [])
    assert of(deleted["viewer"]["quotas"], "GENERATIONS")["rowsUsed"] == 0
    again = (await ask(DELETE, {"id": ended}, actor=actor))["data"]["deleteGeneration"]
    assert (again["deletedId"], again["errors"][0]["code"]) == (None, "NOT_FOUND")
    running = await new_generation(owner, actor, "QUEUED")
    refused = (await ask(DELETE, {"id": running}, actor=actor))["data"]["deleteGeneration"]
    assert refused["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", "id"]}]
    assert (
        await owner.fetchval("select count(*) from generations where user_id = $1", actor.user_id)
        == 1
    )
