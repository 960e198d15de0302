"""Text that Postgres cannot hold, NUL or half of a surrogate pair, and where in a value it is."""

from __future__ import annotations

import json
import re
from typing import Any

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# A longer text is not read a second time to find the place, which would keep others waiting.
MOST_CHARACTERS = 262_144
_HOLDS = (str, dict, list)

type Place = tuple[str | int, ...]


def unstorable_place(value: Any) -> Place | None:
    """Where such a text is, in no order of several; of one that is a name, the object with it."""
    waiting: list[tuple[Any, Place]] = [(value, ())]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, str):
            if UNSTORABLE.search(value):
                return place
        elif isinstance(value, dict):
            if any(UNSTORABLE.search(name) for name in value):
                return place
            waiting += ((v, (*place, name)) for name, v in value.items() if isinstance(v, _HOLDS))
        elif isinstance(value, list):
            waiting += ((v, (*place, n)) for n, v in enumerate(value) if isinstance(v, _HOLDS))
    return None


def unstorable_place_in(text: bytes | str) -> Place | None:
    """The same of JSON that names a half of a pair, which the usual parser does not read."""
    if len(text) > MOST_CHARACTERS:
        return None
    try:
        return unstorable_place(json.loads(text))
    except (ValueError, RecursionError):
        return None
