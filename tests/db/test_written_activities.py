"""What an AI wrote is looked at entry by entry: labels, boundaries, anatomy, length and words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from db.activities.rules import activity_uid
from db.activities.written import ActivityRequest, answer_schema, checked_activities

ENTRY: dict[str, Any] = {
    "kind": "DARE",
    "level": "R",
    "intensity": 2,
    "steps": ["Warm {partner}'s hands between your own.", "Then say what you thought of."],
    "themes": ["touch", "closeness"],
    "audience": "ALL",
    "limit_keys": [],
    "needs_anatomy_active": [],
    "needs_anatomy_partner": [],
    "power_role": "NEUTRAL",
    "preference_keys": ["B1b"],
    "domains": ["CONNECTION"],
}
ASKED = ActivityRequest(
    count=3,
    level="R",
    audience="COUPLES",
    closed=frozenset({"impact", "B2a"}),
    anatomies=(frozenset({"penis"}), frozenset({"vagina", "breasts"})),
    wanted=("B1a",),
    items={
        "B1a": "Being stroked",
        "B1b": "Stroking",
        "B2a": "Being tickled",
        "B2b": "Tickling",
        "B3a": "Being spanked",
        "B3b": "Spanking",
        "B15b": "Holding wrists",
    },
    limits={"B3a": ["impact"], "B3b": ["impact"], "B15b": ["restraint"]},
)


def said(asked: ActivityRequest, **changes: Any) -> list[str]:
    """Which columns of an entry that is changed so are told of."""
    written = checked_activities(asked, [ENTRY | changes])
    assert len(written.approved) + len(written.reasons) == 1
    return [one.partition(":")[0] for found in written.reasons for one in found["problems"]]


def steps(*texts: str) -> dict[str, Any]:
    return {"steps": list(texts)}


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        # Labels.
        ({"level": "X"}, ["level"]),
        ({"level": "G"}, []),
        ({"intensity": 4}, ["intensity"]),
        ({"intensity": "2"}, ["intensity"]),
        ({"audience": "GROUPS"}, ["audience"]),
        ({"kind": "SONG"}, ["kind"]),
        ({"kind": None}, ["kind"]),
        ({"themes": ["Two words"]}, ["themes"]),
        ({"themes": []}, ["themes"]),
        ({"power_role": "BOSS"}, ["power_role"]),
        ({"domains": ["FUN"]}, ["domains"]),
        ({"rating": 5}, ["rating"]),
        ({"text": "Another one."}, ["text"]),
        # Boundaries: a limit, an item, and the other side of an item.
        ({"limit_keys": ["impact"]}, ["limit_keys"]),
        ({"limit_keys": ["restraint"]}, []),
        ({"limit_keys": ["bees"]}, ["limit_keys"]),
        ({"preference_keys": ["B2a"]}, ["preference_keys"]),
        ({"preference_keys": ["B2b"]}, ["preference_keys"]),
        # An item under a limit that is closed, and one whose limit the text does not name.
        ({"preference_keys": ["B3b"], "limit_keys": ["restraint"]}, ["limit_keys", "preference_keys"]),
        ({"preference_keys": ["B15b"]}, ["limit_keys"]),
        ({"preference_keys": ["B15b"], "limit_keys": ["restraint"]}, []),
        # Anatomy: of some player, and of another one.
        ({"needs_anatomy_active": ["penis"]}, []),
        ({"needs_anatomy_active": ["penis"], "needs_anatomy_partner": ["breasts"]}, []),
        ({"needs_anatomy_active": ["penis", "vagina"]}, ["needs_anatomy"]),
        ({"needs_anatomy_active": ["penis"], "needs_anatomy_partner": ["penis"]}, ["needs_anatomy"]),
        # Length.
        ({"steps": []}, ["steps", "text"]),
        ({"steps": "Say it aloud."}, ["steps", "text"]),
        ({"steps": [1]}, ["steps", "text"]),
        (steps("Say it."), ["steps"]),
        (steps("Say it aloud.", "And sing it.", "And dance it."), ["steps"]),
        (steps("the la " * 18), ["steps"]),
        (steps("the la " * 17 + "end"), []),
        # Signs, and placeholders that nothing fills.
        (steps("Look at www.example.test together."), ["steps"]),
        (steps("Say <b>this</b> aloud."), ["steps"]),
        (steps("Tell {name} a secret."), ["text"]),
        # Words that say more than the labels.
        (steps("Spank {partner} three times."), ["text"]),
        (steps("Tie {partner}'s hands with a scarf."), ["text"]),
        ({**steps("Tie {partner}'s hands with a scarf."), "limit_keys": ["restraint"]}, []),
        (steps("Take a photo of {partner} now."), ["text"]),
        (steps("Whisper what gives you an orgasm."), ["text"]),
        (steps("Stroke {partner}'s breasts very slowly."), ["text"]),
        ({**steps("Stroke {partner}'s breasts very slowly."), "needs_anatomy_partner": ["breasts"]}, []),
        ({**steps("Whisper while {partner} is naked."), "level": "G", "intensity": 1}, ["text"]),
        (steps("Tell of a childhood crush."), ["text"]),
        ({**steps("Tell of a childhood hero."), "level": "G", "intensity": 1}, []),
        (steps("Drink a vodka with {partner}."), ["text"]),
    ],
)  # fmt: skip
def test_an_entry_passes_or_every_problem_of_it_is_told(
    changes: dict[str, Any], problems: list[str]
) -> None:
    assert sorted(set(said(ASKED, **changes))) == sorted(set(problems))


@pytest.mark.parametrize("entry", [None, 1, "text", [], {"steps": None}])
def test_what_is_no_entry_is_told(entry: object) -> None:
    written = checked_activities(ASKED, [entry])
    assert (written.approved, len(written.reasons)) == ((), 1)


@pytest.mark.parametrize("given", [None, {}, "text", 3])
def test_what_is_no_list_has_no_entries(given: object) -> None:
    assert checked_activities(ASKED, given).approved == ()


def test_what_passes_is_stored_as_an_import_would_be() -> None:
    (one,) = checked_activities(ASKED, [ENTRY]).approved
    text = "Warm {partner}'s hands between your own. Then say what you thought of."
    assert (one["text"], one["id"]) == (text, activity_uid("DARE", text))
    assert "steps" not in one


def test_one_that_is_there_twice_and_more_than_were_asked_for_are_told() -> None:
    others = [ENTRY | {"steps": [f"Say the number {n} aloud."]} for n in range(3)]
    written = checked_activities(ASKED, [ENTRY, ENTRY, *others])
    assert len(written.approved) == 2
    assert [one["place"] for one in written.reasons] == [1, 3]


def test_who_plays_alone_has_nobody_beside_them() -> None:
    alone = replace(ASKED, anatomies=(frozenset({"penis"}),), audience="SOLO")
    dance = {"steps": ["Dance to a whole song."], "audience": "SOLO"}
    assert said(alone, **dance) == []
    assert said(alone, **dance, needs_anatomy_active=["vagina"]) == ["needs_anatomy"]
    assert said(alone, **dance, needs_anatomy_partner=["penis"]) == ["needs_anatomy"]
    assert said(alone, steps=["Dance with {partner}."]) == ["text"]
    assert said(alone, steps=["Dance in a pair."], audience="COUPLES") == ["audience"]
    assert said(ASKED, **dance) == ["audience"]


def test_at_g_and_x_other_intensities_and_words_are_taken() -> None:
    everybody, adults = replace(ASKED, level="G"), replace(ASKED, level="X")
    assert said(everybody) == ["level", "intensity"]
    orgasm = {"level": "X", "intensity": 5, "steps": ["Whisper what gives you an orgasm."]}
    assert said(adults, **orgasm, preference_keys=["B31"]) == []
    # A harmless label, none, and one of which the text says nothing.
    assert said(adults, **orgasm) == ["text", "text"]
    assert "preference_keys" in said(adults, **orgasm, preference_keys=[])
    assert said(adults, **orgasm, preference_keys=[], limit_keys=["restraint"]) == ["text", "text"]
    vague = {"level": "X", "intensity": 5, "steps": ["Do what {partner} has longed for."]}
    assert said(adults, **vague) == ["text"]


def test_the_schema_takes_what_passes_and_knows_the_level() -> None:
    schema = Draft202012Validator(answer_schema(ASKED))
    Draft202012Validator.check_schema(answer_schema(ASKED))
    assert schema.is_valid({"activities": [ENTRY]})
    closed = {"preference_keys": ["B3a"]}
    for changes in (
        {"level": "X"},
        {"intensity": 4},
        {"limit_keys": ["bees"]},
        {"steps": []},
        closed,
    ):
        assert not schema.is_valid({"activities": [ENTRY | changes]})
    assert not schema.is_valid({"activities": [ENTRY] * 4})
