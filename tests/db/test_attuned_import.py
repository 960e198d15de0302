"""Attuned's prototype comes once, whoever is interrupted how often, and every row is accounted for."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid1, uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.core.errors import DomainError
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.imports.attuned import rules, source
from db.imports.attuned.importing import (
    NOT_HERE,
    SURVEYED,
    AttunedOptions,
    AttunedReport,
    import_attuned,
)
from db.surveys.rules import ScoredItem
from settings import Settings
from tests import prototype as there
from tests.attuned import ITEMS, load_surveys

from ..auth.services import build
from ..conftest import MakeUser
from .rows import scratch_database

OPTIONS = AttunedOptions("ops@host")
SCORED = [
    ScoredItem(item["item_id"], item["kind"], options=item.get("options", ())) for item in ITEMS
]


@pytest.fixture
async def source_url(
    cluster: EmbeddedDatabase, database: Database, owner: asyncpg.Connection
) -> AsyncIterator[str]:
    """An empty prototype in a database of its own; the survey is here."""
    await load_surveys(owner)
    async with scratch_database(cluster, f"prototype_{uuid4().hex[:8]}") as url:
        yield url


@pytest.fixture
async def prototype(source_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that fills it."""
    connection = await asyncpg.connect(source_url)
    await connection.execute(there.TABLES)
    yield connection
    await connection.close()


@pytest.fixture
def bring(cluster: EmbeddedDatabase, source_url: str) -> Any:
    """Imports it."""

    async def run(
        tell: Callable[[str], None] = lambda _: None, options: AttunedOptions = OPTIONS
    ) -> AttunedReport:
        return await import_attuned(cluster.owner_url, source_url, options, tell)

    return run


def figures(report: AttunedReport, stage: str) -> tuple[int, int, int, list[str]]:
    """What became of a stage's rows; each is counted once."""
    done = report.stages[stage]
    assert done.read == done.imported + done.already_there + len(done.refused), stage
    return done.read, done.imported, done.already_there, [one.reason for one in done.refused]


async def test_an_anonymous_profile_becomes_a_guest_with_answers_scores_and_boundaries(
    prototype: asyncpg.Connection, bring: Any, owner: asyncpg.Connection
) -> None:
    session = str(uuid4())
    answers = there.submitted(A13=7, A15=7, A14=1, A16=1, B3a="N", C1=["hardBoundaryBreath"])
    await there.add_profile(
        prototype, "Ada", answers, session=session,
        power_dynamic={"orientation": "Top"}, boundaries={"hard_limits": ["hardBoundaryPublic"]},
    )  # fmt: skip
    report = await bring()
    assert figures(report, "profiles") == (1, 1, 0, [])
    assert (report.guests, report.differing_powers, report.asked_again) == (1, [], [])
    guest = rules.guest_id(session)
    assert await owner.fetchval("select is_anonymous from users where id = $1", guest)
    profile = await owner.fetchrow("select * from survey_profiles where user_id = $1", guest)
    assert (profile["power_orientation"], profile["version"]) == ("TOP", 1)
    assert profile["current_of"] == guest
    run = await owner.fetchrow("select * from survey_runs where id = $1", profile["run_id"])
    assert (run["survey_id"], run["status"]) == ("attuned-0.4", "SUBMITTED")
    assert run["answered_count"] == run["item_count"] == len(ITEMS)
    boundaries = {
        row["item_id"]: row["kind"]
        for row in await owner.fetch("select * from boundaries where user_id = $1", guest)
    }
    # Limits that the profile alone has count as well.
    assert {boundaries[name] for name in ("breath", "public", "B3a")} == {"HARD"}
    assert boundaries["B3b"] == "SOFT"
    said = await owner.fetchrow("select * from demographics where user_id = $1", guest)
    assert (said["name"], said["gender"], said["anatomy_self"]) == ("Ada", "WOMAN", ["vagina"])
    for table in ("survey_domain_scores", "survey_measures"):
        assert await owner.fetchval(f"select count(*) from {table} where user_id = $1", guest) > 4
    known = await owner.fetchval("select source from imported_users where user_id = $1", guest)
    assert known == "attuned"
    # Doing it again doubles nothing.
    again = await bring()
    assert figures(again, "profiles") == (1, 0, 1, [])
    assert again.guests == 0


