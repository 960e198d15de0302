"""Each rule by which answers become a profile, on values around where it turns."""

from __future__ import annotations

from typing import Any

import pytest

from db.core.errors import DomainError
from db.surveys.archetypes import ARCHETYPES, archetypes_of, is_balanced
from db.surveys.inputs import accepted_answers, is_answer, problems_of_demographics
from db.surveys.rules import (
    AROUSAL_LEVELS,
    POWER_LEVELS,
    ScoredItem,
    arousal_measure,
    asked_items,
    domain_score,
    inferred_boundaries,
    level_of,
    plain_measure,
    power_of,
    profile_of,
    rounded,
    score_of,
    tags_of,
    unanswered,
)
from tests.attuned import ITEMS, full_answers, short_answers

COLUMNS = ScoredItem.__dataclass_fields__
SURVEY = [ScoredItem(**{name: item[name] for name in COLUMNS}) for item in ITEMS]


def answers_of(given: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["itemId"]: one["value"] for one in given}


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (1, 0.0), (2, 1 / 6), (4, 0.5), (7, 1.0), (0, 0.0), (8, 0.0), (True, 0.0), (None, 0.0),
        ("YES", 1.0), ("MAYBE", 0.5), ("NO", 0.0), ("yes", 0.0), ([], None), (["anal"], None),
    ],
)  # fmt: skip
def test_an_answer_scores_between_0_and_1(value: object, score: float | None) -> None:
    assert score_of(value) == score


@pytest.mark.parametrize(
    ("value", "places", "result"),
    [(12.5, 0, 13), (13.5, 0, 14), (0.125, 2, 0.13), (0.124, 2, 0.12)],
)
def test_a_half_goes_up(value: float, places: int, result: float) -> None:
    assert rounded(value, places) == result


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (0.0, "LOW"), (0.30, "LOW"), (0.31, "MODERATE_LOW"), (0.55, "MODERATE_LOW"),
        (0.56, "MODERATE_HIGH"), (0.75, "MODERATE_HIGH"), (0.76, "HIGH"), (1.0, "HIGH"),
    ],
)  # fmt: skip
def test_arousal_has_a_word(share: float, word: str) -> None:
    assert level_of(share, AROUSAL_LEVELS) == word
    assert arousal_measure([share]).level == word


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (0.30, "LOW"), (0.301, "MODERATE"), (0.60, "MODERATE"), (0.601, "HIGH"), (0.85, "HIGH"),
        (0.851, "VERY_HIGH"),
    ],
)  # fmt: skip
def test_confidence_has_a_word(share: float, word: str) -> None:
    assert level_of(share, POWER_LEVELS) == word


@pytest.mark.parametrize(
    ("scores", "score", "level"),
    [
        ([], None, None),
        ([0, 0, 0, 0], 0, "LOW"),
        # 0.3049… is 0.30 to two decimals, and low.
        ([0.304], 30, "LOW"),
        ([0.305], 31, "MODERATE_LOW"),
        ([1, 1, 1, 0], 75, "MODERATE_HIGH"),
    ],
)
def test_arousal_is_a_mean_to_two_decimals(
    scores: list[float], score: float | None, level: str | None
) -> None:
    measure = arousal_measure(scores)
    assert (measure.score, measure.level) == (score, level)


@pytest.mark.parametrize(
    ("top", "bottom", "expected"),
    [
        (0, 0, ("VERSATILE", 0.0, "LOW", 50)),
        (29.9, 0, ("VERSATILE", 0.299, "LOW", 100)),
        (29.9, 29.9, ("VERSATILE", 0.299, "LOW", 50)),
        # As near, but the smaller one is below 30: no switch.
        (31, 29, ("TOP", 0.283, "LOW", 52)),
        (30, 30, ("SWITCH", 0.3, "LOW", 50)),
        (45, 30, ("SWITCH", 0.3, "LOW", 60)),
        (46, 30, ("TOP", 0.4186, "MODERATE", 61)),
        (100, 100, ("SWITCH", 1.0, "VERY_HIGH", 50)),
        (100, 0, ("TOP", 1.0, "VERY_HIGH", 100)),
        (0, 100, ("BOTTOM", 1.0, "VERY_HIGH", 0)),
        (50, 80, ("BOTTOM", 0.68, "HIGH", 38)),
    ],
)
def test_power_is_read_of_two_means(
    top: float, bottom: float, expected: tuple[str, float, str, int]
) -> None:
    power = power_of(top, bottom)
    assert (power.orientation, power.confidence, power.level, power.top_percent) == expected


