"""How well two survey profiles fit, and why: pure decisions, no I/O.

The weights and thresholds are those of version 0.7 of Attuned's compatibility. Scores of answers,
powers and arousal are between 0 and 1, domains between 0 and 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from statistics import fmean

TOP, BOTTOM, SWITCH, VERSATILE = "TOP", "BOTTOM", "SWITCH", "VERSATILE"
DOMAINS = ("SENSATION", "POWER", "CONNECTION", "EXPLORATION", "VERBAL")
# Where a top and a bottom fit, both want enough of these; they need not want the same.
SHARED_WANTS = ("EXPLORATION", "VERBAL")
ENOUGH = 50
ACTIVITY_SECTIONS = (
    "physical_touch",
    "oral",
    "anal",
    "power_exchange",
    "verbal_roleplay",
    "display_performance",
)
TRUTH_SECTION = "truth_topics"
# The weights add to 0.95: the two modifiers of arousal may add the rest.
POWER_WEIGHT, DOMAIN_WEIGHT, ACTIVITY_WEIGHT, TRUTH_WEIGHT = 0.15, 0.25, 0.40, 0.15
CONFLICT_COST = 0.20
WANTED, EAGER, CURIOUS = 0.5, 0.7, 0.3
HIGH, MIDDLE = 0.65, 0.35
MAIN_AXIS, REVERSE_AXIS = 0.8, 0.2
WORDS = (
    (85, "EXCEPTIONAL"),
    (70, "HIGH"),
    (55, "MODERATE"),
    (40, "LOWER"),
    (0, "CHALLENGING"),
)


@dataclass(frozen=True)
class SurveyedItem:
    """What of a survey's item counts here; the sides of a `question` are items of their own."""

    item_id: str
    question: str
    section: str
    side: str = "NONE"
    limit_keys: Sequence[str] = ()


@dataclass(frozen=True)
class Side:
    """One of the two: power, domains, answers by item, arousal and hard limits."""

    orientation: str
    confidence: float
    domains: Mapping[str, float]
    answers: Mapping[str, float]
    excitation: float = 0.0
    caution: float = 0.0
    limits: frozenset[str] = frozenset()

    def wants(self, item_id: str | None) -> bool:
        """Whether an answer is at least a maybe; what is not answered is a no."""
        return item_id is not None and self.answers.get(item_id, 0.0) >= WANTED


@dataclass(frozen=True)
class Conflict:
    """A hard limit of one, and the items under it that the other is eager for."""

    limit_key: str
    of_first: bool
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """How well two fit, in whole per cent and a word, and what it is made of (0 to 1 each)."""

    score: int
    word: str
    power: float
    domains: float
    activities: float
    truth: float
    excitation: float
    caution: float
    by_domain: Mapping[str, float]
    by_section: Mapping[str, float]
    mutual: tuple[str, ...]
    growth: tuple[str, ...]
    compatible: tuple[str, ...]
    first_only: tuple[str, ...]
    second_only: tuple[str, ...]
    topics: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    blocked: tuple[str, ...]


def are_complements(one: Side, other: Side) -> bool:
    """Whether one leads and the other follows."""
    return {one.orientation, other.orientation} == {TOP, BOTTOM}


def are_same_pole(one: Side, other: Side) -> bool:
    """Whether both lead, or both follow."""
    return one.orientation == other.orientation and one.orientation in (TOP, BOTTOM)


def power_fit(one: Side, other: Side) -> float:
    """How two ways to hold power fit."""
    if are_complements(one, other):
        return 1 - 0.3 * abs(one.confidence - other.confidence)
    both = {one.orientation, other.orientation}
    if both == {SWITCH}:
        return 0.85
    if SWITCH in both or both == {VERSATILE}:
        return 0.75
    return 0.60 if VERSATILE in both else 0.50


def domain_fits(one: Side, other: Side) -> dict[str, float]:
    """How near two are in each domain; see `SHARED_WANTS` for a top and a bottom."""
    found = {}
    for name in DOMAINS:
        first, second = one.domains.get(name, 0.0), other.domains.get(name, 0.0)
        if name in SHARED_WANTS and are_complements(one, other):
            found[name] = min(1.0, min(first, second) / ENOUGH)
        else:
            found[name] = 1 - abs(first - second) / 100
    return found


