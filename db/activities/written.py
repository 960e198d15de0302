"""Whether what an AI wrote may be given to the players that it was written for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.activities.rules import DEFAULTS, activity_uid, problems_of_activity
from db.activities.vocabulary import ANATOMY, AUDIENCES, DOMAINS, KINDS, LEVELS, LIMIT_KEYS
from db.activities.words import (
    anatomy_in,
    limits_in,
    problems_of_language,
    refused_term,
    speaks_of_any,
    unnamed_matters,
)

FEWEST_STEPS, MOST_STEPS = 1, 2
FEWEST_WORDS, MOST_WORDS = 3, 35
MOST_THEMES = 3
# What the intensities of a level are; a draw looks for one within them.
INTENSITIES: Mapping[str, tuple[int, int]] = {"G": (1, 1), "R": (1, 3), "X": (1, 5)}
_OWN_COLUMNS = ("kind", "level", "intensity", "steps", "themes", *DEFAULTS)
_LINKS = re.compile(r"https?:|www\.|[@#<>\\]")


_TOLD, _MOST_TOLD = 120, 5


@dataclass(frozen=True, slots=True)
class ActivityRequest:
    """What an AI is asked for: how many activities, and for whom, who are without names.

    `closed` are items and limits that are closed to one of them, `wanted` items that all who
    answered are open to; `items` says what each item is about, `limits` which limits it is
    under. Whose audience is SOLO plays alone.
    """

    count: int
    level: str
    audience: str
    closed: frozenset[str]
    anatomies: tuple[frozenset[str], ...]
    wanted: tuple[str, ...]
    items: Mapping[str, str]
    limits: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> ActivityRequest:
        """Of what `app.asked_activities` gives."""
        return cls(
            count=stored["count"],
            level=stored["level"],
            audience=stored["audience"],
            closed=frozenset(stored["closed"]),
            anatomies=tuple(map(frozenset, stored["anatomies"])),
            wanted=tuple(stored["wanted"]),
            items=stored["items"],
            limits=stored["limits"],
        )

    def is_closed(self, key: str) -> bool:
        """Whether a limit or an item is: of a pair, the other side is the partner's."""
        meant = {key, _other_side(key), *self.limits_of(key)}
        return not meant.isdisjoint(self.closed)

    def limits_of(self, item: str) -> Sequence[str]:
        """The limits that an item of the survey is under."""
        return self.limits.get(item, ())

    @property
    def open_items(self) -> tuple[str, ...]:
        """The items that may be meant."""
        return tuple(key for key in self.items if not self.is_closed(key))

    @property
    def levels(self) -> tuple[str, ...]:
        """The session's level and those below it."""
        return LEVELS[: LEVELS.index(self.level) + 1]


@dataclass(frozen=True, slots=True)
class Written:
    """What is left of an answer: activities as they are stored, and why the others are not."""

    approved: tuple[dict[str, Any], ...]
    reasons: tuple[dict[str, Any], ...]


def answer_schema(asked: ActivityRequest) -> dict[str, Any]:
    """The JSON Schema (2020-12) of an answer."""

    def some_of(values: Collection[str], most: int = 8) -> dict[str, Any]:
        return {
            "type": "array",
            "maxItems": most,
            "items": {"type": "string", "enum": sorted(values)},
        }

    low, high = INTENSITIES[asked.level]
    text = {"type": "string", "minLength": 1, "maxLength": 300}
    theme = {"type": "string", "minLength": 2, "maxLength": 30}
    properties = {
        "kind": {"type": "string", "enum": list(KINDS)},
        "level": {"type": "string", "enum": list(asked.levels)},
        "intensity": {"type": "integer", "minimum": low, "maximum": high},
        "steps": {
            "type": "array", "minItems": FEWEST_STEPS, "maxItems": MOST_STEPS, "items": text,
        },
        "themes": {"type": "array", "minItems": 1, "maxItems": MOST_THEMES, "items": theme},
        "audience": {"type": "string", "enum": list(AUDIENCES)},
        "limit_keys": some_of(LIMIT_KEYS),
        "needs_anatomy_active": some_of(ANATOMY),
        "needs_anatomy_partner": some_of(ANATOMY),
        "power_role": {"type": "string", "enum": ["NEUTRAL", "TOP", "BOTTOM", "SWITCH"]},
        "preference_keys": some_of(asked.open_items or ("B1a",), 20),
        "domains": some_of(DOMAINS),
    }  # fmt: skip
    one = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "activities": {"type": "array", "minItems": 1, "maxItems": asked.count, "items": one}
        },
        "required": ["activities"],
        "additionalProperties": False,
    }


def checked_activities(asked: ActivityRequest, given: object) -> Written:
    """What may be drawn of the entries that an AI gave, whatever they are."""
    entries = given if isinstance(given, list) else []
    approved: dict[str, dict[str, Any]] = {}
    reasons: list[dict[str, Any]] = []
    for place, entry in enumerate(entries[: asked.count]):
        activity = _activity_of(entry)
        problems = [
            f"{name}: {what}" if name else what for name, what in _problems(asked, entry, activity)
        ]
        if not problems and activity["id"] in approved:
            problems = ["text: is the same as another one's"]
        if problems:
            told = [_printable(said)[:_TOLD] for said in problems[:_MOST_TOLD]]
            reasons.append({"place": place, "problems": told})
        else:
            approved[activity["id"]] = activity
    if len(entries) > asked.count:
        reasons.append({"place": asked.count, "problems": ["more than were asked for"]})
    return Written(tuple(approved.values()), tuple(reasons))


