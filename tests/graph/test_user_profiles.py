"""Users say of themselves what they like, a part at a time; nobody else reads it."""

from __future__ import annotations

from typing import Any

from ..conftest import MakeUser
from .conftest import Ask

UPDATE = """mutation($input: UpdateUserProfileInput!) { updateUserProfile(input: $input) {
  userProfile { synthesis zodiacSign location preferences } errors { code path } } }"""
READ = "{ viewer { userProfile { synthesis zodiacSign location preferences } } }"


async def test_what_is_left_out_stays_and_null_empties(ask: Ask, make_user: MakeUser) -> None:
    actor, other = await make_user(), await make_user()

    async def update(**given: Any) -> Any:
        answer = await ask(UPDATE, {"input": given}, actor=actor)
        return answer["data"]["updateUserProfile"]["userProfile"]

    assert (await ask(READ, actor=actor))["data"]["viewer"]["userProfile"] is None
    first = await update(zodiacSign="Leo", preferences={"theme": "dark"})
    assert first == {
        "synthesis": None,
        "zodiacSign": "Leo",
        "location": None,
        "preferences": {"theme": "dark"},
    }
    second = await update(zodiacSign=None, synthesis={"strengths": ["kind"]}, location="Aachen")
    assert second == {
        "synthesis": {"strengths": ["kind"]},
        "zodiacSign": None,
        "location": "Aachen",
        "preferences": {"theme": "dark"},
    }
    assert (await ask(READ, actor=actor))["data"]["viewer"]["userProfile"] == second
    assert (await ask(READ, actor=other))["data"]["viewer"]["userProfile"] is None


async def test_all_that_is_wrong_is_told_at_once(ask: Ask, make_user: MakeUser) -> None:
    given = {"zodiacSign": "x" * 51, "location": "x" * 256, "synthesis": [], "preferences": 1}
    answer = await ask(UPDATE, {"input": given}, actor=await make_user())
    errors = answer["data"]["updateUserProfile"]["errors"]
    assert {error["path"][1] for error in errors} == set(given)


OTHERS = {
    "datingGoals": {"type": "long-term", "description": "Somebody who climbs."},
    "dataExports": [{"source": "hinge", "rawStats": {"matches": 12}}],
    "textInputs": [{"content": "I write short answers.", "label": "notes"}],
    "videoAnalysis": {"frames": 4},
    "manualEntry": {"name": "Ada", "interests": ["climbing"]},
    "settings": {"theme": "dark", "tags": []},
    "insightFeedback": [{"insightKey": "strengths[0]", "rating": "spot_on"}],
}
SAY = f"""mutation($input: UpdateUserProfileInput!) {{ updateUserProfile(input: $input) {{
  userProfile {{ {" ".join(OTHERS)} }} errors {{ path }} }} }}"""


async def test_each_part_is_kept_by_itself(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()

    async def say(**given: Any) -> Any:
        return (await ask(SAY, {"input": given}, actor=actor))["data"]["updateUserProfile"]

    for field, value in OTHERS.items():
        assert (await say(**{field: value}))["userProfile"][field] == value
    kept = (await say(zodiacSign="Leo"))["userProfile"]
    assert kept == OTHERS
    wrong = {field: 1 if isinstance(value, dict) else {} for field, value in OTHERS.items()}
    refused = await say(**wrong)
    assert {error["path"][1] for error in refused["errors"]} == set(OTHERS)
    too_long = await say(textInputs=["x" * 263_000])
    assert [error["path"] for error in too_long["errors"]] == [["input", "textInputs"]]
    assert (await say(zodiacSign="Leo"))["userProfile"] == OTHERS