def section_fit(items: Sequence[SurveyedItem], one: Side, other: Side) -> float:
    """How two fit in the activities of a section."""
    if are_complements(one, other):
        top, bottom = (one, other) if one.orientation == TOP else (other, one)
        credits = [credit for sides in _questions(items) for credit in _led(sides, top, bottom)]
        no_data = 0.5
    elif are_same_pole(one, other):
        credits = [credit for sides in _questions(items) for credit in _alike(sides, one, other)]
        no_data = 0.0
    else:
        credits = [(1.0, _agreement(item.item_id, item.item_id, one, other)) for item in items]
        no_data = 0.5
    weight = sum(weight for weight, _ in credits)
    return sum(weight * credit for weight, credit in credits) / weight if weight else no_data


def _questions(items: Iterable[SurveyedItem]) -> list[dict[str, str]]:
    """The items of each question by their side."""
    ordered = sorted(items, key=lambda item: item.question)
    return [
        {item.side: item.item_id for item in found}
        for _, found in groupby(ordered, key=lambda item: item.question)
    ]


def _agreement(first: str, second: str, one: Side, other: Side) -> float:
    """1 where both want it, and where neither does."""
    return float(one.wants(first) == other.wants(second))


def _led(sides: Mapping[str, str], top: Side, bottom: Side) -> Iterable[tuple[float, float]]:
    """Weights and credits of a question for a top and a bottom."""
    if "GIVE" in sides:
        give, receive = sides["GIVE"], sides["RECEIVE"]
        yield MAIN_AXIS, _agreement(give, receive, top, bottom)
        only_wished = bottom.wants(give) and not top.wants(receive)
        yield REVERSE_AXIS, 0.5 if only_wished else _agreement(give, receive, bottom, top)
    elif "SELF" in sides:
        show, watch = sides["SELF"], sides.get("WATCH")
        if bottom.wants(show) or top.wants(watch):
            yield MAIN_AXIS, float(bottom.wants(show) and top.wants(watch))
        if top.wants(show) or bottom.wants(watch):
            lone = 0.5 if top.wants(show) else 0.0
            yield REVERSE_AXIS, 1.0 if top.wants(show) and bottom.wants(watch) else lone
    else:
        yield 1.0, _agreement(sides["NONE"], sides["NONE"], top, bottom)


def _alike(sides: Mapping[str, str], one: Side, other: Side) -> Iterable[tuple[float, float]]:
    """Weights and credits of a question for two of the same pole: only what somebody wants."""
    if "GIVE" in sides:
        both_roles = (sides["GIVE"], sides["RECEIVE"])
        if any(side.wants(item) for side in (one, other) for item in both_roles):
            able = sum(all(side.wants(item) for item in both_roles) for side in (one, other))
            yield 1.0, (0.0, 0.3, 0.5)[able]
    else:
        item = sides.get("SELF") or sides["NONE"]
        if one.wants(item) or other.wants(item):
            yield 1.0, float(one.wants(item) and other.wants(item))


def truth_fit(topics: Sequence[str], one: Side, other: Side) -> float:
    """How openly two can talk: the mean over the topics."""
    if not topics:
        return 0.5
    return fmean(_topic_fit(topic, one, other) for topic in topics)


def _topic_fit(topic: str, one: Side, other: Side) -> float:
    if one.wants(topic) and other.wants(topic):
        return min(one.answers[topic], other.answers[topic])
    return 0.3 if one.wants(topic) or other.wants(topic) else 0.5


def excitation_modifier(one: float, other: float) -> float:
    """What it adds when both are easily excited, or one is."""
    larger, smaller = max(one, other), min(one, other)
    if larger < HIGH:
        return 0.0
    if smaller >= HIGH:
        return 0.03
    return 0.015 if smaller >= MIDDLE else 0.005


