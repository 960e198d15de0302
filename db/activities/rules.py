"""What an activity may be like, and what is said of one that is not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from db.activities.vocabulary import (
    ANATOMY,
    AUDIENCES,
    DOMAINS,
    KINDS,
    LEVELS,
    LIMIT_KEYS,
    POWER_ROLES,
    PREFERENCE_KEYS,
)
from db.core.texts import is_visible_prose

MOST_CHARACTERS = 1000
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": KINDS,
    "level": LEVELS,
    "audience": AUDIENCES,
    "power_role": POWER_ROLES,
}
_LISTS: Mapping[str, Collection[str]] = {
    "limit_keys": LIMIT_KEYS,
    "needs_anatomy_active": ANATOMY,
    "needs_anatomy_partner": ANATOMY,
    "preference_keys": PREFERENCE_KEYS,
    "domains": DOMAINS,
}
# What may be left out, and what it is then.
DEFAULTS: Mapping[str, Any] = {
    "audience": "ALL",
    "power_role": "NEUTRAL",
    **dict.fromkeys(_LISTS, ()),
}
COLUMNS = ("kind", "level", "intensity", "text", "themes", *DEFAULTS)
_THEME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SHOWN_NAME_CHARACTERS = 50
_BRACES = re.compile(r"[{}]")
_PLACEHOLDERS = re.compile(r"\{(active|partner)\}")


def activity_uid(kind: str, text: str) -> str:
    """An activity's id: the SHA-256 of its kind and its text."""
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()


def shown_name(name: str) -> str:
    """The name of a column as it can be printed, however odd it is."""
    is_plain = name.isprintable() and len(name) <= SHOWN_NAME_CHARACTERS
    return name if is_plain else ascii(name[:SHOWN_NAME_CHARACTERS])[1:-1] + "…"


def problems_of_activity(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each column that is wrong, with what is wrong of it; `DEFAULTS` stand for what is missing."""
    for name in sorted(given.keys() - {*COLUMNS}):
        yield shown_name(name), "is no column of an activity"
    for name, choices in _CHOICES.items():
        if given.get(name, DEFAULTS.get(name)) not in choices:
            yield name, f"must be one of {', '.join(choices)}"
    intensity = given.get("intensity")
    if type(intensity) is not int or not 1 <= intensity <= 5:
        yield "intensity", "must be a whole number, 1 to 5"
    yield from _problems_of_text(given.get("text"))
    yield from _problems_of_themes(given.get("themes"))
    for name, known in _LISTS.items():
        yield from _problems_of_list(name, given.get(name, ()), known)


def _problems_of_text(text: object) -> Iterator[tuple[str, str]]:
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARACTERS:
        yield "text", f"must be text of 1 to {MOST_CHARACTERS} characters"
    elif not is_visible_prose(text):
        yield "text", "may have no control characters, and nothing that turns its direction"
    elif _BRACES.search(_PLACEHOLDERS.sub("", text)):
        yield "text", "may have the placeholders {active} and {partner} alone"


def _problems_of_themes(themes: object) -> Iterator[tuple[str, str]]:
    is_list = isinstance(themes, list | tuple) and 1 <= len(themes) <= 10
    if not is_list or not all(isinstance(t, str) and _THEME.fullmatch(t) for t in themes):  # type: ignore[attr-defined]
        yield "themes", "must be 1 to 10 slugs such as long-kisses, the primary one first"
    elif len({*themes}) < len(themes):  # type: ignore[arg-type, misc]
        yield "themes", "names one twice"


def _problems_of_list(
    name: str, values: object, known: Collection[str]
) -> Iterator[tuple[str, str]]:
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        yield name, "must be a list of texts"
    elif unknown := [one for one in values if one not in known]:
        # Most of the survey's items would be too many to name.
        offered = f"; known are {', '.join(known)}" if len(known) < 20 else ""
        yield name, f"has {len(unknown)} that are unknown{offered}"
    elif len({*values}) < len(values):
        yield name, "names one twice"