@pytest.mark.parametrize(
    ("scores", "result"),
    [([], 50), ([0], 0), ([1, 0.5], 75), ([1, 0, 0, 0, 0, 0, 0, 0], 13), ([0.5] * 7, 50)],
)
def test_a_domain_is_a_rounded_mean(scores: list[float], result: int) -> None:
    assert domain_score(scores) == result


def test_openness_is_a_mean_and_null_where_nothing_was_asked() -> None:
    assert plain_measure([1, 0.5, 0]).score == 50
    assert plain_measure([]).score is None


TAGGED = [
    ScoredItem("B3a", "YES_MAYBE_NO", tags=("MODERATE",), limit_keys=("impact",)),
    ScoredItem("B5a", "YES_MAYBE_NO", tags=("MODERATE",)),
    ScoredItem("B18a", "YES_MAYBE_NO", tags=("ROLEPLAY", "POWER")),
]
LIMITS = ScoredItem("C1", "CHECKLIST", options=("impact", "anal"))
WITH_GROUPS = ScoredItem("C1", "CHECKLIST", options=("impact", "multi_partner"))


@pytest.mark.parametrize(
    ("items", "answers", "tags"),
    [
        ([*TAGGED, LIMITS], {}, ()),
        ([*TAGGED, LIMITS], {"B3a": "NO", "B5a": "NO"}, ()),
        ([*TAGGED, LIMITS], {"B3a": "MAYBE"}, ("MODERATE",)),
        ([*TAGGED, LIMITS], {"B18a": "YES"}, ("POWER", "ROLEPLAY")),
        # What is under a limit of theirs opens nothing; another item of the same tag does.
        ([*TAGGED, LIMITS], {"B3a": "YES", "C1": ["impact"]}, ()),
        ([*TAGGED, LIMITS], {"B3a": "YES", "B5a": "YES", "C1": ["impact"]}, ("MODERATE",)),
        ([*TAGGED, LIMITS], {"B3a": "YES", "C1": ["anal"]}, ("MODERATE",)),
        ([WITH_GROUPS], {"C1": []}, ("OPEN_TO_GROUP",)),
        ([WITH_GROUPS], {"C1": ["multi_partner"]}, ()),
    ],
)
def test_tags_look_at_limits(
    items: list[ScoredItem], answers: dict[str, object], tags: tuple[str, ...]
) -> None:
    assert tags_of(items, answers) == tags


@pytest.mark.parametrize(
    ("answers", "boundaries"),
    [
        ({"B3a": "YES", "B5a": "YES", "B18a": "YES"}, {}),
        ({"B3a": "NO", "B5a": "MAYBE", "B18a": "YES"}, {"B3a": "HARD", "B5a": "SOFT"}),
        # What was asked and left empty counts as no.
        ({"B5a": "YES", "B18a": "YES"}, {"B3a": "HARD"}),
        (
            {"B3a": "YES", "B5a": "YES", "B18a": "YES", "C1": ["anal", "impact"]},
            {"anal": "HARD", "impact": "HARD"},
        ),
    ],
)
def test_answers_draw_boundaries(answers: dict[str, object], boundaries: dict[str, str]) -> None:
    assert inferred_boundaries([*TAGGED, LIMITS], answers) == boundaries


NEUTRAL = dict.fromkeys(
    ("SENSATION", "POWER", "CONNECTION", "EXPLORATION", "VERBAL", "SE", "LEAD", "YIELD", "SWITCH"),
    0.0,
)


@pytest.mark.parametrize(
    ("traits", "first"),
    [
        ({"SENSATION": 100, "CONNECTION": 20}, "SENSUALIST"),
        ({"CONNECTION": 100, "VERBAL": 20}, "ROMANTIC"),
        ({"EXPLORATION": 100, "SE": 40}, "EXPLORER"),
        ({"VERBAL": 100, "EXPLORATION": 40}, "STORYTELLER"),
        ({"VERBAL": 100, "CONNECTION": 80}, "CONFIDANT"),
        ({"LEAD": 100, "POWER": 100}, "CAPTAIN"),
        ({"YIELD": 100, "POWER": 100}, "MUSE"),
        ({"SWITCH": 100, "LEAD": 100, "YIELD": 100, "POWER": 50}, "SHAPESHIFTER"),
        ({"POWER": 100, "VERBAL": 70}, "STRATEGIST"),
        ({"SE": 100, "SENSATION": 70}, "FIREBRAND"),
        ({"CONNECTION": 100, "SENSATION": 70}, "SLOW_BURNER"),
        ({"EXPLORATION": 80, "VERBAL": 90, "SE": 100}, "PERFORMER"),
    ],
)
def test_each_archetype_is_somebodys_best(traits: dict[str, float], first: str) -> None:
    assert archetypes_of(NEUTRAL | traits).shown[0] == first


