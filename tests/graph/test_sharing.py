"""What the API shows a partner: every field by the level, by every way that leads to it, live too."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from jobs.partners import compare_partners
from server.services import Services

from ..attuned import full_answers
from ..conftest import MakeUser
from ..sharing import ANSWERS, LEVELS, OVERLAPPING, Circle, circle_of
from .conftest import Ask
from .test_surveys import Person

DEMOGRAPHICS = """name gender orientation relationship anatomySelf anatomyPreference updatedAt"""
PROFILE = """version isCurrent archetype archetypes isBalanced tags powerOrientation
  power { orientation confidence level topPercent } domainScores { domain score } run { id }
  radar { domain score x y } bars { measure score level } boundaries { itemId kind source }"""
PARTNER = f"""displayName status shared demographics {{ {DEMOGRAPHICS} }} surveyProfile {{ {PROFILE} }}
  answers {{ itemId value score }} comparedAt compatibility {{ score word domains {{ domain score }}
    breakdown {{ kind name score points }} overlaps {{ kind itemId }} comparison {{ kind itemId }}
    conflicts {{ limitKey isOwn itemIds }} }}"""
SEE = f"{{ viewer {{ partners {{ nodes {{ {PARTNER} }} }} }} }}"
NODES = f"""query($ids: [ID!]!) {{ nodes(ids: $ids) {{ __typename
  ... on Demographics {{ {DEMOGRAPHICS} }} ... on SurveyProfile {{ {PROFILE} }}
  ... on Compatibility {{ score }} ... on Boundary {{ itemId kind }} ... on SurveyRun {{ id answers {{ itemId value }} }}
  ... on User {{ id }} ... on Partner {{ id }} }} }}"""
FIND = """query($id: ID!) { viewer { partners(where: {surveyProfile: {id: {eq: $id}}}) {
  nodes { id } } } }"""
WATCH = f"subscription {{ partnersChanged {{ kind partner {{ {PARTNER} }} }} }}"
NOT_CONNECTED = (
    "ex-partner",
    "who was removed",
    "who left",
    "blocked",
    "who is leaving",
    "stranger",
)


@pytest.fixture
async def circle(owner: asyncpg.Connection, make_user: MakeUser, database: Database) -> Circle:
    return await circle_of(owner, make_user, database)


def told(partner: dict[str, Any]) -> tuple[str | None, int | None, dict[str, Any]]:
    """What of a partner is shown: their name, their profile's version, their answers."""
    who, profile = partner["demographics"], partner["surveyProfile"]
    answers = {one["itemId"]: one["value"] for one in partner["answers"]}
    return who and who["name"], profile and profile["version"], answers


SHOWN = {
    "ALL": ("Ada", 2, dict(ANSWERS)),
    "OVERLAPPING": ("Ada", None, OVERLAPPING),
    "DEMOGRAPHICS": ("Ada", None, {}),
}


def compared(partner: dict[str, Any]) -> tuple[Any, ...] | None:
    """What of a compatibility is shown: the score, how many parts, which items, which conflicts."""
    if (found := partner["compatibility"]) is None:
        return None
    assert len(found["domains"]) == sum(one["kind"] == "DOMAIN" for one in found["breakdown"])
    listed = [[one["itemId"] for one in found[key]] for key in ("overlaps", "comparison")]
    conflicts = {one["isOwn"]: one["itemIds"] for one in found["conflicts"]}
    return found["score"], found["word"], len(found["breakdown"]), *listed, conflicts


SCORE = (0, "CHALLENGING")
CONFLICTS = {False: ["B3b"], True: []}
EVERY_ITEM = ["B3a", "B3a", "B3b", "B3b", "B4a", "B4b", "B5a"]
COMPARED = {
    "ALL": (*SCORE, 18, ["B3a", "B3b"], EVERY_ITEM, CONFLICTS),
    "OVERLAPPING": (*SCORE, 18, ["B3a", "B3b"], ["B3a", "B3b"], CONFLICTS),
    "DEMOGRAPHICS": (*SCORE, 0, [], [], {}),
}


async def seen(ask: Ask, reader: Actor) -> list[dict[str, Any]]:
    """Ada among somebody's partners."""
    answer = await ask(SEE, actor=reader)
    assert "errors" not in answer, answer
    partners = answer["data"]["viewer"]["partners"]["nodes"]
    return [partner for partner in partners if partner["displayName"] == "Ada"]


async def test_a_partner_shows_what_their_level_says(ask: Ask, circle: Circle) -> None:
    for level in LEVELS:
        (partner,) = await seen(ask, circle.readers[level])
        assert (partner["status"], partner["shared"]) == ("CONNECTED", level)
        assert told(partner) == SHOWN[level], level
        assert compared(partner) == COMPARED[level], level
    (partner,) = await seen(ask, circle.readers["ALL"])
    profile = partner["surveyProfile"]
    assert profile["run"] is None  # the run stays theirs
    assert profile["domainScores"] == [{"domain": "POWER", "score": 20}]
    assert profile["bars"] == [{"measure": "SE", "score": 20, "level": None}]
    assert profile["boundaries"] == [{"itemId": "impact", "kind": "HARD", "source": "SET"}]
    for name in NOT_CONNECTED:
        for partner in await seen(ask, circle.readers[name]):
            assert (partner["status"], told(partner)) == ("DISCONNECTED", (None, None, {}))
            assert partner["compatibility"] is None


