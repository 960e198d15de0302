"""Admins change the bank, each change noted once; players have an AI asked for more, within limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.activities.importing import import_activities
from db.activities.rules import activity_uid
from db.core.actor import Actor
from db.embedded.database import EmbeddedDatabase

from ..conftest import MakeUser
from .conftest import Ask
from .play_errors import AI_WRITES
from .playing import Play, codes, key
from .test_catalog_editing import noted, send

FIELDS = """id kind level intensity text themes audience limitKeys needsAnatomyActive needsAnatomyPartner
  powerRole preferenceKeys domains source isActive"""
JOBS = """
select convert_from(payload, 'UTF8')::json ->> 'number' from queue.pgqueuer
where entrypoint = 'write_activities' and dedupe_key like 'activities:' || $1 || ':%' order by id
"""
REQUEST = """mutation($id: ID!, $key: String) { answer: requestActivities(input: {
  sessionId: $id, idempotencyKey: $key}) { playSession { id } errors { code } } }"""


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    return actor


def new(**changes: Any) -> dict[str, Any]:
    """An activity that nobody has."""
    return {
        "kind": "DARE",
        "level": "R",
        "intensity": 2,
        "text": f"Say {uuid4()} to {{partner}}.",
        "themes": ["words"],
    } | changes


async def saved(ask: Ask, admin: Actor, name: str, given: dict[str, Any]) -> Any:
    return await send(ask, admin, name, given, f"activity {{ {FIELDS} }}")


async def test_an_activity_is_added_changed_and_switched_off_and_noted_once_each(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    given = new(limitKeys=["impact"], preferenceKeys=["B3a"], audience="GROUPS")
    for _ in range(2):
        added = await saved(ask, admin, "createActivity", given)
        assert added["errors"] == []
        activity = added["activity"]
        assert activity | given == activity
        assert (activity["source"], activity["isActive"]) == ("ADMIN", True)
    known = {"id": activity["id"]}
    steps = (
        ("updateActivity", {"level": "X", "needsAnatomyActive": ["penis"]}),
        ("removeActivity", {}),
        ("updateActivity", {"isActive": True}),
    )
    for name, changes in steps:
        for _ in range(2):
            payload = await saved(ask, admin, name, known | changes)
            activity |= changes | ({"isActive": False} if name == "removeActivity" else {})
            assert payload == {"activity": activity, "errors": []}
    entries = await noted(owner, admin)
    assert [action for action, _ in entries] == [
        "save_in_catalog", "save_in_catalog", "remove_from_catalog", "save_in_catalog",
    ]  # fmt: skip
    assert {entry["table"] for _, entry in entries} == {"activities"}
    page = await ask(f"{{ activities(first: 100) {{ nodes {{ {FIELDS} }} }} }}", actor=admin)
    assert activity in page["data"]["activities"]["nodes"]


async def test_one_that_is_there_is_changed_by_adding_it_again(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    given = new()
    first = (await saved(ask, admin, "createActivity", given))["activity"]
    again = (await saved(ask, admin, "createActivity", given | {"level": "G"}))["activity"]
    assert again == first | {"level": "G"}


@pytest.mark.parametrize(
    ("name", "changes", "fields"),
    [
        ("createActivity", {"intensity": 6, "themes": [], "text": "Tell {me}."},
         ["intensity", "text", "themes"]),
        ("createActivity", {"limitKeys": ["bees"], "domains": ["FUN"], "preferenceKeys": ["Z1"]},
         ["domains", "limitKeys", "preferenceKeys"]),
        ("createActivity", {"audience": None}, ["audience"]),
        ("updateActivity", {"level": None, "isActive": None, "intensity": 0},
         ["intensity", "isActive", "level"]),
        ("updateActivity", {"needsAnatomyPartner": ["tail"]}, ["needsAnatomyPartner"]),
    ],
)  # fmt: skip
async def test_every_problem_is_told_at_its_place_and_nothing_is_written(
    ask: Ask,
    owner: asyncpg.Connection,
    admin: Actor,
    name: str,
    changes: dict[str, Any],
    fields: list[str],
) -> None:
    known = new() if name == "createActivity" else {"id": "activity_none"}
    payload = await saved(ask, admin, name, known | changes)
    assert payload["activity"] is None
    assert sorted(error["path"][1] for error in payload["errors"]) == fields
    assert await noted(owner, admin) == []


async def test_importing_it_again_leaves_what_an_admin_has_set(
    ask: Ask, admin: Actor, cluster: EmbeddedDatabase, tmp_path: Path
) -> None:
    given = new()
    file = tmp_path / "bank.json"
    file.write_text(json.dumps([given]))

    async def imported() -> tuple[int, int]:
        report = await import_activities(cluster.owner_url, file, replaces=False, is_dry_run=False)
        return report.added, report.changed

    assert await imported() == (1, 0)
    known = {"id": f"activity_{activity_uid(given['kind'], given['text'])}"}
    activity = (await saved(ask, admin, "updateActivity", known | {"level": "X"}))["activity"]
    await saved(ask, admin, "removeActivity", known)
    assert await imported() == (0, 0)
    file.write_text(json.dumps([given | {"intensity": 3, "level": "G"}]))
    assert await imported() == (0, 1)
    found = (await saved(ask, admin, "removeActivity", known))["activity"]
    assert found == activity | {"intensity": 3, "isActive": False}


async def test_admins_see_what_an_ai_was_asked(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    prompt = f"Write {uuid4()}."
    await owner.execute(
        "insert into activity_generation_logs (session_id, provider, model, level, prompt, outcome,"
        " duration_milliseconds, reasons) values ($1, 'gemini', 'm', 'R', $2, 'TIMED_OUT', 30000,"
        """ '[{"place": 0}]')""",
        uuid4(), prompt,
    )  # fmt: skip
    page = """{ activityGenerationLogs(first: 100) { nodes { prompt answer outcome level reasons
      approvedCount durationMilliseconds } } }"""
    nodes = (await ask(page, actor=admin))["data"]["activityGenerationLogs"]["nodes"]
    (found,) = [node for node in nodes if node["prompt"] == prompt]
    assert found == {
        "prompt": prompt, "answer": None, "outcome": "TIMED_OUT", "level": "R",
        "reasons": [{"place": 0}], "approvedCount": 0, "durationMilliseconds": 30000,
    }  # fmt: skip


@pytest.fixture
async def play(ask: Ask, owner: asyncpg.Connection) -> AsyncIterator[Play]:
    """Who plays where an AI writes."""
    await owner.execute(AI_WRITES, 5)
    yield Play(ask, owner)
    await owner.execute("update play_rules set written_activities = 0")


async def jobs(play: Play, session: str) -> list[str]:
    """The requests of a session that wait to be made."""
    return [row[0] for row in await play.owner.fetch(JOBS, str(key(session)))]


async def test_an_ai_is_asked_when_a_session_begins_and_when_players_want_more(
    play: Play, ask: Ask, make_user: MakeUser
) -> None:
    one, two = await make_user(), await make_user()
    alone = (await play("start", one, level="G"))["playSession"]["id"]
    assert await jobs(play, alone) == ["1"]
    for _ in range(2):
        asked = await ask(REQUEST, {"id": alone, "key": "k"}, actor=one)
        assert asked["data"]["answer"] == {"playSession": {"id": alone}, "errors": []}
    assert await jobs(play, alone) == ["1", "2"]
    for refused in ([], ["LIMIT_EXCEEDED"]):
        answer = (await ask(REQUEST, {"id": alone}, actor=one))["data"]["answer"]
        assert [error["code"] for error in answer["errors"]] == refused
    assert await jobs(play, alone) == ["1", "2", "3"]
    # One of a pair: not before the other has confirmed.
    await play.owner.execute("select app.connect_partners($1, $2)", one.user_id, two.user_id)
    partner = await play.owner.fetchval("select id from partners where user_id = $1", one.user_id)
    given = [{"partnerId": f"partner_{partner}"}]
    paired = (await play("start", one, level="R", players=given))["playSession"]["id"]
    assert await jobs(play, paired) == []
    assert codes(await play("confirm", two, id=paired)) == []
    assert await jobs(play, paired) == ["1"]


async def test_guests_alone_and_who_asks_all_day_have_no_ai_asked(
    play: Play, ask: Ask, make_user: MakeUser
) -> None:
    guest, member = await make_user(), await make_user()
    await play.owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        guest.user_id,
    )
    of_guest = (await play("start", guest, level="G"))["playSession"]["id"]
    assert await jobs(play, of_guest) == []
    started = [(await play("start", member, level="G"))["playSession"]["id"] for _ in range(10)]
    await play.owner.execute(
        "update play_sessions set asked_count = 2 where id = any($1)",
        [key(one) for one in started],
    )
    late = (await play("start", member, level="G"))["playSession"]["id"]
    assert await jobs(play, late) == []
    for actor, session in ((guest, of_guest), (member, late)):
        answer = (await ask(REQUEST, {"id": session}, actor=actor))["data"]["answer"]
        assert [error["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]