def test_weights_of_an_archetype_add_up_to_one() -> None:
    assert all(round(sum(weights.values()), 6) == 1 for weights in ARCHETYPES.values())


def test_missing_traits_count_as_50_and_three_are_shown_at_most() -> None:
    assert archetypes_of({}).shown == archetypes_of(dict.fromkeys(NEUTRAL, 50.0)).shown
    # All score 50: a tie of all, of which three are shown, in the order of the list.
    assert archetypes_of({}).shown == tuple(ARCHETYPES)[:3]
    assert archetypes_of({"SE": None}).shown == archetypes_of({}).shown


@pytest.mark.parametrize(("second", "shown"), [(95, True), (94, False)])
def test_who_is_within_5_per_cent_is_shown_too(second: float, shown: bool) -> None:
    # ROMANTIC scores 0.8 × 100 + 0.2 × 100, SLOW_BURNER 0.8 × 100 + 0.5 × SENSATION.
    sensation = (second - 80) / 0.5
    traits = NEUTRAL | {"CONNECTION": 100.0, "VERBAL": 100.0, "SENSATION": sensation}
    found = archetypes_of(traits).shown
    assert found[:2] == ("ROMANTIC", "CONFIDANT")
    assert ("SLOW_BURNER" in found) is shown


def test_no_score_is_below_zero() -> None:
    # MUSE would have −20; ROMANTIC, with nothing, is as good as it.
    assert archetypes_of(NEUTRAL | {"LEAD": 100.0}).shown == ("CAPTAIN",)
    assert archetypes_of(NEUTRAL | {"SE": 0.0}).shown == tuple(ARCHETYPES)[:3]


@pytest.mark.parametrize(
    ("exploration", "balanced"), [(50, True), (80, True), (84, True), (85, False), (100, False)]
)
def test_balanced_is_who_spreads_less_than_15(exploration: float, balanced: bool) -> None:
    # Three dials at 50 and one beside: the deviation is the distance × √3 / 4.
    assert is_balanced({"EXPLORATION": exploration}) is balanced


def test_the_survey_has_the_structure_of_its_version() -> None:
    kinds = {kind: [i for i in ITEMS if i["kind"] == kind] for kind in {i["kind"] for i in ITEMS}}
    assert {kind: len(items) for kind, items in kinds.items()} == {
        "SCALE": 16,
        "YES_MAYBE_NO": 58,
        "CHECKLIST": 1,
    }
    short = {item["question"] for item in ITEMS if item["is_short"]}
    assert len(short) == 10
    assert {item["item_id"] for item in ITEMS if item["is_required"]} == {
        f"A{n}" for n in range(1, 17)
    }
    sides = {item["item_id"]: item["side"] for item in ITEMS}
    assert (sides["B23a"], sides["B23b"]) == ("RECEIVE", "GIVE")
    assert (sides["B24a"], sides["B24b"], sides["B26"]) == ("SELF", "WATCH", "SELF")


@pytest.mark.parametrize(
    ("domain", "numbers"),
    [
        ("SENSATION", (3, 4, 6, 7, 8, 9, 10)),
        ("CONNECTION", (1, 12, 20, 26, 28, 30, 33, 35, 36)),
        ("POWER", (15, 16, 17, 18, 22, 23)),
        ("EXPLORATION", (9, 10, 21, 24, 25, 27)),
        ("VERBAL", (19, 20, 21, 22, 23)),
        ("TRUTH", tuple(range(29, 37))),
    ],
)
def test_the_items_of_each_domain(domain: str, numbers: tuple[int, ...]) -> None:
    found = {item["question"] for item in ITEMS if domain in item["measures"]}
    assert found == {f"B{n}" for n in numbers}


@pytest.mark.parametrize(
    ("limit", "numbers"),
    [
        ("impact", (3, 4, 6, 7)), ("restraint", (15, 16)), ("breath", (8,)), ("anal", (13, 14)),
        ("watersports", (10,)), ("degradation", ()), ("public", ()), ("recording", ()),
    ],
)  # fmt: skip
def test_the_items_under_each_limit(limit: str, numbers: tuple[int, ...]) -> None:
    found = {item["question"] for item in ITEMS if limit in item["limit_keys"]}
    assert found == {f"B{n}" for n in numbers}
    assert limit in next(item["options"] for item in ITEMS if item["item_id"] == "C1")