async def ids_of(circle: Circle) -> dict[str, str]:
    """The global ids of all that is Ada's, each by what it is."""
    rows = await circle.owner.fetch(
        "select 'profile ' || version as name, 'surveyProfile_' || id as id from survey_profiles"
        " where user_id = $1 union all select 'run ' || status || row_number() over (order by id),"
        " 'surveyRun_' || id from survey_runs where user_id = $1 union all select 'boundary',"
        " 'boundary_' || id from boundaries where user_id = $1",
        circle.ada.user_id,
    )
    own = {
        "demographics": f"demographics_{circle.ada.user_id}",
        "user": f"user_{circle.ada.user_id}",
    }
    partners = await circle.owner.fetch(
        "select 'partner_' || id as id from partners where user_id = $1 union all"
        " select 'compatibility_' || connection_id from compatibilities where user_id = $1",
        circle.ada.user_id,
    )
    return (
        {row["name"]: row["id"] for row in rows}
        | own
        | {f"partner {n}": row["id"] for n, row in enumerate(partners)}
    )


async def test_ids_lead_to_no_more_than_that(ask: Ask, circle: Circle) -> None:
    known = await ids_of(circle)
    reachable = {
        "ALL": {"demographics", "profile 2", "boundary"},
        "OVERLAPPING": {"demographics"},
        "DEMOGRAPHICS": {"demographics"},
    }
    for name, reader in circle.readers.items():
        answer = await ask(NODES, {"ids": list(known.values())}, actor=reader)
        nodes = answer["data"]["nodes"]
        found = {key for key, node in zip(known, nodes, strict=True) if node is not None}
        assert found == reachable.get(name, set()), name
        if reader is not NOBODY:
            answer = await ask(FIND, {"id": known["profile 2"]}, actor=reader)
            matching = answer["data"]["viewer"]["partners"]["nodes"]
            assert len(matching) == (name == "ALL"), name


async def test_an_open_stream_shows_what_the_level_says_by_then(
    engine: Engine, services: Services, circle: Circle
) -> None:
    reader = circle.readers["ALL"]
    stream = Subscriber(engine, services.hub.subscribe, lambda: reader).stream(WATCH, {}, None)

    async def item() -> Any:
        async with asyncio.timeout(10):
            body = (await anext(stream)).body
        return orjson.loads(body)["data"]["partnersChanged"]["partner"]

    assert await item() is None
    for level in (*reversed(LEVELS), "OVERLAPPING"):
        await circle.share(circle.ada, reader, level)
        services.wake()
        partner = await item()
        assert partner["shared"] == level
        assert (told(partner), compared(partner)) == (SHOWN[level], COMPARED[level])
    # Two changes before the stream is read: what is shown is what may be read by then.
    await circle.share(circle.ada, reader, "ALL")
    partner_id = await circle.partner(circle.ada, reader)
    await circle.as_user(circle.ada, "select app.disconnect_partner($1)", partner_id)
    services.wake()
    for _ in range(2):
        assert told(await item()) == (None, None, {})
    await stream.aclose()


async def queued(circle: Circle) -> list[dict[str, UUID]]:
    """The comparisons with Ada that are in line; takes them out."""
    payloads = await circle.owner.fetch(
        "delete from queue.pgqueuer where entrypoint = 'compare_partners'"
        " and position($1::text in convert_from(payload, 'UTF8')) > 0"
        " returning convert_from(payload, 'UTF8')::jsonb as payload",
        str(circle.ada.user_id),
    )
    return [
        {name: UUID(value) for name, value in orjson.loads(row["payload"]).items()}
        for row in payloads
    ]


async def test_compatibility_follows_profiles_and_limits(
    ask: Ask, database: Database, services: Services, circle: Circle
) -> None:
    reader = circle.readers["OVERLAPPING"]
    await queued(circle)
    person = Person(ask, circle.ada)

    # A limit that is lifted: only the reader's is left.
    await person("bound", item="impact", kind="NONE")
    jobs = await queued(circle)
    assert {tuple(sorted((job["one"], job["other"]))) for job in jobs} == {
        tuple(sorted((circle.ada.user_id, circle.readers[level].user_id))) for level in LEVELS
    }
    for job in jobs:
        await compare_partners(database, services.wake, **job)
    (partner,) = await seen(ask, reader)
    assert partner["compatibility"]["conflicts"] == [
        {"limitKey": "impact", "isOwn": True, "itemIds": []}
    ]
    compared_at = partner["comparedAt"]
    await person("bound", item="B3a", kind="HARD")
    assert await queued(circle) == []

    # A new profile: what was made of the old one is gone, and comes anew.
    run = await circle.owner.fetchval(
        "select id from survey_runs where user_id = $1 and status = 'IN_PROGRESS'",
        circle.ada.user_id,
    )
    await person.save(f"surveyRun_{run}", full_answers(word="YES"))
    assert (await person("submit", run=f"surveyRun_{run}"))["errors"] == []
    (partner,) = await seen(ask, reader)
    assert partner["compatibility"] is None
    for job in await queued(circle):
        await compare_partners(database, services.wake, **job)
    (partner,) = await seen(ask, reader)
    found = partner["compatibility"]
    assert {(one["kind"], one["itemId"]) for one in found["overlaps"]} == {
        ("GROWTH", "B3a"),
        ("MUTUAL", "B3b"),
        ("MUTUAL", "B5a"),
    }
    assert partner["comparedAt"] > compared_at
    points = sum(one["points"] for one in found["breakdown"] if one["kind"] == "TOTAL")
    assert found["score"] == round(max(points, 0))