def _printable(said: str) -> str:
    """What may be stored: a model's words may have signs that no text of Postgres has."""
    return "".join(sign if sign.isprintable() else "?" for sign in said)


def _activity_of(entry: object) -> dict[str, Any]:
    """An entry as it would be stored; empty for what is none."""
    if not isinstance(entry, dict):
        return {}
    steps = entry.get("steps")
    is_text = isinstance(steps, list) and all(isinstance(step, str) for step in steps)
    text = " ".join(" ".join(step.split()) for step in steps) if is_text and steps else ""
    kind = entry.get("kind")
    return {
        **DEFAULTS,
        **{name: value for name, value in entry.items() if name != "steps"},
        "text": text,
        "id": activity_uid(kind, text) if isinstance(kind, str) else "",
    }


def _problems(
    asked: ActivityRequest, entry: object, activity: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    if not isinstance(entry, dict):
        yield "", "is no object"
        return
    for name in entry.keys() - {*_OWN_COLUMNS}:
        yield str(name), "is no column of an activity"
    stored = {name: value for name, value in activity.items() if name in {*_OWN_COLUMNS, "text"}}
    malformed = list(problems_of_activity(stored))
    yield from malformed
    yield from _problems_of_steps(entry.get("steps"))
    if not malformed:
        yield from _problems_of_labels(asked, activity)
        yield from _problems_of_words(asked, activity)


def _problems_of_steps(steps: object) -> Iterator[tuple[str, str]]:
    if not isinstance(steps, list) or not FEWEST_STEPS <= len(steps) <= MOST_STEPS:
        yield "steps", f"must be {FEWEST_STEPS} or {MOST_STEPS}"
        return
    for step in steps:
        words = len(step.split()) if isinstance(step, str) else 0
        if not FEWEST_WORDS <= words <= MOST_WORDS:
            yield "steps", f"has a step of {words} words, not {FEWEST_WORDS} to {MOST_WORDS}"
        elif _LINKS.search(step) or not step.isprintable():
            yield "steps", "has signs that no sentence has"


def _problems_of_labels(
    asked: ActivityRequest, activity: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    low, high = INTENSITIES[asked.level]
    if activity["level"] not in asked.levels:
        yield "level", f"is above the session's {asked.level}"
    if not low <= activity["intensity"] <= high:
        yield "intensity", f"is not {low} to {high}"
    if activity["audience"] not in ("ALL", asked.audience):
        yield "audience", f"is not {asked.audience}"
    for name in ("limit_keys", "preference_keys"):
        if closed := sorted(key for key in activity[name] if asked.is_closed(key)):
            yield name, f"has what is closed to a player: {', '.join(closed)}"
    touched = {limit for key in activity["preference_keys"] for limit in asked.limits_of(key)}
    for limit in sorted(touched - {*activity["limit_keys"]}):
        yield "limit_keys", f"has no {limit}, under which its preference_keys are"
    if activity["level"] == "X" and not activity["preference_keys"] and not activity["limit_keys"]:
        yield "preference_keys", "says nothing of what it is about, as a text of level X must"
    if asked.audience == "SOLO" and "{partner}" in activity["text"]:
        yield "text", "names somebody beside a player who is alone"
    if not _fits_players(
        asked, {*activity["needs_anatomy_active"]}, {*activity["needs_anatomy_partner"]}
    ):
        yield "needs_anatomy", "fits none of the players"


def _other_side(key: str) -> str:
    return key[:-1] + {"a": "b", "b": "a"}.get(key[-1], key[-1])


def _fits_players(asked: ActivityRequest, active: set[str], partner: set[str]) -> bool:
    """Whether one player has what the active one needs, and another one what the partner does."""
    players = asked.anatomies
    if asked.audience == "SOLO":
        return not partner and any(active <= one for one in players)
    return any(
        active <= one and partner <= other
        for place, one in enumerate(players)
        for other in players[:place] + players[place + 1 :]
    )


def _problems_of_words(
    asked: ActivityRequest, activity: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    text = activity["text"]
    for said in problems_of_language(text):
        yield "text", said
    if found := refused_term(text, activity["level"]):
        yield "text", f"has “{found}”, which level {activity['level']} does not have"
    for key in sorted(limits_in(text) - {*activity["limit_keys"]}):
        state = "is closed to a player" if key in asked.closed else "is not among limit_keys"
        yield "text", f"has words of {key}, which {state}"
    items = activity["preference_keys"]
    for matter in unnamed_matters(text, activity["kind"], items):
        yield "text", f"has words of {matter}, which no item of preference_keys asks for"
    if activity["level"] == "X" and not speaks_of_any(text, [*items, *activity["limit_keys"]]):
        yield "text", "has no word of what preference_keys and limit_keys name"
    needed = {*activity["needs_anatomy_active"], *activity["needs_anatomy_partner"]}
    for part in sorted(anatomy_in(text) - needed):
        yield "text", f"has words of {part}, which nobody is said to need"