async def test_members_are_those_who_are_here_and_what_they_have_said_here_stays(
    prototype: asyncpg.Connection, bring: Any, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    known, other, stranger = (await make_user()).user_id, (await make_user()).user_id, uuid4()
    for user_id in (known, other, stranger):
        await there.add(
            prototype, "users", id=user_id, display_name="There", has_penis=True, likes_vagina=True,
            profile_sharing_setting="all_responses" if user_id == known else "demographics_only",
        )  # fmt: skip
        await there.add_profile(prototype, str(user_id), there.submitted(), user_id=user_id)
    await there.add(prototype, "remembered_partners", user_id=known, partner_user_id=other)
    await there.add(prototype, "remembered_partners", user_id=other, partner_user_id=known)
    await there.add(prototype, "remembered_partners", user_id=known, partner_user_id=stranger)
    await there.add(prototype, "remembered_partners", user_id=known, partner_user_id=known)
    await there.add(prototype, "remembered_partners", user_id=None, partner_user_id=None)
    await owner.execute(
        "insert into demographics (user_id, name, gender, orientation, relationship, anatomy_self,"
        " anatomy_preference) values ($1, 'Here', 'MAN', 'GAY', 'OPEN', '{penis}', '{penis}')",
        known,
    )
    report = await bring()
    assert figures(report, "profiles") == (3, 2, 0, [NOT_HERE])
    # The profile had the anatomy of one of them already.
    assert figures(report, "demographics") == (3, 0, 2, [NOT_HERE])
    assert await owner.fetchval("select name from demographics where user_id = $1", known) == "Here"
    *counts, refused = figures(report, "partners")
    same = "both are the same person"
    assert (counts, sorted(refused)) == ([4, 1, 0], [same, same, NOT_HERE])
    sides = await owner.fetch(
        "select user_id, sharing, shared, status from partners where user_id = any ($1)",
        [known, other],
    )
    assert {tuple(side) for side in sides} == {
        (known, "ALL", "DEMOGRAPHICS", "CONNECTED"),
        (other, "DEMOGRAPHICS", "ALL", "CONNECTED"),
    }
    for user_id, level in ((known, "ALL"), (other, "DEMOGRAPHICS")):
        assert await owner.fetchval("select app.default_sharing($1)", user_id) == level
    await prototype.execute("update profiles set user_id = $1 where user_id = $2", other, stranger)
    assert figures(await bring(), "profiles") == (3, 0, 2, [SURVEYED])


async def test_who_has_not_finished_goes_on_where_they_stopped(
    prototype: asyncpg.Connection, bring: Any, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    member, session = (await make_user()).user_id, str(uuid4())
    await there.add(
        prototype, "survey_progress", user_id=member, status="in_progress",
        survey_version="0.4", answers={"A1": 6, "B1a": "Y", "B2a": "perhaps", "Z9": 1},
    )  # fmt: skip
    # A limit that nobody knows here must not be forgotten: the survey waits to be submitted again.
    number = await there.add_profile(
        prototype, "Eve", there.submitted(C1=["hardBoundaryBees"]), session=session
    )
    report = await bring()
    assert figures(report, "surveys in progress") == (1, 1, 0, [])
    assert report.asked_again == [f"profile {number}: hardBoundaryBees"]
    saved = {
        row["item_id"]: row["value"]
        for row in await owner.fetch("select * from survey_answers where user_id = $1", member)
    }
    assert saved == {"A1": "6", "B1a": '"YES"'}
    guest = rules.guest_id(session)
    found = "select status, answered_count from survey_runs where user_id = $1"
    assert tuple(await owner.fetchrow(found, guest)) == ("IN_PROGRESS", len(ITEMS))
    assert not await owner.fetchval(
        "select count(*) from survey_profiles where user_id = $1", guest
    )


async def test_games_come_with_players_turns_and_what_was_thought_of_them(
    prototype: asyncpg.Connection, bring: Any, owner: asyncpg.Connection
) -> None:
    word = uuid4().hex
    sessions = [str(uuid4()) for _ in range(2)]
    ada, bob = [
        await there.add_profile(
            prototype, name, there.submitted(), session=session,
            power_dynamic={"orientation": power},
        )
        for name, session, power in zip(
            ("Ada", "Bob"), sessions, ("Bottom", "Switch"), strict=True
        )
    ]  # fmt: skip
    script = {"steps": [{"actor": "A", "do": f"Say {word}."}, {"actor": "B", "do": "Listen."}]}
    activity = await there.add(
        prototype, "activities", type="dare", rating="G", intensity=1, script=script, tags=["Slow Talk"]
    )  # fmt: skip
    now = datetime.now(UTC)
    for key, days, status, others in (
        (f"{word} two", 1, "active", {"player_b_profile_id": bob}),
        (f"{word} over", 5, "completed", {"partner_anonymous_name": "\u202e Kim\n\x07\u2066"}),
        (f"{word} old", 100, "completed", {}),
    ):
        at = now - timedelta(days=days)
        await there.add(
            prototype, "sessions", session_id=key, player_a_profile_id=ada, rating="R",
            status=status, created_at=at, updated_at=at, **others,
        )  # fmt: skip
        await there.add(prototype, "session_activities", session_id=key, seq=0, type="card")
        await there.add(
            prototype, "session_activities", session_id=key, seq=1, activity_id=activity,
            type="dare", intensity=1, roles={"active_player": "B"},
        )  # fmt: skip
    for days, feedback in ((2, "like"), (3, "dislike"), (400, "like")):
        await there.add(
            prototype, "user_activity_history", anonymous_session_id=sessions[0],
            activity_id=activity, activity_type="dare", feedback_type=feedback,
            feedback_executed=True, presented_at=now - timedelta(days=days),
        )  # fmt: skip
    report = await bring()
    assert figures(report, "activities") == (1, 1, 0, [])
    assert report.differing_powers == [f"profile {ada}"]
    assert figures(report, "sessions") == (3, 2, 0, ["nobody has played it for 90 days"])
    assert figures(report, "history") == (3, 2, 0, ["it is older than a year"])
    made = rules.made_id("session", f"{word} two")
    session = await owner.fetchrow("select * from play_sessions where id = $1", made)
    assert (session["status"], session["turn_count"], session["level"]) == ("ACTIVE", 1, "R")
    players = await owner.fetch(
        "select user_id, status from play_players where session_id = $1 order by seat", made
    )
    assert [tuple(player) for player in players] == [
        (rules.guest_id(one), "JOINED") for one in sessions
    ]
    turn = await owner.fetchrow(
        "select t.*, p.seat from play_turns t join play_players p on p.id = t.player_id"
        " where t.session_id = $1",
        made,
    )
    stored = await owner.fetchrow("select * from activities where id = $1", turn["activity_id"])
    assert stored["text"] == f"{{active}}: Say {word}. {{partner}}: Listen."
    assert (turn["seat"], turn["theme"], turn["status"]) == (2, "slow-talk", "COMPLETED")
    # What is no turn leaves no gap: the next one that is played gets the number behind it.
    assert (turn["number"], session["turn_count"]) == (1, 1)
    over = rules.made_id("session", f"{word} over")
    status = await owner.fetchval("select status from play_sessions where id = $1", over)
    assert status == "ENDED"
    names = "select array_agg(name order by seat) from play_players where session_id = $1"
    assert await owner.fetchval(names, over) == ["Ada", "Kim"]
    liked = "select weight, shown_count from play_themes where user_id = $1"
    theme = await owner.fetchrow(liked, rules.guest_id(sessions[0]))
    assert (round(theme["weight"], 3), theme["shown_count"]) == (-0.01, 2)
    again = await bring()
    assert figures(again, "sessions")[1:3] == (0, 2)
    assert figures(again, "history")[1:3] == (0, 2)
    assert await owner.fetchrow(liked, rules.guest_id(sessions[0])) == theme


async def test_of_two_profiles_of_a_session_the_newer_is_taken(
    prototype: asyncpg.Connection, bring: Any, owner: asyncpg.Connection
) -> None:
    session = str(uuid4())
    for name, power in (("older", 1), ("newer", 7)):
        answers = there.submitted(A13=power, A15=power, A14=1, A16=1)
        await there.add_profile(prototype, f"{name} {session}", answers, session=session)
    assert figures(await bring(), "profiles") == (2, 1, 0, [SURVEYED])
    stored = "select power_orientation from survey_profiles where user_id = $1"
    assert await owner.fetchval(stored, rules.guest_id(session)) == "TOP"
    assert figures(await bring(), "profiles") == (2, 0, 1, [SURVEYED])


async def test_how_two_fit_is_compared_with_what_was_stored(
    prototype: asyncpg.Connection, bring: Any
) -> None:
    powers = ({"A13": 7, "A15": 7, "A14": 1, "A16": 1}, {"A13": 1, "A15": 1, "A14": 7, "A16": 7})
    top, bottom, none = [
        await there.add_profile(prototype, str(uuid4()), answers, session=str(uuid4()))
        for answers in (*(there.submitted(**power) for power in powers), {})
    ]
    # Of five shows nobody is asked whether they watch three: their section is 0.46, the others are 1.
    exact = round(100 * (0.15 + 0.25 + 0.40 * 5.46 / 6 + 0.15 * 0.5 + 0.02))
    for pair, score in (((top, bottom), exact), ((top, none), 1), ((bottom, top), exact - 6)):
        await there.add(
            prototype, "compatibility_results", player_a_id=pair[0], player_b_id=pair[1],
            overall_percentage=score,
        )  # fmt: skip
    report = await bring()
    assert report.compared == 2
    assert report.differing_fits == [f"profiles {bottom} and {top}: {exact} %, was {exact - 6} %"]


async def test_an_import_that_was_interrupted_goes_on(
    prototype: asyncpg.Connection,
    bring: Any,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "BATCH_ROWS", 2)
    sessions = [str(uuid4()) for _ in range(5)]
    for session in sessions:
        await there.add_profile(prototype, session, there.submitted(), session=session)
    await prototype.execute("update profiles set survey_version = '0.3' where id = 3")

    class Interrupted(Exception):
        pass

    def interrupt(line: str) -> None:
        if line.startswith("profiles: 2 "):
            raise Interrupted

    with pytest.raises(Interrupted):
        await bring(interrupt)
    guests = [rules.guest_id(session) for session in sessions]
    count = "select count(*) from survey_profiles where user_id = any ($1)"
    assert await owner.fetchval(count, guests) == 2
    report = await bring()
    assert figures(report, "profiles") == (
        5, 2, 2, ["its survey is of version 0.3, and here is 0.4 alone"],
    )  # fmt: skip
    assert await owner.fetchval(count, guests) == 4


async def test_a_guest_comes_back_with_the_id_that_their_device_has(
    prototype: asyncpg.Connection,
    bring: Any,
    database: Database,
    owner: asyncpg.Connection,
    settings: Settings,
) -> None:
    random, guessed = str(uuid4()), str(uuid1())
    for session in (random, guessed):
        await there.add_profile(prototype, session, there.submitted(), session=session)
    await bring(options=AttunedOptions("ops@host", guest_days=90))
    await bring(options=AttunedOptions("ops@host", guest_days=90))
    assert rules.first_token(guessed) is None
    token = rules.first_token(random.upper())
    assert token is not None
    accounts = build(database, settings).accounts
    signed_in = await accounts.refresh(token)
    assert signed_in.user_id == rules.guest_id(random)
    opened = "select count(*) from sessions where user_id = $1"
    assert await owner.fetchval(opened, rules.guest_id(guessed)) == 0


async def _command(*arguments: object, status: int = 0) -> str:
    given = ["import", "attuned", *map(str, arguments)]
    runner = CliRunner(env={"COLUMNS": "160"})
    done = await asyncio.to_thread(runner.invoke, app, given)
    assert done.exit_code == status, done.output
    return done.output


async def test_the_command_tries_then_backs_up_imports_and_reports(
    prototype: asyncpg.Connection, source_url: str, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    session = str(uuid4())
    await there.add_profile(prototype, "Ada", there.submitted(), session=session)
    await there.add_profile(prototype, "Bob", {}, session=str(uuid4()))
    backup, refused = tmp_path / "backup", tmp_path / "refused.csv"
    given = ("--from", source_url, "--backup", backup, "--report", refused)
    tried = await _command(*given, "--dry-run")
    assert "nothing was written" in tried
    guest = rules.guest_id(session)
    assert not await owner.fetchval("select count(*) from users where id = $1", guest)
    assert not backup.exists()
    done = await _command(*given)
    assert await owner.fetchval("select count(*) from users where id = $1", guest) == 1
    for text in (tried, done):
        line = next(line for line in text.splitlines() if line.strip().startswith("profiles "))
        assert line.split()[1:] == ["2", "1", "0", "1"]
    with refused.open() as file:
        assert list(csv.reader(file))[1:] == [["profile 2", "nothing was submitted for it"]]
    with (backup / "profiles.csv").open() as file:
        assert next(csv.DictReader(file))["anonymous_session_id"] == session
    assert len((backup / source.MANIFEST).read_text().splitlines()) == 10
    assert (backup.stat().st_mode & 0o777) == 0o700
    assert "is there already" in await _command(*given, status=1)
    assert "no URL" in await _command("--from", "nowhere", status=1)


async def test_a_database_that_is_no_prototype_is_refused(source_url: str, bring: Any) -> None:
    with pytest.raises(DomainError, match="search_path"):
        await bring()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"A1": 7, "A2": "3", "A3": 2.0}, {"A1": 7, "A2": 3, "A3": 2}),
        ({"A1": 0, "A2": 8, "A3": None, "A4": "many", "A5": 2.5}, {}),
        ({"B1a": "Y", "B1b": "m", "B2a": " no ", "B2b": 1}, {"B1a": "YES", "B1b": "MAYBE", "B2a": "NO"}),
        ({"C1": []}, {"C1": []}),
        ({"C1": ["hardBoundaryImpact", "hardBoundaryAnal"]}, {"C1": ["anal", "impact"]}),
        ({"C1": ["hardBoundaryImpact", "hardBoundaryBees"]}, {"C1": ["impact"]}),
        ({"answers": {"A1": 1}}, {"A1": 1}),
        ('{"answers": {"A1": 1}}', {"A1": 1}),
        ("no JSON", {}),
        (None, {}),
    ],
)  # fmt: skip
def test_what_counts_as_an_answer(given: Any, wanted: dict[str, Any]) -> None:
    assert rules.answers_of(SCORED, given).values == wanted


