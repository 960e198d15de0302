"""How answers become scores, a profile and boundaries: pure decisions, no I/O.

The rules are those of version 0.4 of Attuned's survey. An item says itself which scores it counts
to, so that another version of the survey needs no other rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from statistics import fmean
from typing import Any

from db.surveys.archetypes import Archetypes, archetypes_of
from db.surveys.tables import DOMAINS

SCALE, YES_MAYBE_NO, CHECKLIST = "SCALE", "YES_MAYBE_NO", "CHECKLIST"
SCALE_LENGTH = 7
WORDS = {"YES": 1.0, "MAYBE": 0.5, "NO": 0.0}
AROUSAL = ("SE", "SIS_P", "SIS_C")
POWER = ("POWER_TOP", "POWER_BOTTOM")
TRUTH = "TRUTH"
MEASURES = (*AROUSAL, *POWER, TRUTH)
NO_ANSWERS = 50
OPEN_FROM = 0.5
LITTLE_POWER, EVEN_POWERS = 30, 15
AROUSAL_LEVELS = ((0.30, "LOW"), (0.55, "MODERATE_LOW"), (0.75, "MODERATE_HIGH"), (1.0, "HIGH"))
POWER_LEVELS = ((0.30, "LOW"), (0.60, "MODERATE"), (0.85, "HIGH"), (1.0, "VERY_HIGH"))
# Open to a group is who does not rule it out, where the survey asks.
GROUP_LIMIT, GROUP_TAG = "multi_partner", "OPEN_TO_GROUP"


@dataclass(frozen=True)
class ScoredItem:
    """What of an item counts for a profile."""

    item_id: str
    kind: str
    measures: Sequence[str] = ()
    tags: Sequence[str] = ()
    limit_keys: Sequence[str] = ()
    options: Sequence[str] = ()
    is_required: bool = False
    is_short: bool = False


@dataclass(frozen=True)
class Power:
    """Whether somebody leads or follows, how surely (0 to 1) and in a word.

    `top_percent` is where a slider between following (0) and leading (100) stands.
    """

    orientation: str
    confidence: float
    level: str
    top_percent: int


@dataclass(frozen=True)
class Measure:
    """A score from 0 to 100 with its word; both are null where nothing of it was asked."""

    score: float | None
    level: str | None


@dataclass(frozen=True)
class ProfileScores:
    """All that answers say of somebody."""

    power: Power
    domains: Mapping[str, int]
    measures: Mapping[str, Measure]
    archetypes: Archetypes
    tags: tuple[str, ...]
    boundaries: Mapping[str, str] = field(default_factory=dict)


def score_of(value: object) -> float | None:
    """An answer between 0 and 1; null for a list, 0 for what is missing or no answer at all."""
    if isinstance(value, list):
        return None
    if isinstance(value, str):
        return WORDS.get(value, 0.0)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= SCALE_LENGTH:
        return (value - 1) / (SCALE_LENGTH - 1)
    return 0.0


def rounded(value: float, places: int = 0) -> float:
    """A half goes up, as people round and as JavaScript does."""
    step = Decimal(1).scaleb(-places)
    return float(Decimal(repr(value)).quantize(step, ROUND_HALF_UP))


def level_of(share: float, levels: Iterable[tuple[float, str]]) -> str:
    """The word for a share between 0 and 1: the first whose bound is not exceeded."""
    found = [word for bound, word in levels if share <= bound]
    return found[0] if found else [word for _, word in levels][-1]


def asked_items(
    items: Sequence[ScoredItem], form: str, answers: Mapping[str, object]
) -> list[ScoredItem]:
    """What counts: the items of the form, and beside them those that were answered."""
    return [item for item in items if form == "FULL" or item.is_short or item.item_id in answers]


def unanswered(items: Sequence[ScoredItem], form: str, answers: Mapping[str, object]) -> list[str]:
    """The items that have to be answered before the form is submitted, and are not."""
    return [
        item.item_id
        for item in items
        if item.is_required and (form == "FULL" or item.is_short) and item.item_id not in answers
    ]


def power_of(top: float, bottom: float) -> Power:
    """What the two means, 0 to 100, make of somebody."""
    larger, smaller = max(top, bottom), min(top, bottom)
    if larger < LITTLE_POWER:
        orientation, confidence = "VERSATILE", larger / 100
    elif larger - smaller <= EVEN_POWERS and smaller >= LITTLE_POWER:
        orientation, confidence = "SWITCH", smaller / 100
    else:
        orientation = "TOP" if top > bottom else "BOTTOM"
        confidence = larger / 100 * (1 - 0.3 * smaller / 100)
    share = top / (top + bottom) if top + bottom else 0.5
    return Power(
        orientation,
        rounded(confidence, 4),
        level_of(confidence, POWER_LEVELS),
        int(rounded(share * 100)),
    )


def domain_score(scores: Sequence[float]) -> int:
    """The rounded mean of a domain's answers, 0 to 100."""
    return int(rounded(fmean(scores) * 100)) if scores else NO_ANSWERS


