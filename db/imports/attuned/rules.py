"""What of the prototype's rows is taken, and what becomes of them: pure decisions, no I/O.

Rows come as Postgres writes them in JSON, so that a column which an older prototype lacks is only
missing. Ids are made of theirs: whoever imports a row again makes the same one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import orjson

from db.activities.rules import DEFAULTS, activity_uid, problems_of_activity
from db.core.texts import as_name
from db.surveys.rules import ScoredItem, score_of

# The version of all that the prototype has stored.
SURVEY_VERSION = "0.4"
ATTUNED = UUID("5f0c8f3e-6a5d-5a55-9e0f-3a2b8d6f2c41")
LIMITS = {
    "hardBoundaryImpact": "impact",
    "hardBoundaryRestrain": "restraint",
    "hardBoundaryBreath": "breath",
    "hardBoundaryDegrade": "degradation",
    "hardBoundaryPublic": "public",
    "hardBoundaryRecord": "recording",
    "hardBoundaryAnal": "anal",
    "hardBoundaryWatersports": "watersports",
}
UNREADABLE = "a limit that cannot be read"
# How a box is ticked or left empty where a checklist names each of its options.
_TICKS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
WORDS = {"Y": "YES", "M": "MAYBE", "N": "NO", "YES": "YES", "MAYBE": "MAYBE", "NO": "NO"}
ANATOMY = ("penis", "vagina", "breasts")
GENDERS = {"woman": "WOMAN", "man": "MAN", "non-binary": "NON_BINARY", "non_binary": "NON_BINARY"}
ORIENTATIONS = {"straight": "STRAIGHT", "gay": "GAY", "bisexual": "BISEXUAL"}
RELATIONSHIPS = {"monogamous": "MONOGAMOUS", "open": "OPEN"}
SHARING = {
    "all_responses": "ALL",
    "overlapping_only": "OVERLAPPING",
    "demographics_only": "DEMOGRAPHICS",
}
AUDIENCES = {"couples": "COUPLES", "groups": "GROUPS", "all": "ALL"}
# The bank's words for what an activity is about; playful and edge are no domain of a profile.
BANK_DOMAINS = {
    "sensual": "SENSATION",
    "power": "POWER",
    "connection": "CONNECTION",
    "exploration": "EXPLORATION",
}
ENDED = {"completed": "ENDED", "abandoned": "ABANDONED"}
LEVELS = ("G", "R", "X")
NO_THEME = "imported"
RANDOM_UUID = 4
_UNSAID = "RATHER_NOT_SAY"
_NO_SLUG = re.compile(r"[^a-z0-9]+")


def made_id(kind: str, key: object) -> UUID:
    """The id here of a row there."""
    return uuid5(ATTUNED, f"{kind}:{key}")


def guest_id(anonymous_session_id: object) -> UUID:
    """The guest that stands for an anonymous session; its own id is the client's secret."""
    return made_id("anonymous", str(anonymous_session_id).lower())


def first_token(anonymous_session_id: object) -> str | None:
    """The refresh token that stands for an anonymous session, which its client makes as well.

    Only of an id of 122 random bits: any other could be guessed.
    """
    session = uuid_of(anonymous_session_id)
    if session is None or session.version != RANDOM_UUID:
        return None
    digest = hashlib.sha256(f"attuned:{session}".encode()).digest()
    return "tgr_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class SourceOwner:
    """Whose a row is: a member, who is here under the same id, or a guest that is made of it."""

    user_id: UUID
    is_guest: bool
    known: Mapping[str, Any] = field(default_factory=dict)


def owner_of(row: Mapping[str, Any], *, profile_id: object = None) -> SourceOwner | None:
    """Whose a row is; of the first prototype, which knew nobody, each profile is a guest's."""
    if user_id := uuid_of(row.get("user_id")):
        return SourceOwner(user_id, is_guest=False)
    if session := row.get("anonymous_session_id"):
        return SourceOwner(
            guest_id(session), is_guest=True, known={"anonymous_session_id": session}
        )
    if profile_id is not None:
        known = {"profile_id": profile_id}
        return SourceOwner(made_id("profile", profile_id), is_guest=True, known=known)
    return None


def uuid_of(value: object) -> UUID | None:
    """A UUID, however it is written."""
    try:
        return UUID(str(value))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TakenAnswers:
    """The answers of a submission in this survey's words; limits that it does not know."""

    values: Mapping[str, Any]
    unknown_limits: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """As they are stored."""
        return [
            {"item_id": name, "value": value, "score": score_of(value)}
            for name, value in self.values.items()
        ]


def answers_of(
    items: Sequence[ScoredItem], payload: object, boundaries: object = None
) -> TakenAnswers:
    """What a submission, or the progress of a survey, says; what is no answer is left out.

    Limits of the profile count beside those that were checked.
    """
    given = object_of(payload)
    given = object_of(given["answers"]) if "answers" in given else given
    values: dict[str, Any] = {}
    unknown: tuple[str, ...] = ()
    for item in items:
        value = given.get(item.item_id)
        if item.kind == "CHECKLIST":
            limits = [*_checked(value), *_limits_of(boundaries)]
            unknown = tuple(sorted({one for one in limits if one not in LIMITS}))
            if value is not None or limits:
                values[item.item_id] = sorted({LIMITS[one] for one in limits if one in LIMITS})
        elif item.kind == "SCALE":
            number = whole(value)
            if number is not None and 1 <= number <= 7:
                values[item.item_id] = number
        elif isinstance(value, str) and (word := WORDS.get(value.strip().upper())):
            values[item.item_id] = word
    return TakenAnswers(values, unknown)


