"""Each rule by which two profiles are compared, on values around where it turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.partners.rules import (
    DOMAINS,
    Conflict,
    Side,
    SurveyedItem,
    caution_modifier,
    compatibility,
    conflicts_of,
    domain_fits,
    excitation_modifier,
    per_cent,
    power_fit,
    section_fit,
    truth_fit,
    word_of,
)

PAIR = (
    SurveyedItem("B3a", "B3", "physical_touch", "RECEIVE", ("impact",)),
    SurveyedItem("B3b", "B3", "physical_touch", "GIVE", ("impact",)),
)
SHOWN = (
    SurveyedItem("B24a", "B24", "display_performance", "SELF"),
    SurveyedItem("B24b", "B24", "display_performance", "WATCH"),
)
ALONE = (SurveyedItem("B26", "B26", "display_performance", "SELF"),)
PLAIN = (SurveyedItem("B19", "B19", "verbal_roleplay"),)
TOPICS = tuple(SurveyedItem(f"B{n}", f"B{n}", "truth_topics") for n in range(29, 37))
ITEMS = (*PAIR, *SHOWN, *ALONE, *PLAIN, *TOPICS)


def side(orientation: str = "SWITCH", confidence: float = 0.8, **answers: float) -> Side:
    return Side(orientation, confidence, dict.fromkeys(DOMAINS, 60.0), answers)


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [
        (("TOP", 0.9), ("BOTTOM", 0.9), 1.0),
        (("TOP", 0.9), ("BOTTOM", 0.4), 0.85),
        (("SWITCH", 0.5), ("SWITCH", 0.9), 0.85),
        (("VERSATILE", 0.1), ("VERSATILE", 0.2), 0.75),
        (("SWITCH", 0.5), ("TOP", 0.9), 0.75),
        (("SWITCH", 0.5), ("BOTTOM", 0.9), 0.75),
        (("SWITCH", 0.5), ("VERSATILE", 0.2), 0.75),
        (("VERSATILE", 0.2), ("TOP", 0.9), 0.60),
        (("BOTTOM", 0.9), ("VERSATILE", 0.2), 0.60),
        (("TOP", 0.9), ("TOP", 0.9), 0.50),
        (("BOTTOM", 0.9), ("BOTTOM", 0.3), 0.50),
    ],
)
def test_power(one: tuple[str, float], other: tuple[str, float], fit: float) -> None:
    assert power_fit(side(*one), side(*other)) == pytest.approx(fit)
    assert power_fit(side(*other), side(*one)) == pytest.approx(fit)


@pytest.mark.parametrize(
    ("orientations", "scores", "near", "shared"),
    [
        (("SWITCH", "TOP"), (80, 30), 0.5, 0.5),
        (("TOP", "BOTTOM"), (80, 30), 0.5, 0.6),
        (("BOTTOM", "TOP"), (50, 100), 0.5, 1.0),
        (("TOP", "TOP"), (49, 50), 0.99, 0.99),
    ],
)
def test_domains(
    orientations: tuple[str, str], scores: tuple[int, int], near: float, shared: float
) -> None:
    one, other = (
        replace(side(name), domains=dict.fromkeys(DOMAINS, float(score)))
        for name, score in zip(orientations, scores, strict=True)
    )
    fits = domain_fits(one, other)
    assert [fits[name] for name in ("SENSATION", "POWER", "CONNECTION")] == [
        pytest.approx(near)
    ] * 3
    assert [fits[name] for name in ("EXPLORATION", "VERBAL")] == [pytest.approx(shared)] * 2


@pytest.mark.parametrize(
    ("items", "orientations", "one", "other", "fit"),
    [
        # Somebody is neither top nor bottom: agreement item by item, and both no agrees too.
        (PAIR, ("SWITCH", "TOP"), {"B3a": 1.0, "B3b": 0.5}, {"B3a": 0.5}, 0.5),
        (PAIR, ("VERSATILE", "VERSATILE"), {}, {}, 1.0),
        ((), ("SWITCH", "SWITCH"), {}, {}, 0.5),
        # A top and a bottom.
        (PAIR, ("TOP", "BOTTOM"), {"B3b": 1.0}, {"B3a": 0.5}, 1.0),
        (PAIR, ("BOTTOM", "TOP"), {"B3a": 0.5}, {"B3b": 1.0}, 1.0),
        (PAIR, ("TOP", "BOTTOM"), {"B3b": 1.0}, {}, 0.2),
        (PAIR, ("TOP", "BOTTOM"), {}, {"B3b": 1.0}, 0.9),
        (PAIR, ("TOP", "BOTTOM"), {"B3a": 1.0}, {}, 0.8),
        (PAIR, ("TOP", "BOTTOM"), {}, {}, 1.0),
        (SHOWN, ("TOP", "BOTTOM"), {}, {}, 0.5),
        (SHOWN, ("TOP", "BOTTOM"), {"B24b": 0.5}, {"B24a": 0.5}, 1.0),
        (SHOWN, ("TOP", "BOTTOM"), {}, {"B24a": 1.0}, 0.0),
        (SHOWN, ("TOP", "BOTTOM"), {"B24a": 1.0}, {}, 0.5),
        (SHOWN, ("TOP", "BOTTOM"), {}, {"B24b": 1.0}, 0.0),
        (SHOWN, ("TOP", "BOTTOM"), {"B24a": 1.0, "B24b": 1.0}, {"B24a": 1.0}, 0.9),
        (ALONE, ("TOP", "BOTTOM"), {"B26": 1.0}, {"B26": 1.0}, 0.1),
        (PLAIN, ("TOP", "BOTTOM"), {"B19": 0.5}, {"B19": 1.0}, 1.0),
        (PLAIN, ("TOP", "BOTTOM"), {"B19": 0.5}, {}, 0.0),
        ((), ("TOP", "BOTTOM"), {}, {}, 0.5),
        # Two of the same pole.
        (PAIR, ("TOP", "TOP"), {"B3b": 1.0}, {"B3b": 1.0}, 0.0),
        (PAIR, ("TOP", "TOP"), {"B3a": 0.5, "B3b": 1.0}, {"B3b": 1.0}, 0.3),
        (PAIR, ("BOTTOM", "BOTTOM"), {"B3a": 1.0, "B3b": 1.0}, {"B3a": 1.0, "B3b": 0.5}, 0.5),
        (PAIR, ("TOP", "TOP"), {}, {}, 0.0),
        ((*PAIR, *PLAIN), ("TOP", "TOP"), {"B19": 1.0}, {"B19": 0.5}, 1.0),
        (PLAIN, ("BOTTOM", "BOTTOM"), {"B19": 1.0}, {}, 0.0),
    ],
)
def test_activities(
    items: tuple[SurveyedItem, ...],
    orientations: tuple[str, str],
    one: dict[str, float],
    other: dict[str, float],
    fit: float,
) -> None:
    first, second = side(orientations[0], **one), side(orientations[1], **other)
    assert section_fit(items, first, second) == pytest.approx(fit)
    assert section_fit(items, second, first) == pytest.approx(fit)


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [(1.0, 1.0, 1.0), (1.0, 0.5, 0.5), (0.4, 0.0, 0.5), (0.5, 0.4, 0.3)],
)
def test_truth(one: float, other: float, fit: float) -> None:
    assert truth_fit(["B29"], side(B29=one), side(B29=other)) == pytest.approx(fit)


@pytest.mark.parametrize(
    ("one", "other", "added"),
    [
        (0.65, 0.65, 0.03),
        (0.65, 0.64, 0.015),
        (0.35, 0.9, 0.015),
        (0.34, 0.9, 0.005),
        (0.64, 0.64, 0.0),
    ],
)
def test_excitation(one: float, other: float, added: float) -> None:
    assert excitation_modifier(one, other) == added


@pytest.mark.parametrize(
    ("one", "other", "added"),
    [
        (0.35, 0.65, 0.02),
        (0.34, 0.65, 0.0),
        (0.66, 0.65, 0.0),
        (0.7, 0.3, 0.0),
        (0.71, 0.3, -0.02),
    ],
)
def test_caution(one: float, other: float, added: float) -> None:
    assert caution_modifier(one, other) == added


def test_a_conflict_is_a_limit_under_which_the_other_is_eager() -> None:
    limited = replace(side(B3b=1.0), limits=frozenset({"impact", "public"}))
    assert conflicts_of(ITEMS, limited, side(B3a=0.5)) == ()
    assert conflicts_of(ITEMS, limited, side(B3a=0.7, B3b=1.0, B19=1.0)) == (
        Conflict("impact", of_first=True, item_ids=("B3a", "B3b")),
    )
    assert conflicts_of(ITEMS, side(B3a=1.0), limited) == (
        Conflict("impact", of_first=False, item_ids=("B3a",)),
    )
    # Both rule it out and one is eager nonetheless: one conflict, of who limits the other.
    both = replace(side(), limits=frozenset({"impact"}))
    assert [one.of_first for one in conflicts_of(ITEMS, limited, both)] == [False]


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (100, "EXCEPTIONAL"),
        (85, "EXCEPTIONAL"),
        (84, "HIGH"),
        (70, "HIGH"),
        (69, "MODERATE"),
        (55, "MODERATE"),
        (54, "LOWER"),
        (40, "LOWER"),
        (39, "CHALLENGING"),
        (0, "CHALLENGING"),
    ],
)
def test_words(score: int, word: str) -> None:
    assert word_of(score) == word


@pytest.mark.parametrize(("share", "whole"), [(0.625, 63), (0.6249, 62), (0.145, 15), (1.0, 100)])
def test_per_cent(share: float, whole: int) -> None:
    assert per_cent(share) == whole


OPEN = {item.item_id: 1.0 for item in ITEMS}


def test_the_total_adds_the_parts_by_their_weights() -> None:
    top = replace(side("TOP", B3b=1.0, B24b=1.0, B19=1.0), excitation=0.7, caution=0.5)
    bottom = replace(side("BOTTOM", B3a=1.0, B24a=1.0, B19=1.0), excitation=0.7, caution=0.5)
    found = compatibility(ITEMS, top, bottom)
    # Sections: touch 1, shown 1, words 1; nothing was asked of three: 0.5. No topics: 0.5.
    assert found.activities == pytest.approx(0.75)
    expected = 0.15 * 1 + 0.25 * 1 + 0.40 * 0.75 + 0.15 * 0.5 + 0.03 + 0.02
    assert (found.score, found.word) == (per_cent(expected), "HIGH")
    assert found == replace(
        compatibility(ITEMS, bottom, top),
        first_only=found.first_only,
        second_only=found.second_only,
        compatible=found.compatible,
    )


def test_the_same_pole_halves_domains_and_truth() -> None:
    top = side("TOP", **OPEN)
    found = compatibility(ITEMS, top, top)
    assert (found.domains, found.truth) == (0.5, 0.5)
    assert (found.by_domain["POWER"], found.by_section["physical_touch"]) == (1.0, 0.5)


def test_conflicts_cost_and_the_total_stays_within_its_bounds() -> None:
    open_to_all = side(**OPEN)
    limits = frozenset({"impact"})
    free = compatibility(ITEMS, open_to_all, open_to_all)
    limited = compatibility(ITEMS, replace(open_to_all, limits=limits), open_to_all)
    assert free.score - limited.score == 20
    keys = tuple(f"limit{n}" for n in range(9))
    eager = (replace(PAIR[0], limit_keys=keys),)
    worst = compatibility(eager, replace(open_to_all, limits=frozenset(keys)), open_to_all)
    assert (worst.score, worst.word, len(worst.blocked)) == (0, "CHALLENGING", 9)


def test_lists_say_what_the_two_have_in_common() -> None:
    one = side("TOP", B3b=1.0, B19=1.0, B24a=0.5, B24b=1.0, B29=0.5, B30=1.0)
    other = side("BOTTOM", B3a=0.5, B19=0.7, B24b=0.4, B26=1.0, B29=1.0)
    found = compatibility(ITEMS, one, other)
    assert (found.mutual, found.growth, found.topics) == (("B19",), ("B24b",), ("B29",))
    assert (found.compatible, found.first_only) == (("B3b",), ("B24a", "B24b"))
    assert found.second_only == ("B26",)
