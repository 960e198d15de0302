"""Surveys through the API: begun, saved from two devices, submitted, edited, given up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from jobs.surveys import end_stale_surveys

from ..attuned import SURVEY, full_answers, onboard, short_answers
from ..conftest import MakeUser
from .conftest import Ask

RUN = "surveyRun { id status form itemCount answeredCount answers { itemId value score } }"
PROFILE = """surveyProfile { id version isCurrent archetype archetypes isBalanced tags powerOrientation
  power { orientation confidence level topPercent } domainScores { domain score }
  radar { domain labelKey score angle x y } bars { measure labelKey score level }
  boundaries { itemId kind source } survey { version } run { id answers { itemId } } }"""
CALLS = {
    "start": f"""mutation($survey: ID!, $form: SurveyForm!) {{
      answer: startSurvey(input: {{surveyId: $survey, form: $form}}) {{
        {RUN} errors {{ code path }} }} }}""",
    "save": f"""mutation($run: ID!, $answers: [SurveyAnswerInput!]!, $key: String!) {{
      answer: saveSurveyAnswers(input: {{runId: $run, answers: $answers, idempotencyKey: $key}}) {{
        {RUN} errors {{ code path message }} }} }}""",
    "submit": f"""mutation($run: ID!) {{ answer: submitSurvey(input: {{runId: $run}}) {{
      {PROFILE} viewer {{ onboarding {{ isPersonalized }} surveyProfile {{ id }} }}
      errors {{ code path message }} }} }}""",
    "abandon": f"""mutation($run: ID!) {{ answer: abandonSurvey(input: {{runId: $run}}) {{
      {RUN} errors {{ code path }} }} }}""",
    "bound": """mutation($item: String!, $kind: BoundaryKind!) {
      answer: setBoundary(input: {itemId: $item, kind: $kind}) {
        boundary { itemId kind source } errors { code path } } }""",
    "see": f"""{{ answer: viewer {{ {PROFILE} boundaries {{ itemId kind source }} }} }}""",
    "history": """{ answer: viewer {
      surveyProfiles(first: 30) { nodes { version isCurrent } } surveyRuns(first: 30) { nodes { id status } } } }""",
    "versions": """{ answer: viewer {
      surveyProfiles(first: 3) { nodes { version isCurrent boundaries { itemId } } } } }""",
    "answers": """query($run: ID!) { answer: node(id: $run) {
      ... on SurveyRun { answers { itemId value } } } }""",
    "surveys": """{ answer: surveys { id version isActive titleKey
      items { itemId kind side textKey options isShort isRequired } } }""",
}


@dataclass
class Person:
    """Asks as one user, on however many devices."""

    ask: Ask
    actor: Actor

    async def __call__(self, call: str, **variables: Any) -> Any:
        """The answer of a call."""
        answer = await self.ask(CALLS[call], variables, actor=self.actor)
        assert "errors" not in answer, answer
        return answer["data"]["answer"]

    async def start(self, form: str = "SHORT", survey: str = SURVEY) -> Any:
        """The run that is begun or gone on with."""
        payload = await self("start", survey=survey, form=form)
        assert payload["errors"] == []
        return payload["surveyRun"]

    async def save(self, run: str, answers: list[dict[str, Any]], key: str = "") -> Any:
        """The payload of a batch."""
        return await self("save", run=run, answers=answers, key=key or str(uuid4()))

    async def submitted(self, answers: list[dict[str, Any]], form: str = "SHORT") -> Any:
        """The profile of a run with these answers."""
        run = await self.start(form)
        assert (await self.save(run["id"], answers))["errors"] == []
        payload = await self("submit", run=run["id"])
        assert payload["errors"] == []
        return payload["surveyProfile"]

    async def answers(self, run: str) -> dict[str, Any]:
        """What is saved in a run."""
        found = await self("answers", run=run)
        return {one["itemId"]: one["value"] for one in found["answers"]}


async def newly(ask: Ask, owner: asyncpg.Connection, actor: Actor) -> Person:
    """Somebody who has agreed to the documents, where there is a survey."""
    await onboard(owner, actor.user_id, limits=False)
    return Person(ask, actor)


@pytest.fixture
async def person(ask: Ask, make_user: MakeUser, owner: asyncpg.Connection) -> Person:
    return await newly(ask, owner, await make_user())


async def test_everybody_reads_the_surveys(ask: Ask, person: Person) -> None:
    answer = await ask(CALLS["surveys"])
    (survey,) = [one for one in answer["data"]["answer"] if one["id"] == f"survey_{SURVEY}"]
    assert (survey["version"], survey["isActive"], len(survey["items"])) == ("0.4", True, 75)
    assert survey["items"][0]["itemId"] == "A1"
    assert survey["items"][-1]["options"][0] == "impact"


async def test_a_short_survey_makes_a_profile_that_is_ready_to_plot(person: Person) -> None:
    run = await person.start()
    assert (run["status"], run["itemCount"], run["answeredCount"]) == ("IN_PROGRESS", 13, 0)
    given = short_answers(A13=7, A14=1, B20="YES", B24a="NO", B24b="NO", C1=["impact"])
    saved = (await person.save(run["id"], given))["surveyRun"]
    assert saved["answeredCount"] == 13
    payload = await person("submit", run=f"{run['id']}")
    profile = payload["surveyProfile"]
    assert payload["viewer"] == {
        "onboarding": {"isPersonalized": True},
        "surveyProfile": {"id": profile["id"]},
    }
    assert profile["version"] == 1
    assert profile["power"] == {
        "orientation": "TOP", "confidence": 1.0, "level": "VERY_HIGH", "topPercent": 100,
    }  # fmt: skip
    domains = {one["domain"]: one["score"] for one in profile["domainScores"]}
    assert domains == {
        "SENSATION": 50, "POWER": 50, "CONNECTION": 100, "EXPLORATION": 0, "VERBAL": 100,
    }  # fmt: skip
    assert [(p["domain"], p["angle"], p["x"], p["y"]) for p in profile["radar"]] == [
        ("SENSATION", 0, 0, -0.5), ("POWER", 72, 0.4755, -0.1545), ("CONNECTION", 144, 0.5878, 0.809),
        ("EXPLORATION", 216, 0, 0), ("VERBAL", 288, -0.9511, -0.309),
    ]  # fmt: skip
    assert [point["labelKey"] for point in profile["radar"]][:1] == ["survey.domain.sensation"]
    bars = {bar["measure"]: (bar["score"], bar["level"]) for bar in profile["bars"]}
    assert bars == {
        "SE": (50, "MODERATE_LOW"), "SIS_P": (50, "MODERATE_LOW"), "SIS_C": (50, "MODERATE_LOW"),
        "POWER_TOP": (100, None), "POWER_BOTTOM": (0, None), "TRUTH": (None, None),
    }  # fmt: skip
    assert profile["archetype"] == profile["archetypes"][0]
    # B3 falls under the limit that was checked.
    assert profile["tags"] == ["OPEN_TO_RESTRAINTS"]
    assert {one["itemId"]: one["kind"] for one in profile["boundaries"]} == {
        "impact": "HARD", "B24a": "HARD", "B24b": "HARD",
        "B3a": "SOFT", "B3b": "SOFT", "B15a": "SOFT", "B15b": "SOFT",
    }  # fmt: skip


async def test_another_device_resumes_and_a_guest_may_too(
    ask: Ask, make_user: MakeUser, person: Person, owner: asyncpg.Connection
) -> None:
    guest = await newly(ask, owner, await make_user())
    await owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        guest.actor.user_id,
    )
    run = await guest.start()
    await guest.save(run["id"], [{"itemId": "A1", "value": 6}])
    again = await guest.start("FULL")
    assert (again["id"], again["form"], again["itemCount"]) == (run["id"], "FULL", 75)
    assert again["answers"] == [{"itemId": "A1", "value": 6, "score": 5 / 6}]


async def test_the_last_one_saved_counts_whatever_device_it_came_from(person: Person) -> None:
    run = (await person.start())["id"]
    batches = [
        [{"itemId": name, "value": value} for name in ("A1", "A5", "A9")] for value in range(1, 8)
    ]
    answers = await asyncio.gather(*(person.save(run, batch) for batch in batches))
    assert all(answer["errors"] == [] for answer in answers)
    # Whole batches, in whatever order they arrived: never a mixture.
    assert len(set((await person.answers(run)).values())) == 1
    await person.save(run, [{"itemId": "A1", "value": 2}, {"itemId": "A1", "value": 3}])
    assert (await person.answers(run))["A1"] == 3


async def test_a_batch_that_is_sent_again_overwrites_nothing_newer(person: Person) -> None:
    run, key = (await person.start())["id"], str(uuid4())
    old = [{"itemId": "A1", "value": 1}]
    await person.save(run, old, key)
    await person.save(run, [{"itemId": "A1", "value": 7}])
    assert (await person.save(run, old, key))["errors"] == []
    assert (await person.answers(run))["A1"] == 7
    (error,) = (await person.save(run, [{"itemId": "A1", "value": 2}], key))["errors"]
    assert error["code"] == "IDEMPOTENCY_CONFLICT"


async def test_null_takes_an_answer_back(person: Person) -> None:
    run = (await person.start())["id"]
    await person.save(run, [{"itemId": "A1", "value": 1}, {"itemId": "C1", "value": []}])
    payload = await person.save(run, [{"itemId": "A1", "value": None}])
    assert payload["surveyRun"]["answers"] == [{"itemId": "C1", "value": [], "score": None}]
    assert payload["surveyRun"]["answeredCount"] == 1


WRONG = [
    ("A1", "YES", "value"), ("A1", [], "value"), ("A1", 8, "value"), ("A1", True, "value"),
    ("A1", 2.5, "value"), ("A1", {"a": 1}, "value"), ("B3a", 3, "value"), ("B3a", ["anal"], "value"),
    ("B3a", "PERHAPS", "value"), ("C1", "YES", "value"), ("C1", ["nothing"], "value"),
    ("C1", 1, "value"), ("B99", "YES", "itemId"), ("B3", "YES", "itemId"), ("x" * 5000, 1, "itemId"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "value", "field"), WRONG)
async def test_what_is_no_answer_of_an_item_is_refused_and_nothing_is_saved(
    person: Person, item: str, value: object, field: str
) -> None:
    run = (await person.start())["id"]
    given = [{"itemId": "A2", "value": 2}, {"itemId": item, "value": value}]
    payload = await person.save(run, given)
    assert [(e["code"], e["path"]) for e in payload["errors"]] == [
        ("BAD_USER_INPUT", ["input", "answers", "1", field])
    ]
    assert await person.answers(run) == {}


async def test_an_unfinished_survey_is_not_submitted(person: Person) -> None:
    run = (await person.start())["id"]
    (error,) = (await person("submit", run=run))["errors"]
    assert (error["code"], error["message"]) == (
        "BAD_USER_INPUT", "Answer A1, A5, A9, A13, A14 first.",
    )  # fmt: skip
    assert (await person("see"))["surveyProfile"] is None


async def test_submitting_twice_at_once_makes_one_profile(person: Person) -> None:
    run = (await person.start())["id"]
    await person.save(run, short_answers())
    payloads = await asyncio.gather(*(person("submit", run=run) for _ in range(4)))
    assert len({payload["surveyProfile"]["id"] for payload in payloads}) == 1
    assert [one["version"] for one in (await person("history"))["surveyProfiles"]["nodes"]] == [1]


async def test_what_is_saved_after_submitting_is_refused(person: Person) -> None:
    run = (await person.submitted(short_answers()))["run"]["id"]
    (error,) = (await person.save(run, [{"itemId": "A1", "value": 1}]))["errors"]
    assert (error["code"], error["path"]) == ("INVALID_STATE", ["input", "runId"])
    (error,) = (await person("abandon", run=run))["errors"]
    assert error["code"] == "INVALID_STATE"


async def test_editing_answers_makes_the_next_version(person: Person) -> None:
    first = await person.submitted(full_answers(scale=2, word="YES"), "FULL")
    run = await person.start("FULL")
    assert (run["answeredCount"], run["id"] != first["run"]["id"]) == (75, True)
    await person.save(run["id"], [{"itemId": "B3a", "value": "NO"}])
    second = (await person("submit", run=run["id"]))["surveyProfile"]
    assert (second["version"], len(second["run"]["answers"])) == (2, 75)
    seen = await person("see")
    assert seen["surveyProfile"]["id"] == second["id"]
    versions = (await person("versions"))["surveyProfiles"]["nodes"]
    assert [(one["version"], one["isCurrent"]) for one in versions] == [(2, True), (1, False)]
    assert [len(one["boundaries"]) for one in versions] == [1, 0]


async def test_only_the_answers_of_the_newest_profile_are_current(
    person: Person, owner: asyncpg.Connection
) -> None:
    await person.submitted(short_answers())
    second = await person.submitted(short_answers(A1=7))
    (await person.start())["id"]
    current = await owner.fetch(
        "select distinct 'surveyRun_' || run_id from survey_answers where user_id = $1 and is_current",
        person.actor.user_id,
    )
    assert [row[0] for row in current] == [second["run"]["id"]]


async def test_a_boundary_that_was_set_stays_until_a_later_answer_is_stricter(
    person: Person,
) -> None:
    await person.submitted(short_answers(B3a="MAYBE", B3b="MAYBE"))
    for item, kind in (("B3a", "HARD"), ("B3b", "NONE"), ("B15a", "NONE"), ("breath", "SOFT")):
        boundary = (await person("bound", item=item, kind=kind))["boundary"]
        assert boundary == {"itemId": item, "kind": kind, "source": "SET"}
    run = (await person.start())["id"]
    changed = [
        {"itemId": "B3a", "value": "YES"},
        {"itemId": "B3b", "value": "NO"},
        {"itemId": "C1", "value": ["breath"]},
    ]
    await person.save(run, changed)
    profile = (await person("submit", run=run))["surveyProfile"]
    kept = {one["itemId"]: (one["kind"], one["source"]) for one in profile["boundaries"]}
    assert {name: kept[name] for name in ("B3a", "B3b", "B15a", "breath")} == {
        "B3a": ("HARD", "SET"),
        "B3b": ("HARD", "INFERRED"),
        # Its answer was given before the boundary was lifted.
        "B15a": ("NONE", "SET"),
        "breath": ("HARD", "INFERRED"),
    }


async def test_an_answer_that_is_given_again_overrules_a_permission(person: Person) -> None:
    await person.submitted(short_answers(B3a="NO", B3b="NO", C1=["anal", "breath"]))
    for item in ("B3a", "B3b", "anal"):
        await person("bound", item=item, kind="NONE")
    run = (await person.start())["id"]
    answers = [{"itemId": "B3a", "value": "NO"}, {"itemId": "C1", "value": ["breath", "anal"]}]
    assert (await person.save(run, answers))["errors"] == []
    profile = (await person("submit", run=run))["surveyProfile"]
    kept = {one["itemId"]: (one["kind"], one["source"]) for one in profile["boundaries"]}
    assert {name: kept[name] for name in ("B3a", "B3b", "anal")} == {
        "B3a": ("HARD", "INFERRED"),
        "B3b": ("NONE", "SET"),
        "anal": ("HARD", "INFERRED"),
    }


@pytest.mark.parametrize("item", ["A1", "C1", "B99a", "nothing", "", "B3a'; --"])
async def test_a_boundary_is_at_an_item_or_a_limit(person: Person, item: str) -> None:
    (error,) = (await person("bound", item=item, kind="HARD"))["errors"]
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["input", "itemId"])


async def test_boundaries_are_there_without_a_profile(person: Person) -> None:
    await person("bound", item="anal", kind="HARD")
    assert (await person("see"))["boundaries"] == [
        {"itemId": "anal", "kind": "HARD", "source": "SET"}
    ]
    profile = await person.submitted(short_answers())
    assert "anal" in {one["itemId"] for one in profile["boundaries"]}


async def test_an_abandoned_run_loses_its_answers_and_the_next_one_is_new(person: Person) -> None:
    run = (await person.start())["id"]
    await person.save(run, [{"itemId": "A1", "value": 1}])
    for _ in range(2):
        ended = (await person("abandon", run=run))["surveyRun"]
        assert (ended["status"], ended["answers"]) == ("ABANDONED", [])
    (error,) = (await person("submit", run=run))["errors"]
    assert error["code"] == "INVALID_STATE"
    assert (await person.start())["id"] != run
    assert len((await person("history"))["surveyRuns"]["nodes"]) == 1


async def test_a_run_that_nobody_goes_on_with_is_abandoned_after_30_days(
    person: Person, ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, database: Database
) -> None:
    other = await newly(ask, owner, await make_user())
    old, young = (await person.start())["id"], (await other.start())["id"]
    for run, days in ((old, 31), (young, 29)):
        await owner.execute(
            "update survey_runs set saved_at = now() - make_interval(days => $2) where id = $1",
            run.removeprefix("surveyRun_"), days,
        )  # fmt: skip
    await end_stale_surveys(database)
    statuses = [
        (await one("history"))["surveyRuns"]["nodes"][0]["status"] for one in (person, other)
    ]
    assert statuses == ["ABANDONED", "IN_PROGRESS"]


async def test_a_version_that_is_withdrawn_goes_on_for_those_in_it(
    person: Person, ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    version = f"withdrawn-{uuid4()}"
    await owner.execute(
        "insert into surveys (id, version, title_key, description_key) values ($1, '0.5', 't', 'd')",
        version,
    )
    await owner.execute(
        "insert into survey_items (survey_id, item_id, question, section, kind, text_key, sort_order)"
        " values ($1, 'A1', 'A1', 'arousal', 'SCALE', 't', 1)",
        version,
    )
    run = await person.start("FULL", version)
    await owner.execute("update surveys set is_active = false where id = $1", version)
    assert (await person.start("FULL", version))["id"] == run["id"]
    assert (await person.save(run["id"], [{"itemId": "A1", "value": 5}]))["errors"] == []
    assert (await person("submit", run=run["id"]))["surveyProfile"]["version"] == 1
    newcomer = await newly(ask, owner, await make_user())
    for somebody in (person, newcomer):
        payload = await somebody("start", survey=version, form="FULL")
        assert payload["errors"] == [{"code": "NOT_FOUND", "path": ["input", "surveyId"]}]
    # Versions stand side by side, and a profile of another one is the next.
    assert (await person.submitted(short_answers()))["version"] == 2


async def test_the_20_newest_profiles_are_kept(person: Person, owner: asyncpg.Connection) -> None:
    for _ in range(22):
        await person.submitted(short_answers())
    seen = await person("history")
    assert [one["version"] for one in seen["surveyProfiles"]["nodes"]] == list(range(22, 2, -1))
    assert len(seen["surveyRuns"]["nodes"]) == 20


async def test_nobody_reaches_the_runs_of_others(
    person: Person, ask: Ask, make_user: MakeUser
) -> None:
    stranger, run = Person(ask, await make_user()), (await person.start())["id"]
    missing = [{"code": "NOT_FOUND", "path": ["input", "runId"]}]
    for call in ("submit", "abandon"):
        errors = (await stranger(call, run=run))["errors"]
        assert [{"code": e["code"], "path": e["path"]} for e in errors] == missing
    (error,) = (await stranger.save(run, [{"itemId": "A1", "value": 1}]))["errors"]
    assert error["code"] == "NOT_FOUND"
    node = "query($id: ID!) { node(id: $id) { id } }"
    assert (await ask(node, {"id": run}, actor=stranger.actor))["data"]["node"] is None


async def test_a_guests_surveys_become_the_members(
    person: Person, ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    guest = await newly(ask, owner, await make_user())
    await person.submitted(short_answers(A1=1))
    await guest.submitted(short_answers(A1=2))
    newest = await guest.submitted(short_answers(A1=3, B3a="NO"))
    await guest("bound", item="anal", kind="HARD")
    await person("bound", item="anal", kind="SOFT")
    await person("bound", item="public", kind="HARD")
    await guest("bound", item="public", kind="NONE")
    guests, members = (await guest.start())["id"], (await person.start())["id"]
    await person.save(members, [{"itemId": "A1", "value": 7}])
    await owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        guest.actor.user_id,
    )
    await owner.execute(
        "select app.lock_for_merge($1, $2), app.merge_guest($1, $2)",
        guest.actor.user_id, person.actor.user_id,
    )  # fmt: skip
    seen = await person("see") | await person("history")
    assert [one["version"] for one in seen["surveyProfiles"]["nodes"]] == [3, 2, 1]
    assert (seen["surveyProfile"]["id"], seen["surveyProfile"]["version"]) == (newest["id"], 3)
    kinds = {one["itemId"]: one["kind"] for one in seen["surveyProfile"]["boundaries"]}
    assert (kinds["anal"], kinds["public"], kinds["B3a"]) == ("HARD", "HARD", "HARD")
    statuses = {one["id"]: one["status"] for one in seen["surveyRuns"]["nodes"]}
    assert (statuses[guests], statuses[members]) == ("ABANDONED", "IN_PROGRESS")
    current = "select count(*) from survey_answers where user_id = $1 and is_current"
    assert await owner.fetchval(current, person.actor.user_id) == 13
    # The member goes on as before.
    assert (await person.submitted(short_answers()))["version"] == 4


async def test_a_run_that_is_given_up_has_no_answers(person: Person) -> None:
    run = await person.start()
    await person.save(run["id"], short_answers()[:3])
    given_up = (await person("abandon", run=run["id"]))["surveyRun"]
    assert (given_up["answeredCount"], given_up["answers"]) == (0, [])