@pytest.mark.parametrize(
    "boundaries",
    [
        {"hard_limits": ["hardBoundaryAnal"]},
        {"hardLimits": ["hardBoundaryAnal"]},
        ["hardBoundaryAnal"],
        '{"hard_limits": ["hardBoundaryAnal"]}',
        '["hardBoundaryAnal"]',
        {"hard_limits": {"hardBoundaryAnal": True, "hardBoundaryImpact": False}},
        {"hard_limits": "hardBoundaryAnal"},
        {"hardBoundaryAnal": True},
    ],
)
def test_limits_of_the_profile_count_however_they_are_written(boundaries: Any) -> None:
    taken = rules.answers_of(SCORED, {"C1": ["hardBoundaryImpact"]}, boundaries)
    assert taken.values == {"C1": ["anal", "impact"]}


@pytest.mark.parametrize("answers", [{}, {"C1": None}, {"C1": []}])
def test_limits_of_the_profile_count_where_none_was_checked(answers: dict[str, Any]) -> None:
    taken = rules.answers_of(SCORED, answers, {"hard_limits": ["hardBoundaryAnal"]})
    assert (taken.values, taken.unknown_limits) == ({"C1": ["anal"]}, ())


@pytest.mark.parametrize(
    ("checked", "limits", "unknown"),
    [
        ("hardBoundaryAnal", ["anal"], ()),
        ({"hardBoundaryAnal": True, "hardBoundaryImpact": False}, ["anal"], ()),
        ({"hardBoundaryAnal": "often"}, [], (rules.UNREADABLE,)),
        ([{"key": "hardBoundaryAnal"}], [], (rules.UNREADABLE,)),
        (["anal"], [], ("anal",)),
        (3, [], (rules.UNREADABLE,)),
    ],
)
def test_a_limit_is_never_passed_over_for_how_it_is_written(
    checked: Any, limits: list[str], unknown: tuple[str, ...]
) -> None:
    taken = rules.answers_of(SCORED, {"C1": checked})
    assert (taken.values, taken.unknown_limits) == ({"C1": limits}, unknown)