def arousal_measure(scores: Sequence[float]) -> Measure:
    """The mean of a factor's answers to two decimals, and its word."""
    if not scores:
        return Measure(None, None)
    mean = rounded(fmean(scores), 2)
    return Measure(rounded(mean * 100), level_of(mean, AROUSAL_LEVELS))


def plain_measure(scores: Sequence[float]) -> Measure:
    """The mean of the answers, as it is."""
    if not scores:
        return Measure(None, None)
    return Measure(rounded(fmean(scores) * 100, 2), None)


def tags_of(items: Sequence[ScoredItem], answers: Mapping[str, object]) -> tuple[str, ...]:
    """What somebody is open to: at least a maybe to an item of it that no limit covers."""
    limits = limits_of(items, answers)
    found = {
        tag
        for item in items
        if (score_of(answers.get(item.item_id)) or 0) >= OPEN_FROM
        and not limits.intersection(item.limit_keys)
        for tag in item.tags
    }
    is_asked = any(GROUP_LIMIT in item.options for item in items)
    if is_asked and GROUP_LIMIT not in limits:
        found.add(GROUP_TAG)
    return tuple(sorted(found))


def limits_of(items: Sequence[ScoredItem], answers: Mapping[str, object]) -> set[str]:
    """The limits that somebody checked."""
    checked: set[str] = set()
    for item in items:
        value = answers.get(item.item_id)
        if item.kind == CHECKLIST and isinstance(value, list):
            checked.update(option for option in value if isinstance(option, str))
    return checked


def inferred_boundaries(
    asked: Sequence[ScoredItem], answers: Mapping[str, object]
) -> Mapping[str, str]:
    """Boundaries by item or limit: no is hard, as is no answer to what was asked; maybe is soft."""
    kinds = {0.0: "HARD", OPEN_FROM: "SOFT"}
    found = dict.fromkeys(sorted(limits_of(asked, answers)), "HARD")
    for item in asked:
        if item.kind == YES_MAYBE_NO:
            score = score_of(answers.get(item.item_id))
            if score is not None and score in kinds:
                found[item.item_id] = kinds[score]
    return found


def profile_of(items: Sequence[ScoredItem], form: str, answers: Mapping[str, Any]) -> ProfileScores:
    """The profile that answers make; what was asked and not answered counts as 0."""
    asked = asked_items(items, form, answers)

    def scores(measure: str) -> list[float]:
        counted = [item for item in asked if measure in item.measures]
        return [score_of(answers.get(item.item_id)) or 0.0 for item in counted]

    measures = {name: arousal_measure(scores(name)) for name in AROUSAL}
    measures |= {name: plain_measure(scores(name)) for name in (*POWER, TRUTH)}
    top, bottom = (measures[name].score for name in POWER)
    domains = {name: domain_score(scores(name)) for name in DOMAINS}
    traits = {
        **domains,
        "SE": measures["SE"].score,
        "LEAD": top,
        "YIELD": bottom,
        "SWITCH": None if top is None or bottom is None else min(top, bottom),
    }
    return ProfileScores(
        power=power_of(top or 0.0, bottom or 0.0),
        domains=domains,
        measures=measures,
        archetypes=archetypes_of(traits),
        tags=tags_of(asked, answers),
        boundaries=inferred_boundaries(asked, answers),
    )
