"""What an organization may be called: pure decisions, no I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from db.core.errors import DomainError, bad_input

NAME_LIMIT_CHARACTERS = 100

# Control characters, line breaks, and what turns the direction of the text around a name.
_NOT_IN_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Letters and symbols, by their category, that are drawn as a blank.
_DRAWN_AS_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def problems_of_name(name: str) -> Iterator[DomainError]:
    """What is wrong with a name; blanks around it do not count."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= NAME_LIMIT_CHARACTERS:
        yield bad_input("name must have 1 to 100 characters.", "input", "name")
    elif _NOT_IN_NAME.search(stripped) or not any(map(_can_be_seen, stripped)):
        yield bad_input("name must be one line of characters that can be seen.", "input", "name")


def _can_be_seen(character: str) -> bool:
    """Whether a character shows by itself: joiners, selectors and accents do not."""
    is_drawn = unicodedata.category(character)[0] in "LNPS"
    return is_drawn and character not in _DRAWN_AS_BLANK