def caution_modifier(one: float, other: float) -> float:
    """What it adds or takes how much two look to the consequences (SIS-C)."""
    # The scores have two decimals, their difference as numbers has more.
    if round(abs(one - other), 6) > 0.4:
        return -0.02
    return 0.02 if all(MIDDLE <= value <= HIGH for value in (one, other)) else 0.0


def conflicts_of(items: Sequence[SurveyedItem], one: Side, other: Side) -> tuple[Conflict, ...]:
    """The hard limits of each under which the other is eager for something."""
    found = []
    for limited, eager in ((one, other), (other, one)):
        for key in sorted(limited.limits):
            wished = tuple(
                item.item_id
                for item in items
                if key in item.limit_keys and eager.answers.get(item.item_id, 0.0) >= EAGER
            )
            if wished:
                found.append(Conflict(key, limited is one, wished))
    return tuple(found)


def word_of(score: int) -> str:
    """The word for a score in per cent."""
    return next(word for bound, word in WORDS if score >= bound)


def counterparts(items: Iterable[SurveyedItem]) -> dict[str, str]:
    """The other side of each item that has one: who gives meets who receives."""
    found = {}
    for sides in _questions(items):
        for one, other in (("GIVE", "RECEIVE"), ("SELF", "WATCH")):
            if one in sides and other in sides:
                found[sides[one]], found[sides[other]] = sides[other], sides[one]
    return found


def compatibility(items: Sequence[SurveyedItem], one: Side, other: Side) -> Comparison:
    """How well two fit; the same for both, but for what names the first and the second."""
    activities = [item for item in items if item.section in ACTIVITY_SECTIONS]
    topics = [item.item_id for item in items if item.section == TRUTH_SECTION]
    by_section = {
        name: section_fit([item for item in activities if item.section == name], one, other)
        for name in ACTIVITY_SECTIONS
    }
    by_domain = domain_fits(one, other)
    penalty = 0.5 if are_same_pole(one, other) else 1.0
    power, domains = power_fit(one, other), penalty * fmean(by_domain.values())
    overlap, truth = fmean(by_section.values()), penalty * truth_fit(topics, one, other)
    excitation = excitation_modifier(one.excitation, other.excitation)
    caution = caution_modifier(one.caution, other.caution)
    conflicts = conflicts_of(items, one, other)
    total = (
        POWER_WEIGHT * power
        + DOMAIN_WEIGHT * domains
        + ACTIVITY_WEIGHT * overlap
        + TRUTH_WEIGHT * truth
        + excitation
        + caution
        - CONFLICT_COST * len(conflicts)
    )
    score = per_cent(min(1.0, max(0.0, total)))
    return Comparison(
        score=score,
        word=word_of(score),
        power=power,
        domains=domains,
        activities=overlap,
        truth=truth,
        excitation=excitation,
        caution=caution,
        by_domain=by_domain,
        by_section=by_section,
        topics=tuple(topic for topic in topics if one.wants(topic) and other.wants(topic)),
        conflicts=conflicts,
        blocked=tuple(sorted(one.limits | other.limits)),
        **_lists(activities, one, other),
    )


def per_cent(share: float) -> int:
    """A share as whole per cent; a half goes up."""
    exact = Decimal(repr(round(share * 100, 6)))
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def _lists(
    activities: Sequence[SurveyedItem], one: Side, other: Side
) -> dict[str, tuple[str, ...]]:
    """What the two have in common and what not, item by item."""
    partners = counterparts(activities)
    found: dict[str, list[str]] = {
        name: [] for name in ("mutual", "growth", "compatible", "first_only", "second_only")
    }
    for item in activities:
        key = item.item_id
        first, second = one.answers.get(key, 0.0), other.answers.get(key, 0.0)
        if min(first, second) >= EAGER:
            found["mutual"].append(key)
        elif max(first, second) >= EAGER and min(first, second) >= CURIOUS:
            found["growth"].append(key)
        meets = partners.get(key)
        if one.wants(key) and other.wants(meets):
            found["compatible"].append(key)
        elif one.wants(key) and not other.wants(key):
            found["first_only"].append(key)
        if other.wants(key) and not one.wants(key) and not one.wants(meets):
            found["second_only"].append(key)
    return {name: tuple(keys) for name, keys in found.items()}
