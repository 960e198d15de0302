"""An AI writes activities for a session: what it is told, what is kept, and what is logged of each try."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.activities.operations import asked_activities
from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import Storage
from jobs.activities import TIMEOUT_SECONDS, write_activities
from jobs.core.declare import RetryLater, WorkerServices
from jobs.play import note_play_rules
from jobs.providers import choose_providers
from jobs.providers.activity_prompt import activity_prompt
from settings import Settings

from ..attuned import load_surveys, onboard
from ..conftest import MakeUser
from ..db.test_written_activities import ENTRY
from ..fakes.gemini import ANALYSIS_MODEL, FakeGemini
from .helpers import MakeSettings

COST = 500 * 0.30 + (200 + 300) * 2.50
LOGS = "select * from activity_generation_logs where session_id = $1 order by created_at, id"
LETTERS = str.maketrans("0123456789", "ghijklmnop")
KEPT = "select * from activities where session_id = $1 order by text"


class Writing:
    """A session of two users for which an AI is asked."""

    def __init__(self, owner: asyncpg.Connection, services: WorkerServices) -> None:
        self.owner, self.services = owner, services
        self.session: UUID

    async def begin(self, *actors: Actor, level: str = "R") -> None:
        """Starts it, where all have agreed."""
        await onboard(self.owner, *(actor.user_id for actor in actors), limits=False)
        self.session = await self.owner.fetchval(
            "insert into play_sessions (level, status, turn_player_id)"
            " values ($1, 'ACTIVE', app.uuid_v7()) returning id",
            level,
        )
        for seat, actor in enumerate(actors, start=1):
            await self.owner.execute(
                "insert into play_players (session_id, user_id, seat, name, anatomy, status)"
                " values ($1, $2, $3, $4, $5, 'JOINED')",
                self.session, actor.user_id, seat, f"Secret name {seat}", ["penis"],
            )  # fmt: skip

    async def boundary(self, actor: Actor, item: str, kind: str) -> None:
        """A boundary of a user's."""
        await self.owner.execute(
            "insert into boundaries (user_id, item_id, kind, source) values ($1, $2, $3, 'SET')",
            actor.user_id, item, kind,
        )  # fmt: skip

    async def write(self, number: int = 1) -> bool:
        """One try; whether another one is due."""
        try:
            await write_activities(self.services, session_id=self.session, number=number)
        except RetryLater:
            return True
        return False

    async def logged(self) -> list[asyncpg.Record]:
        return await self.owner.fetch(LOGS, self.session)

    async def kept(self) -> list[asyncpg.Record]:
        return await self.owner.fetch(KEPT, self.session)


@pytest.fixture
async def writing(
    owner: asyncpg.Connection, database: Database, storage: Storage, with_gemini: MakeSettings
) -> AsyncIterator[Writing]:
    settings = with_gemini(activities_by_ai=4)
    services = WorkerServices(database, storage, choose_providers(settings), lambda: None, settings)
    await note_play_rules(database, services.providers, settings)
    yield Writing(owner, services)
    await owner.execute("update play_rules set written_activities = 0")


def dare(**changes: Any) -> dict[str, Any]:
    """An entry that nobody has seen."""
    word = uuid4().hex[:8].translate(LETTERS)
    return ENTRY | {"steps": [f"Say {word} aloud to {{partner}}."]} | changes


def says(*entries: Any) -> str:
    return "says " + json.dumps({"activities": list(entries)})


async def test_what_passes_is_kept_for_the_session_alone_and_logged(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser
) -> None:
    one, two = await make_user(), await make_user()
    await writing.begin(one, two)
    await writing.boundary(one, "impact", "HARD")
    await writing.boundary(two, "B4a", "SOFT")
    good, limit, item = dare(), dare(limit_keys=["impact"]), dare(preference_keys=["B4a"])
    gemini.script[:] = [says(good, limit, item, dare(level="X"))]
    assert await writing.write() is False
    (kept,) = await writing.kept()
    assert (kept["text"], kept["source"], kept["is_active"]) == (good["steps"][0], "AI", True)
    (log,) = await writing.logged()
    assert (log["provider"], log["model"], log["outcome"]) == ("gemini", ANALYSIS_MODEL, "ANSWERED")
    assert (log["approved_count"], log["refused_count"], log["level"]) == (1, 3, "R")
    told = [one["problems"][0].partition(":")[0] for one in json.loads(log["reasons"])]
    assert told == ["limit_keys", "preference_keys", "level"]
    assert log["cost_micro_usd"] == round(COST)
    assert json.loads(log["usage"])["inputTokens"] == 500
    (asked,) = gemini.asked
    assert asked.text == log["prompt"]
    for secret in ("Secret name", str(one.user_id), str(two.user_id), str(writing.session)):
        assert secret not in log["prompt"]
    config = asked.body["generationConfig"]
    assert (config["temperature"], config["candidateCount"]) == (0.6, 1)
    entry = config["responseJsonSchema"]["properties"]["activities"]["items"]
    assert entry["properties"]["level"]["enum"] == ["G", "R"]
    # Done again, as after a crash, it asks nobody.
    assert await writing.write() is False
    assert len(gemini.asked) == 1


TRIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nothing of it passes": ((says(dare(level="X")),), ("ANSWERED",) * 3),
    "no list": (("says {}",), ("ANSWERED",) * 3),
    "half of it": ((says(dare())[:-9],), ("ANSWERED",) * 3),
    "a sign that no text has": (("says \0",), ("ANSWERED",) * 3),
    "half a sign": (("says \ud800",), ("ANSWERED",) * 3),
    "odd names": (('says {"activities": [{"a\\u0000\\ud800": 1}]}',), ("ANSWERED",) * 3),
    "too busy": (("too many",), ("FAILED",) * 3),
    "no JSON": (("no JSON",), ("FAILED",) * 3),
    "blocked": (("prompt blocked",), ("REFUSED",)),
    "a wrong key": (("wrong key",), ("FAILED",)),
    "busy for an hour": (("too many for an hour",), ("FAILED",)),
}


@pytest.mark.parametrize("name", TRIES)
async def test_what_fails_is_logged_and_tried_three_times_where_that_may_help(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser, name: str
) -> None:
    script, outcomes = TRIES[name]
    await writing.begin(await make_user(), await make_user())
    gemini.otherwise = script[0]
    for _ in range(5):
        if not await writing.write():
            break
    assert [log["outcome"] for log in await writing.logged()] == list(outcomes)
    assert len(gemini.asked) == len(outcomes)
    assert await writing.kept() == []


async def test_a_second_try_may_pass_and_each_request_has_its_own(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser
) -> None:
    await writing.begin(await make_user(), await make_user())
    gemini.script[:] = ["overloaded", says(dare()), says(dare(), dare())]
    assert await writing.write() is True
    assert await writing.write() is False
    assert await writing.write(2) is False
    assert [log["approved_count"] for log in await writing.logged()] == [0, 1, 2]
    assert len(await writing.kept()) == 3


async def test_what_is_known_already_is_not_kept_again(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser
) -> None:
    known = dare()
    for _ in range(2):
        await writing.begin(await make_user(), await make_user())
        gemini.script[:] = [says(known, dare())]
        await writing.write()
    (log,) = await writing.logged()
    assert (log["approved_count"], log["refused_count"]) == (1, 1)


async def test_a_silent_provider_is_left_after_its_time(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TIMEOUT_SECONDS == 30
    monkeypatch.setattr("jobs.activities.TIMEOUT_SECONDS", 0.3)
    await writing.begin(await make_user(), await make_user())
    gemini.script[:] = ["never"]
    assert await writing.write() is True
    assert [log["outcome"] for log in await writing.logged()] == ["TIMED_OUT"]


async def test_nothing_under_a_closed_limit_is_in_the_prompt(
    writing: Writing, make_user: MakeUser
) -> None:
    await load_surveys(writing.owner)
    one, two = await make_user(), await make_user()
    await writing.begin(one, two)
    await writing.boundary(one, "restraint", "HARD")
    await writing.boundary(two, "B9a", "SOFT")
    asked = await asked_activities(writing.services.database, writing.session, 1, 3)
    assert asked is not None
    assert asked.limits["B16b"] == ["restraint"]
    asked = replace(
        asked, items={key: f"Item {key}" for key in ("B1a", "B9a", "B9b", *asked.limits)}
    )
    named = activity_prompt(asked).partition("Items:")[2]
    for item in ("B15a", "B15b", "B16a", "B16b", "B9a", "B9b"):
        assert f"{item}:" not in named
    assert "B1a:" in named
    wanted = replace(asked, wanted=("B16a", "B9b", "B1a"))
    assert "open to: Item B1a." in activity_prompt(wanted)


async def test_nobody_is_asked_for_a_session_that_is_over_or_without_a_key(
    writing: Writing,
    gemini: FakeGemini,
    make_user: MakeUser,
    settings: Settings,
    database: Database,
    storage: Storage,
) -> None:
    await writing.begin(await make_user(), await make_user())
    offline = WorkerServices(database, storage, choose_providers(settings), lambda: None, settings)
    await write_activities(offline, session_id=writing.session, number=1)
    await writing.owner.execute(
        "update play_sessions set status = 'ENDED', ended_at = now() where id = $1",
        writing.session,
    )
    assert await writing.write() is False
    assert gemini.asked == []
    await note_play_rules(database, offline.providers, settings)
    assert await writing.owner.fetchval("select app.written_activities()") == 0


async def test_nobody_is_asked_while_ai_is_switched_off(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser
) -> None:
    await writing.begin(await make_user(), await make_user())
    await writing.owner.execute("update switches set ai_enabled = false")
    try:
        assert await writing.write() is False
    finally:
        await writing.owner.execute("update switches set ai_enabled = true")
    assert (gemini.asked, await writing.logged()) == ([], [])
    await writing.write()
    assert len(gemini.asked) == 1


async def test_a_minutes_calls_are_counted_with_those_for_pictures(
    writing: Writing, gemini: FakeGemini, make_user: MakeUser, with_gemini: MakeSettings
) -> None:
    settings = with_gemini(activities_by_ai=4, gemini_calls_per_minute=1)
    writing.services = WorkerServices(
        writing.services.database,
        writing.services.storage,
        choose_providers(settings),
        lambda: None,
        settings,
    )
    gemini.otherwise = says(dare())
    for due in (False, True):
        await writing.begin(await make_user(), await make_user())
        assert await writing.write() is due
    assert await writing.logged() == []
