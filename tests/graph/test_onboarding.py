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


WITHDRAW = """mutation($document: String!) { answer: withdrawConsent(input: {documentId: $document}) {
  consent { documentId version withdrawnAt } errors { code path } } }"""
AGREE = """mutation($document: String!, $version: String!) {
  answer: recordConsent(input: {documentId: $document, version: $version}) {
    consent { id withdrawnAt } errors { code } } }"""
SAY = {
    "demographics": "updateDemographics(input: {gender: WOMAN})",
    "boundary": 'setBoundary(input: {itemId: "impact", kind: HARD})',
}
IN_FORCE = "select version from app.documents_in_force() where document_id = $1"


async def withdraw(ask: Ask, actor: Actor, document: str) -> Any:
    """Withdraws a consent; the answer."""
    return (await ask(WITHDRAW, {"document": document}, actor=actor))["data"]["answer"]


async def said(ask: Ask, actor: Actor, what: str) -> str | None:
    """The step that somebody lacks to say something of themselves."""
    return step(await ask(f"mutation {{ answer: {SAY[what]} {{ {ERRORS} }} }}", actor=actor))


async def test_a_consent_is_withdrawn_at_once_and_given_again(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await who(owner, make_user, "nothing")
    version = await owner.fetchval(IN_FORCE, "sensitive-data")
    answer = await ask(START, {"level": "G"}, actor=actor)
    session = answer["data"]["answer"]["playSession"]["id"]
    first = await withdraw(ask, actor, "sensitive-data")
    assert (first["consent"]["version"], first["errors"]) == (version, [])
    assert first["consent"]["withdrawnAt"] is not None
    # Again it changes nothing more, and what nobody agreed to is none.
    assert await withdraw(ask, actor, "sensitive-data") == first
    nothing = await withdraw(ask, actor, "cookies")
    assert nothing["errors"] == [{"code": "NOT_FOUND", "path": ["input", "documentId"]}]
    # They play and say nothing more.
    onboarding = (await ask(ME, actor=actor))["data"]["viewer"]["onboarding"]
    assert onboarding == {"canPlay": False, "nextStep": "CONSENT"}
    left = "select status from play_players where session_id = $1 and user_id = $2"
    assert await owner.fetchval(left, key(session), actor.user_id) == "LEFT"
    assert step(await ask(START, {"level": "G"}, actor=actor)) == "CONSENT"
    assert [await said(ask, actor, what) for what in SAY] == ["CONSENT", "CONSENT"]
    # Who agrees again has both on record.
    for _ in range(2):
        again = await ask(AGREE, {"document": "sensitive-data", "version": version}, actor=actor)
        assert again["data"]["answer"]["consent"]["withdrawnAt"] is None
    assert [await said(ask, actor, what) for what in SAY] == [None, None]
    kept = """select count(*), count(withdrawn_at) from consents
        where user_id = $1 and document_id = 'sensitive-data'"""
    assert tuple(await owner.fetchrow(kept, actor.user_id)) == (2, 1)


async def test_a_new_version_does_not_stand_between_a_player_and_a_boundary(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await who(owner, make_user, "nothing")
    await owner.execute(NEW_VERSION)
    assert [await said(ask, actor, what) for what in ("demographics", "boundary")] == [
        "CONSENT", None,
    ]  # fmt: skip


NEW_VERSION = """
insert into legal_documents (document_id, version, title, body, is_required, effective_at)
select document_id, version || '.next', title, body, is_required, now() - interval '1 second'
from app.documents_in_force() where document_id = 'sensitive-data'
"""


async def test_what_an_ai_wrote_goes_with_the_consent_to_it(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    host, guest = [await who(owner, make_user, "nothing") for _ in range(2)]
    session = await invited(ask, owner, host, guest, "R")
    assert step(await ask(CONFIRM, {"id": session}, actor=guest)) is None
    assert await owner.fetchval(KEEP, key(session), "one") == 1
    await withdraw(ask, guest, "ai-activities")
    written = "select count(*) from activities where session_id = $1"
    assert await owner.fetchval(written, key(session)) == 0
    # Nor is anything kept that was asked for before.
    assert await owner.fetchval(KEEP, key(session), "two") == 0
    # The game goes on, without.
    assert (
        await owner.fetchval("select status from play_sessions where id = $1", key(session))
        == "ACTIVE"
    )


KEEP = """
select app.keep_written_activities($1, jsonb_build_array(jsonb_build_object('id', encode(sha256($2::text::bytea), 'hex'), 'kind', 'DARE',
    'level', 'G', 'intensity', 1, 'text', 'Hum a tune.', 'themes', '["music"]'::jsonb, 'audience', 'ALL', 'limit_keys', '[]'::jsonb,
    'needs_anatomy_active', '[]'::jsonb, 'needs_anatomy_partner', '[]'::jsonb, 'power_role', 'NEUTRAL',
    'preference_keys', '[]'::jsonb, 'domains', '[]'::jsonb)),
    '{"provider": "offline", "model": "none", "level": "G", "prompt": "", "outcome": "ANSWERED",
      "refused_count": 0, "reasons": [], "duration_milliseconds": 1, "usage": {}, "cost_micro_usd": 0}')
"""


async def test_what_either_account_has_withdrawn_stays_withdrawn_when_they_are_merged(
    make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    guest, member = [await who(owner, make_user, "nothing") for _ in range(2)]
    ago = "update consents set created_at = now() - interval '2 days' where user_id = $1"
    await owner.execute(ago, guest.user_id)
    await owner.execute(
        "update consents set created_at = now() - interval '3 days', withdrawn_at = now() - interval '1 day'"
        " where user_id = $1 and document_id = 'ai-activities'",
        member.user_id,
    )
    await owner.execute("select app.merge_consents($1, $2)", guest.user_id, member.user_id)
    agreed = "select app.have_agreed(array[$1::uuid], 'ai-activities'), app.has_consented($1)"
    assert tuple(await owner.fetchrow(agreed, member.user_id)) == (False, True)
