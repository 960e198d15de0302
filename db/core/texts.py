"""Texts that people give: names of one line, and prose, of characters that can be seen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from db.core.errors import DomainError, bad_input

NAME_LIMIT_CHARACTERS = 100

# Control characters, line breaks, and what turns the direction of the text around a name.
_NOT_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# The same, where there are lines.
_NOT_IN_PROSE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Letters and symbols, by their category, that are drawn as a blank.
_DRAWN_AS_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def written_name(name: str) -> str:
    """A name as it is kept: composed, no blanks around it."""
    return unicodedata.normalize("NFC", name.strip())


def as_name(text: str) -> str:
    """What of somebody else's text can be a name: one line, cut; empty where nothing shows."""
    line = written_name(_NOT_IN_LINE.sub(" ", text))[:NAME_LIMIT_CHARACTERS].strip()
    return line if is_visible_line(line) else ""


def problems_of_name(name: str, *path: str) -> Iterator[DomainError]:
    """What is wrong with a name, as it is kept, by which others know somebody."""
    if not 1 <= len(name) <= NAME_LIMIT_CHARACTERS:
        yield bad_input(f"{path[-1]} must have 1 to {NAME_LIMIT_CHARACTERS} characters.", *path)
    elif not is_visible_line(name):
        yield bad_input(f"{path[-1]} must be one line of characters that can be seen.", *path)


def is_visible_line(text: str) -> bool:
    """Whether a text is one line, and some of it shows."""
    return not _NOT_IN_LINE.search(text) and any(map(_can_be_seen, text))


def is_visible_prose(text: str) -> bool:
    """Whether a text of several lines has nothing that cannot be seen, or stored."""
    return not _NOT_IN_PROSE.search(text)


def problems_of_prose(text: str | None, limit_characters: int, *path: str) -> Iterator[DomainError]:
    """What is wrong with a text of several lines that others read; nothing where there is none."""
    if text is not None and len(text) > limit_characters:
        yield bad_input(f"{path[-1]} may have at most {limit_characters:,} characters.", *path)
    elif text is not None and not is_visible_prose(text):
        yield bad_input(
            f"{path[-1]} has a character that cannot be seen, and is no tab or line break.", *path
        )


def _can_be_seen(character: str) -> bool:
    """Whether a character shows by itself: joiners, selectors and accents do not."""
    is_drawn = unicodedata.category(character)[0] in "LNPS"
    return is_drawn and character not in _DRAWN_AS_BLANK