def test_a_profile_of_every_answer_the_same() -> None:
    scores = profile_of(SURVEY, "FULL", answers_of(full_answers(scale=4, word="MAYBE")))
    assert set(scores.domains.values()) == {50}
    assert {name: one.score for name, one in scores.measures.items()} == dict.fromkeys(
        ("SE", "SIS_P", "SIS_C", "POWER_TOP", "POWER_BOTTOM", "TRUTH"), 50.0
    )
    assert scores.power.orientation == "SWITCH"
    assert scores.archetypes.is_balanced
    assert set(scores.boundaries.values()) == {"SOFT"}
    assert len(scores.boundaries) == 58


def test_the_short_form_covers_every_domain_and_measure_but_openness() -> None:
    scores = profile_of(SURVEY, "SHORT", answers_of(short_answers(B3a="YES", B3b="YES")))
    assert scores.domains["SENSATION"] == 100
    nothing_asked = [name for name, one in scores.measures.items() if one.score is None]
    assert nothing_asked == ["TRUTH"]
    covered = {name for item in SURVEY if item.is_short for name in item.measures}
    assert covered >= set(scores.domains)


def test_what_was_not_asked_draws_no_boundary_and_what_was_left_empty_does() -> None:
    answers = answers_of(short_answers())
    del answers["B15a"]
    scores = profile_of(SURVEY, "SHORT", answers)
    assert scores.boundaries["B15a"] == "HARD"
    assert "B16a" not in scores.boundaries
    # Beside the short form everything that was answered before counts.
    assert profile_of(SURVEY, "SHORT", answers | {"B16a": "NO"}).boundaries["B16a"] == "HARD"


def test_the_direction_of_a_pair_is_kept() -> None:
    answers = answers_of(full_answers(word="NO")) | {"B23a": "YES"}
    assert "B23a" not in profile_of(SURVEY, "FULL", answers).boundaries
    assert profile_of(SURVEY, "FULL", answers).boundaries["B23b"] == "HARD"


@pytest.mark.parametrize(
    ("form", "answers", "missing"),
    [
        ("FULL", {}, [f"A{n}" for n in range(1, 17)]),
        ("SHORT", {}, ["A1", "A5", "A9", "A13", "A14"]),
        ("SHORT", {"A1": 1, "A5": 1, "A9": 1, "A13": 1, "A14": 1}, []),
    ],
)
def test_scales_have_to_be_answered(
    form: str, answers: dict[str, object], missing: list[str]
) -> None:
    assert unanswered(SURVEY, form, answers) == missing
    assert len(asked_items(SURVEY, form, answers)) == (75 if form == "FULL" else 13)


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (1, True), (7, True), (0, False), (8, False), (-1, False), (3.5, False), (True, False),
        (False, False), ("YES", True), ("yes", False), ("", False), ("7", False), (None, True),
        ([], True), (["anal", "impact"], True), (["anal", "anal"], False), (["Anal"], False),
        ([1], False), ([["anal"]], False), ({}, False), ([f"k{chr(97 + n % 26)}" for n in range(60)], False),
    ],
)  # fmt: skip
def test_what_is_an_answer(value: object, good: bool) -> None:
    assert is_answer(value) is good


def test_answers_are_told_apart_from_what_is_none() -> None:
    found = list(accepted_answers([("A1", 3.0), ("A2", True), ("nothing", 1), ("B1a", None)]))
    assert found[0] == {"item_id": "A1", "value": 3, "score": 2 / 6, "index": 0}
    assert found[3] == {"item_id": "B1a", "value": None, "score": 0.0, "index": 3}
    faults = [one.path for one in found if isinstance(one, DomainError)]
    assert faults == [("input", "answers", "1", "value"), ("input", "answers", "2", "itemId")]


@pytest.mark.parametrize("count", [0, 201])
def test_a_batch_is_neither_empty_nor_huge(count: int) -> None:
    (fault,) = accepted_answers([("A1", 1)] * count)
    assert isinstance(fault, DomainError)
    assert fault.path == ("input", "answers")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, []),
        ({"name": " "}, ["name"]),
        ({"name": "x" * 101, "anatomy_self": []}, ["name", "anatomySelf"]),
        ({"anatomy_preference": []}, ["anatomyPreference"]),
        ({"name": "Ada", "anatomy_self": ["vagina"]}, []),
    ],
)
def test_what_is_wrong_with_demographics(given: dict[str, Any], fields: list[str]) -> None:
    assert [problem.path[-1] for problem in problems_of_demographics(given)] == fields