def _limits_of(boundaries: object) -> list[str]:
    given = _read(boundaries)
    if isinstance(given, Mapping) and not given.keys() & LIMITS.keys():
        return [*_checked(given.get("hard_limits")), *_checked(given.get("hardLimits"))]
    return _checked(given)


def _checked(value: object) -> list[str]:
    """What is checked, as a list, by name or as one text; what cannot be read is no known limit."""
    value = _read(value)
    if value is None or value == "" or value is False:
        return []
    if isinstance(value, Mapping):
        answers = {name: _TICKS.get(_word(tick), UNREADABLE) for name, tick in value.items()}
        return [name if tick is True else tick for name, tick in answers.items() if tick]
    given = value if isinstance(value, list) else [value]
    return [one if isinstance(one, str) else UNREADABLE for one in given]


def demographics_of(
    said: Mapping[str, Any], name: object, own: Iterable[object], wished: Iterable[object]
) -> dict[str, Any] | None:
    """Who somebody says they are; nothing while a name or an anatomy is missing."""
    text = as_name(str(name or said.get("name") or ""))
    mine, theirs = _anatomy(own), _anatomy(wished)
    if not text or not mine or not theirs:
        return None
    return {
        "name": text,
        "gender": GENDERS.get(_word(said.get("gender") or said.get("sex")), _UNSAID),
        "orientation": ORIENTATIONS.get(
            _word(said.get("sexual_orientation") or said.get("orientation")), _UNSAID
        ),
        "relationship": RELATIONSHIPS.get(_word(said.get("relationship_structure")), _UNSAID),
        "anatomy_self": mine,
        "anatomy_preference": theirs,
    }


def demographics_of_user(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same of a row of `users`, which has a column for each part."""
    own = [part for part in ANATOMY if row.get(f"has_{part}")]
    wished = [part for part in ANATOMY if row.get(f"likes_{part}")]
    return demographics_of(object_of(row.get("demographics")), row.get("display_name"), own, wished)


def demographics_of_profile(
    profile: Mapping[str, Any], submission: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The same of a profile and what was submitted for it."""
    anatomy = object_of(profile.get("anatomy"))
    own, wished = anatomy.get("anatomy_self"), anatomy.get("anatomy_preference")
    return demographics_of(submission, submission.get("name"), _texts(own), _texts(wished))


def _anatomy(parts: Iterable[object]) -> list[str]:
    named = {_word(part) for part in parts}
    return list(ANATOMY) if named & {"any", "all"} else [part for part in ANATOMY if part in named]


def activity_of(row: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """An activity of the bank as it is stored here; or nothing, and why.

    Keys of wishes are left out: the bank has other words for them than the survey.
    """
    parts = object_of(row.get("required_bodyparts"))
    limits = [LIMITS.get(one) for one in _texts(row.get("hard_boundaries"))]
    if None in limits:
        return None, "it has a limit that is not known here"
    tags = [slug for tag in _texts(row.get("tags")) if (slug := _slug(tag))]
    given: dict[str, Any] = {
        "kind": _word(row.get("type")).upper(),
        "level": str(row.get("rating") or "").upper(),
        "intensity": whole(row.get("intensity")),
        "text": text_of(row.get("script")),
        "themes": list(dict.fromkeys(tags))[:10] or [NO_THEME],
        "audience": AUDIENCES.get(_word(row.get("audience_scope")), "ALL"),
        "power_role": _word(row.get("power_role") or "neutral").upper(),
        "limit_keys": sorted({one for one in limits if one}),
        "needs_anatomy_active": _anatomy(_texts(parts.get("active"))),
        "needs_anatomy_partner": _anatomy(_texts(parts.get("partner"))),
        "domains": _known(_texts(row.get("domains")), BANK_DOMAINS),
    }
    for column, problem in problems_of_activity(given):
        return None, f"{column} {problem}"
    uid = activity_uid(given["kind"], given["text"])
    return {**DEFAULTS, **given, "id": uid, "source": "IMPORTED"}, ""


def text_of(script: object) -> str:
    """The steps of a script as one text; where both do something, each step says who."""
    steps = [step for step in _list(object_of(script).get("steps")) if isinstance(step, Mapping)]
    said = [(str(step.get("actor") or "A").upper(), str(step.get("do") or "")) for step in steps]
    said = [(actor, text.strip()) for actor, text in said if text.strip()]
    if len({actor for actor, _ in said}) < 2:
        return " ".join(text for _, text in said)
    names = {"A": "{active}", "B": "{partner}"}
    return " ".join(f"{names.get(actor, '{active}, {partner}')}: {text}" for actor, text in said)


def played_activity(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Of something that was played: the activity's id here, its text and its theme."""
    kind, script = _word(row.get("type") or row.get("activity_type")).upper(), row.get("script")
    text = text_of(script)
    themes = [*_texts(row.get("theme_tags")), *_texts(row.get("tags"))]
    theme = next((slug for one in themes if (slug := _slug(one))), NO_THEME)
    uid = activity_uid(kind, text) if text else f"attuned:{row.get('activity_id')}"
    return uid, text, theme


def _slug(text: str) -> str:
    return _NO_SLUG.sub("-", text.lower()).strip("-")


def _known(names: Iterable[str], words: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(words[name] for name in map(_word, names) if name in words))


def _word(value: object) -> str:
    return str(value or "").strip().lower()


def whole(value: object) -> int | None:
    """A whole number, however it is written."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def object_of(value: object) -> Mapping[str, Any]:
    """A JSON object, also where it stands in a text."""
    value = _read(value)
    return value if isinstance(value, Mapping) else {}


def _read(value: object) -> object:
    """What stands in a text as JSON; any other text as it is."""
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [one for one in _list(value) if isinstance(one, str)]
