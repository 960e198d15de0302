"""Generations over GraphQL: called off by their owner, and answered from the cache in one step."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from db.generations.operations import (
    MadeGeneration,
    RunnableGeneration,
    finish_generation,
    start_generation,
)
from db.uploads.receiving import UploadReceiver
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import ready_upload, wallet
from .conftest import Ask

CREATE = """mutation($upload: ID!, $color: String!, $key: String!) {
  createGeneration(input: {toolId: "hair-color", uploadId: $upload, parameters: {color: $color},
    idempotencyKey: $key}) {
    generation { id status fromCache creditsCharged imageUrl } errors { code } } }"""
CANCEL = """mutation($id: ID!, $key: String) { cancelGeneration(input: {id: $id, idempotencyKey: $key}) {
  generation { id status } errors { code path } } }"""
READ = "{ viewer { generations(first: 1) { nodes { id status imageUrl } } } }"
PATH = "generations/018f0000-0000-7000-8000-000000000001/018f0000-0000-7000-8000-000000000002.jpg"


async def created(ask: Ask, actor: Actor, upload_id: UUID, color: str = "#123456") -> Any:
    variables = {"upload": f"upload_{upload_id}", "color": color, "key": str(uuid4())}
    payload = (await ask(CREATE, variables, actor=actor))["data"]["createGeneration"]
    assert payload["errors"] == []
    return payload["generation"]


async def finish(database: Database, generation: Any) -> None:
    generation_id = UUID(generation["id"].removeprefix("generation_"))
    running = await start_generation(database, generation_id, "fake", 3)
    assert isinstance(running, RunnableGeneration)
    made = MadeGeneration(None, PATH, "image/jpeg", False, "fake", 1, {}, 0)
    assert await finish_generation(database, running, made)


@pytest.fixture
async def upload(database: Database, settings: Settings, make_user: MakeUser) -> tuple[Actor, UUID]:
    """A user with two credits, and their photo."""
    actor = await make_user(credits=2)
    return actor, await ready_upload(database, open_storage(settings), actor)


async def test_a_generation_is_called_off_by_its_owner_alone(
    ask: Ask,
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    upload: tuple[Actor, UUID],
) -> None:
    actor, upload_id = upload
    generation = await created(ask, actor, upload_id)
    variables = {"id": generation["id"], "key": "k"}
    foreign = (await ask(CANCEL, variables, actor=await make_user()))["data"]["cancelGeneration"]
    assert foreign == {
        "generation": None,
        "errors": [{"code": "NOT_FOUND", "path": ["input", "id"]}],
    }
    assert await wallet(owner, actor) == (2, 1)
    for _ in range(2):
        payload = (await ask(CANCEL, variables, actor=actor))["data"]["cancelGeneration"]
        assert payload == {
            "generation": {"id": generation["id"], "status": "CANCELLED"},
            "errors": [],
        }
    assert await wallet(owner, actor) == (2, 0)
    other = await created(ask, actor, upload_id)
    await finish(database, other)
    late = (await ask(CANCEL, {"id": other["id"]}, actor=actor))["data"]["cancelGeneration"]
    assert late["errors"] == [{"code": "GENERATION_ENDED", "path": ["input", "id"]}]
    signed_out = await ask(CANCEL, variables)
    assert signed_out["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_mask_is_taken_in_like_the_photo(
    ask: Ask,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
    upload: tuple[Actor, UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor, upload_id = upload
    mask = await ready_upload(database, open_storage(settings), actor)
    collected = []

    async def noted(_: UploadReceiver, __: Actor, wanted: UUID) -> None:
        collected.append(wanted)

    monkeypatch.setattr(UploadReceiver, "collect", noted)
    text = """mutation($upload: ID!, $mask: ID!, $key: String!) {
      createGeneration(input: {toolId: "hair-color", uploadId: $upload, maskUploadId: $mask,
        parameters: {color: "#123456"}, idempotencyKey: $key}) {
        generation { id tool { takesMask } } errors { code path } } }"""
    variables = {"upload": f"upload_{upload_id}", "mask": f"upload_{mask}", "key": "k"}
    payload = (await ask(text, variables, actor=actor))["data"]["createGeneration"]
    assert payload["errors"] == []
    assert payload["generation"]["tool"] == {"takesMask": True}
    assert collected == [upload_id, mask]
    generation_id = UUID(payload["generation"]["id"].removeprefix("generation_"))
    kept = await owner.fetchval(
        "select mask_upload_id from generations where id = $1", generation_id
    )
    assert kept == mask
    wrong = (await ask(text, {**variables, "mask": "tool_x"}, actor=actor))["data"]
    assert wrong["createGeneration"]["errors"] == [
        {"code": "NOT_FOUND", "path": ["input", "maskUploadId"]}
    ]


async def test_variables_may_stand_inside_parameters(
    ask: Ask, owner: asyncpg.Connection, upload: tuple[Actor, UUID]
) -> None:
    actor, upload_id = upload
    text = """mutation($upload: ID!, $color: String, $missing: Int) {
      createGeneration(input: {toolId: "hair-color", uploadId: $upload, idempotencyKey: "v",
        parameters: {color: $color, extra: $missing}}) {
        generation { parameters } errors { code } } }"""
    variables = {"upload": f"upload_{upload_id}", "color": "#abcdef"}
    payload = (await ask(text, variables, actor=actor))["data"]["createGeneration"]
    assert payload == {"generation": {"parameters": {"color": "#abcdef"}}, "errors": []}


async def test_a_cache_hit_costs_one_round_trip_more_than_a_read(
    ask: Ask,
    database: Database,
    upload: tuple[Actor, UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor, upload_id = upload
    await finish(database, await created(ask, actor, upload_id))
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        monkeypatch.setattr(asyncpg.Connection, name, counted(asked, asyncpg.Connection, name))
    statement = asyncpg.prepared_stmt.PreparedStatement
    monkeypatch.setattr(statement, "fetchval", counted(asked, statement, "fetchval"))

    await ask(READ, actor=actor)
    assert len(asked) == 1
    asked.clear()
    hit = await created(ask, actor, upload_id)
    assert (hit["status"], hit["fromCache"], hit["creditsCharged"]) == ("SUCCEEDED", True, 0)
    assert PATH in hit["imageUrl"]
    assert len(asked) == 2, asked


def counted(asked: list[str], cls: Any, name: str) -> Any:
    """A method of asyncpg's that notes each call."""
    real = getattr(cls, name)

    async def method(self: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(name)
        return await real(self, *arguments, **options)

    return method
