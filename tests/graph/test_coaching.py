"""Coaching sessions: kept once, changed, watched, and gone with their profile; nobody else's."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.execution.engine import Engine
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import ready_upload
from .conftest import Ask
from .live.test_topics import Stream

FIELDS = """id profileId clientId uploadIds matchAnalysis suggestedResponses actualResponse
  responseScore scoreExplanation"""
PROFILE = 'mutation { createProfile(input: {name: "Kim", analysis: {}}) { profile { id } } }'
CREATE = f"""mutation($input: CreateCoachingSessionInput!) {{ createCoachingSession(input: $input) {{
  coachingSession {{ {FIELDS} }} errors {{ code path }} }} }}"""
UPDATE = f"""mutation($input: UpdateCoachingSessionInput!) {{ updateCoachingSession(input: $input) {{
  coachingSession {{ {FIELDS} }} errors {{ code path }} }} }}"""
DELETE = """mutation($id: ID!) { deleteCoachingSession(input: {id: $id}) {
  deletedId errors { code } } }"""
LIST = """{ viewer { coachingSessions { nodes { id profile { name } } }
  profiles { nodes { coachingSessions { nodes { id } } } } } }"""
WATCH = (
    "subscription { coachingSessionsChanged { coachingSession { id actualResponse } deletedId } }"
)
GIVEN = {
    "matchAnalysis": {"detected_agenda": "to meet", "detected_tactics": []},
    "suggestedResponses": [{"message": "Tuesday?", "tactic": "direct"}],
}


@pytest.fixture
async def person(make_user: MakeUser) -> Actor:
    return await make_user()


async def profile_of(ask: Ask, actor: Actor) -> str:
    answer = await ask(PROFILE, actor=actor)
    return str(answer["data"]["createProfile"]["profile"]["id"])


async def create(ask: Ask, actor: Actor, profile: str, **given: Any) -> Any:
    variables = {"input": {"profileId": profile, **given}}
    return (await ask(CREATE, variables, actor=actor))["data"]["createCoachingSession"]


async def test_a_session_is_kept_once_and_changed(ask: Ask, person: Actor) -> None:
    profile, client_id = await profile_of(ask, person), str(uuid4())
    made = await create(ask, person, profile, clientId=client_id, **GIVEN)
    assert made["errors"] == []
    session = made["coachingSession"]
    assert session == {
        "id": session["id"],
        "profileId": profile,
        "clientId": client_id,
        "uploadIds": [],
        "actualResponse": None,
        "responseScore": None,
        "scoreExplanation": None,
        **GIVEN,
    }
    again = await create(ask, person, profile, clientId=client_id, actualResponse="other")
    assert again["coachingSession"] == session
    scored = {"actualResponse": "Tuesday!", "responseScore": 8, "scoreExplanation": "Short."}
    answer = await ask(UPDATE, {"input": {"id": session["id"], **scored}}, actor=person)
    assert answer["data"]["updateCoachingSession"]["coachingSession"] == session | scored
    emptied = {"id": session["id"], "matchAnalysis": None, "responseScore": None}
    answer = await ask(UPDATE, {"input": emptied}, actor=person)
    changed = answer["data"]["updateCoachingSession"]["coachingSession"]
    assert (changed["matchAnalysis"], changed["responseScore"]) == (None, None)
    shown = (await ask(LIST, actor=person))["data"]["viewer"]
    assert shown["coachingSessions"]["nodes"] == [{"id": session["id"], "profile": {"name": "Kim"}}]
    assert shown["profiles"]["nodes"] == [{"coachingSessions": {"nodes": [{"id": session["id"]}]}}]


async def test_what_is_wrong_is_told_at_once(ask: Ask, person: Actor) -> None:
    given = {
        "clientId": "",
        "uploadIds": [f"upload_{uuid4()}"] * 11,
        "matchAnalysis": [],
        "suggestedResponses": "x" * 70_000,
        "actualResponse": "x" * 8_001,
        "responseScore": 11,
    }
    refused = await create(ask, person, await profile_of(ask, person), **given)
    assert {error["path"][1] for error in refused["errors"]} == set(given)
    large = await create(
        ask, person, await profile_of(ask, person), suggestedResponses=["x" * 70_000]
    )
    assert [error["path"] for error in large["errors"]] == [["input", "suggestedResponses"]]


async def test_nobody_reaches_anothers(ask: Ask, person: Actor, make_user: MakeUser) -> None:
    stranger, profile = await make_user(), await profile_of(ask, person)
    session = (await create(ask, person, profile))["coachingSession"]["id"]
    not_found = [{"code": "NOT_FOUND", "path": ["input", "profileId"]}]
    assert (await create(ask, stranger, profile))["errors"] == not_found
    taken = await ask(UPDATE, {"input": {"id": session, "actualResponse": "taken"}}, actor=stranger)
    assert taken["data"]["updateCoachingSession"]["errors"][0]["code"] == "NOT_FOUND"
    deleted = await ask(DELETE, {"id": session}, actor=stranger)
    assert deleted["data"]["deleteCoachingSession"]["errors"] == [{"code": "NOT_FOUND"}]
    assert (await ask(LIST, actor=stranger))["data"]["viewer"]["coachingSessions"]["nodes"] == []


async def test_its_pictures_are_used_from_then_on(
    ask: Ask, person: Actor, database: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    upload = await ready_upload(database, open_storage(settings), person)
    wanted = f"upload_{upload}"
    made = await create(ask, person, await profile_of(ask, person), uploadIds=[wanted])
    assert made["coachingSession"]["uploadIds"] == [wanted]
    assert await owner.fetchval("select used_at is not null from uploads where id = $1", upload)
    foreign = f"upload_{uuid4()}"
    refused = await create(ask, person, await profile_of(ask, person), uploadIds=[foreign])
    assert refused["errors"] == [{"code": "NOT_FOUND", "path": ["input", "uploadIds"]}]
    left = await owner.fetchval(
        "select count(*) from coaching_sessions where user_id = $1", person.user_id
    )
    assert left == 1


async def test_changes_and_ends_are_told(
    ask: Ask, person: Actor, engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    profile = await profile_of(ask, person)
    stream = Stream(engine, services, person, WATCH)
    assert (await stream.item())[0] == {"coachingSession": None, "deletedId": None}
    session = (await create(ask, person, profile))["coachingSession"]["id"]
    await ask(UPDATE, {"input": {"id": session, "actualResponse": "Hello"}}, actor=person)
    second = (await create(ask, person, profile))["coachingSession"]["id"]
    await ask(DELETE, {"id": session}, actor=person)
    await owner.execute(
        "delete from profiles where id = $1", UUID(profile.removeprefix("profile_"))
    )
    services.wake()
    told = [(await stream.item())[0] for _ in range(5)]
    await stream.close()
    assert told == [
        {"coachingSession": {"id": session, "actualResponse": None}, "deletedId": None},
        {"coachingSession": {"id": session, "actualResponse": "Hello"}, "deletedId": None},
        {"coachingSession": {"id": second, "actualResponse": None}, "deletedId": None},
        {"coachingSession": None, "deletedId": session},
        {"coachingSession": None, "deletedId": second},
    ]
