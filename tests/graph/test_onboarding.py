"""What has to be done before somebody answers a survey or plays, and before an AI is told of them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor

from ..attuned import SURVEY, onboard
from ..conftest import MakeUser
from .conftest import Ask
from .playing import key

ERRORS = "errors { code ... on OnboardingRequired { nextStep } }"
START = f"""mutation($level: PlayLevel!) {{
  answer: startPlaySession(input: {{level: $level}}) {{ playSession {{ id level }} {ERRORS} }} }}"""
CONFIRM = f"""mutation($id: ID!, $wanted: PlayLevel) {{ answer: confirmPlaySession(
  input: {{id: $id, level: $wanted}}) {{ playSession {{ id level }} {ERRORS} }} }}"""
SURVEYED = f"""mutation {{ answer: startSurvey(input: {{surveyId: "{SURVEY}"}}) {{ {ERRORS} }} }}"""
ME = "{ viewer { onboarding { canPlay nextStep } } }"
UNDO = {
    "consents": "delete from consents where user_id = $1 and document_id = 'sensitive-data'",
    "demographics": "delete from demographics where user_id = $1",
    "limits": "delete from boundaries where user_id = $1",
    "nothing": "select $1::uuid",
}
PROFILE = """
with run as (insert into survey_runs (user_id, survey_id, form) values ($1, $2, 'SHORT') returning id)
insert into survey_profiles (user_id, run_id, survey_id, version, power_orientation, power_confidence,
    power_level, top_percent, archetypes, is_balanced)
select $1, id, $2, 1, 'SWITCH', 0.5, 'LOW', 50, '{EXPLORER}', false from run
"""


async def who(owner: asyncpg.Connection, make_user: MakeUser, missing: str) -> Actor:
    """Somebody who has done everything but one thing."""
    actor = await make_user()
    await onboard(owner, actor.user_id)
    await owner.execute(UNDO[missing], actor.user_id)
    return actor


def step(answer: Any) -> str | None:
    """The step that a refusal names; null for what was done."""
    errors = answer["data"]["answer"]["errors"]
    assert [error["code"] for error in errors] in ([], ["ONBOARDING_REQUIRED"])
    return errors[0]["nextStep"] if errors else None


@pytest.mark.parametrize("call", ["start", "confirm"])
@pytest.mark.parametrize(
    ("missing", "level", "expected"),
    [
        ("consents", "G", "CONSENT"),
        ("demographics", "G", "DEMOGRAPHICS"),
        ("limits", "X", "SURVEY"),
        ("limits", "R", None),
        ("nothing", "X", None),
    ],
)
async def test_who_plays_has_done_what_is_asked_for(
    ask: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    call: str,
    missing: str,
    level: str,
    expected: str | None,
) -> None:
    actor = await who(owner, make_user, missing)
    if call == "start":
        answer = await ask(START, {"level": level}, actor=actor)
    else:
        session = await invited(ask, owner, await who(owner, make_user, "nothing"), actor, level)
        answer = await ask(CONFIRM, {"id": session}, actor=actor)
    assert step(answer) == expected
    onboarding = (await ask(ME, actor=actor))["data"]["viewer"]["onboarding"]
    assert onboarding["canPlay"] is (missing in ("limits", "nothing"))


async def invited(
    ask: Ask, owner: asyncpg.Connection, host: Actor, guest: Actor, level: str
) -> str:
    """A session of a host's to which a guest is asked."""
    answer = await ask(START, {"level": level}, actor=host)
    session: str = answer["data"]["answer"]["playSession"]["id"]
    await owner.execute(
        "insert into play_players (session_id, user_id, seat, name, status)"
        " values ($1, $2, 9, 'Guest', 'INVITED')",
        key(session),
        guest.user_id,
    )
    return session


async def test_who_said_nothing_of_limits_may_confirm_at_a_lower_level_or_with_a_profile(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    host, guest, other = [await who(owner, make_user, "limits") for _ in range(3)]
    await owner.execute(PROFILE, host.user_id, SURVEY)
    session = await invited(ask, owner, host, guest, "X")
    assert step(await ask(CONFIRM, {"id": session}, actor=guest)) == "SURVEY"
    answer = await ask(CONFIRM, {"id": session, "wanted": "R"}, actor=guest)
    assert step(answer) is None
    assert answer["data"]["answer"]["playSession"]["level"] == "R"
    assert step(await ask(START, {"level": "X"}, actor=other)) == "SURVEY"


async def test_a_survey_takes_consent(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await who(owner, make_user, "consents")
    assert step(await ask(SURVEYED, actor=actor)) == "CONSENT"
    await onboard(owner, actor.user_id)
    assert step(await ask(SURVEYED, actor=actor)) is None


@pytest.mark.parametrize("disagreeing", ["nobody", "host", "guest"])
async def test_an_ai_is_told_nothing_unless_all_have_agreed(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, disagreeing: str
) -> None:
    people = {name: await who(owner, make_user, "nothing") for name in ("host", "guest")}
    session = await invited(ask, owner, people["host"], people["guest"], "R")
    assert step(await ask(CONFIRM, {"id": session}, actor=people["guest"])) is None
    if disagreeing in people:
        await owner.execute(
            "delete from consents where user_id = $1 and document_id = 'ai-activities'",
            people[disagreeing].user_id,
        )
    told = await owner.fetchval("select app.asked_activities($1, 1, 3)", key(session))
    assert (told is not None) == (disagreeing == "nobody")
    agreed = await owner.fetchval("select app.ai_is_agreed_to($1)", key(session))
    assert agreed == (disagreeing == "nobody")
