"""Admins see what was given up and what providers did, and may retry; nobody else sees any of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage
from db.generations.operations import fail_generation, start_generation
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload
from .conftest import Ask

LISTS = """query($generation: GenerationLogWhere) {
  deadJobs(first: 100) { nodes { id entrypoint generationId attempts error retriedAt } }
  generationLogs(first: 100, where: $generation) {
    totalCount nodes { generationId userId attempt outcome provider latencyMilliseconds usage } }
  providerCircuits { provider state consecutiveFailures retryAt }
}"""
RETRY = """mutation($id: ID!) { retryJob(input: {id: $id}) {
  job { id retriedAt } errors { code message } } }"""
STATUS = "select status from generations where id = $1"


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """Somebody whom the database knows as an admin."""
    user = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    return Actor("authenticated", user.user_id, is_admin=True)


@pytest.fixture
async def dead(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> tuple[UUID, str]:
    """A generation whose worker died, then given up: its id and its dead job's."""
    actor = await make_user()
    upload_id = await ready_upload(database, open_storage(settings), actor)
    generation_id = await create_generation(database, actor, upload_id)
    for _ in range(2):
        await start_generation(database, generation_id, f"provider {generation_id}", 3)
    assert await fail_generation(
        database, generation_id, ErrorCode.PROVIDER_FAILED, "no", dead_error="ProviderFailed: no"
    )
    job_id = await owner.fetchval(
        "select id from dead_jobs where generation_id = $1", generation_id
    )
    return generation_id, f"deadJob_{job_id}"


def only(answer: dict[str, Any], generation_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """What the lists say of one generation."""
    return {
        name: [
            node
            for node in answer["data"][name]["nodes"]
            if node["generationId"] == f"generation_{generation_id}"
        ]
        for name in ("deadJobs", "generationLogs")
    }


async def test_an_admin_sees_dead_jobs_and_attempts(
    ask: Ask, admin: Actor, dead: tuple[UUID, str], owner: asyncpg.Connection
) -> None:
    generation_id, job_id = dead
    await owner.execute("insert into provider_circuits (provider) values ($1)", job_id)
    await owner.execute(
        "update provider_circuits set state = 'OPEN', consecutive_failures = 5,"
        " retry_at = now() + interval '30 seconds' where provider = $1",
        job_id,
    )
    answer = await ask(LISTS, actor=admin)
    await owner.execute("delete from provider_circuits where provider = $1", job_id)
    found = only(answer, generation_id)
    assert found["deadJobs"] == [
        {
            "id": job_id,
            "entrypoint": "run_generation",
            "generationId": f"generation_{generation_id}",
            "attempts": 2,
            "error": "ProviderFailed: no",
            "retriedAt": None,
        }
    ]
    (log,) = found["generationLogs"]
    assert (log["outcome"], log["attempt"], log["usage"]) == ("ABANDONED", 1, {})
    (circuit,) = [c for c in answer["data"]["providerCircuits"] if c["provider"] == job_id]
    assert (circuit["state"], circuit["consecutiveFailures"]) == ("OPEN", 5)
    by_outcome = {"generation": {"outcome": {"eq": "ABANDONED"}}}
    filtered = (await ask(LISTS, by_outcome, actor=admin))["data"]["generationLogs"]
    assert {node["outcome"] for node in filtered["nodes"]} == {"ABANDONED"}
    assert filtered["totalCount"] >= 1


async def test_nobody_else_sees_that_there_are_any(
    ask: Ask, make_user: MakeUser, dead: tuple[UUID, str], owner: asyncpg.Connection
) -> None:
    user = await make_user()
    claims_to_be = Actor("authenticated", user.user_id, is_admin=True)
    for actor in (NOBODY, user, claims_to_be):
        answer = await ask(LISTS, actor=actor)
        assert answer["data"] == {
            "deadJobs": None,
            "generationLogs": None,
            "providerCircuits": None,
        }
        node = await ask("query($id: ID!) { node(id: $id) { id } }", {"id": dead[1]}, actor=actor)
        assert node == {"data": {"node": None}}
        for id_ in (dead[1], "nothing"):
            refused = await ask(RETRY, {"id": id_}, actor=actor)
            code = "UNAUTHENTICATED" if actor is NOBODY else "FORBIDDEN"
            assert refused["data"] == {"retryJob": None}
            assert refused["errors"][0]["extensions"]["code"] == code
    assert await owner.fetchval(STATUS, dead[0]) == "FAILED"


async def test_an_admin_retries_a_dead_job_once_and_free(
    ask: Ask, admin: Actor, dead: tuple[UUID, str], owner: asyncpg.Connection
) -> None:
    generation_id, job_id = dead
    first = (await ask(RETRY, {"id": job_id}, actor=admin))["data"]["retryJob"]
    assert first["errors"] == []
    assert first["job"]["retriedAt"] is not None
    row = await owner.fetchrow("select * from generations where id = $1", generation_id)
    assert (row["status"], row["hold_id"], row["error_code"]) == ("QUEUED", None, None)
    audited = await owner.fetchval(
        "select count(*) from audit_log where user_id = $1 and action = 'retry_job'", admin.user_id
    )
    assert audited == 1
    again = (await ask(RETRY, {"id": job_id}, actor=admin))["data"]["retryJob"]
    assert again == first
    missing = (await ask(RETRY, {"id": f"deadJob_{uuid4()}"}, actor=admin))["data"]["retryJob"]
    assert missing["errors"][0]["code"] == "NOT_FOUND"