def test_every_limit_of_the_prototype_is_one_of_the_survey() -> None:
    (limits,) = [item.options for item in SCORED if item.kind == "CHECKLIST"]
    assert sorted(rules.LIMITS.values()) == sorted(limits)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"hard_boundaries": ["hardBoundaryBees"]}, "a limit that is not known"),
        ({"type": "song"}, "kind must be"),
        ({"intensity": 9}, "intensity must be"),
        ({"script": {"steps": []}}, "text must be"),
        ({"script": {"steps": [{"actor": "A", "do": "Kiss {name}."}]}}, "placeholders"),
    ],
)
def test_an_activity_that_would_be_drawn_wrongly_is_not_taken(
    changed: dict[str, Any], problem: str
) -> None:
    row = {
        "activity_id": 1, "type": "truth", "rating": "R", "intensity": 2, "tags": [],
        "script": {"steps": [{"actor": "A", "do": "Tell."}]}, "domains": ["sensual", "edge"],
        "hard_boundaries": ["hardBoundaryImpact"], "required_bodyparts": {"active": ["penis"]},
        "audience_scope": "groups", "power_role": "top",
    }  # fmt: skip
    activity, _ = rules.activity_of(row)
    assert activity is not None
    assert (activity["domains"], activity["limit_keys"]) == (["SENSATION"], ["impact"])
    assert (activity["needs_anatomy_active"], activity["audience"]) == (["penis"], "GROUPS")
    refused, reason = rules.activity_of(row | changed)
    assert refused is None
    assert problem in reason


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"has_penis": True, "likes_breasts": True, "display_name": " Ada "}, "Ada"),
        ({"has_penis": True, "likes_breasts": True}, None),
        ({"has_penis": True, "display_name": "Ada"}, None),
        ({"likes_breasts": True, "display_name": "Ada"}, None),
    ],
)
def test_demographics_are_complete_or_none(row: dict[str, Any], wanted: str | None) -> None:
    found = rules.demographics_of_user({**row, "demographics": {"gender": "non-binary"}})
    assert (found and found["name"]) == wanted
    assert found is None or found["gender"] == "NON_BINARY"


def test_a_guests_id_does_not_tell_the_session() -> None:
    session = uuid4()
    made = rules.guest_id(session)
    assert made == rules.guest_id(str(session).upper())
    assert UUID(str(made)) != session
