"""Which language is asked for, and what a text may be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from db.core.errors import DomainError, bad_input
from db.translations.tables import LOCALES

LONGEST_KEY, LONGEST_TEXT = 200, 2000
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.#:-]*")


def known_locale(given: str, *path: str) -> str:
    """The product's language that a tag of RFC 5646 asks for: `pt-BR` is `pt`."""
    language = re.split("[-_]", given, maxsplit=1)[0].lower()
    if language not in LOCALES:
        raise bad_input(
            f"There are no texts in this language; there are: {', '.join(LOCALES)}.", *path
        )
    return language


def problems_of_text(key: str, text: str | None) -> Iterator[DomainError]:
    """What is wrong with a text and its key."""
    if len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
        yield bad_input(
            f"key must be 1 to {LONGEST_KEY} letters, digits and any of . _ - # :, "
            "such as tool.age.name.",
            "input",
            "key",
        )
    if text is not None and not (text.strip() and len(text) <= LONGEST_TEXT):
        yield bad_input(f"text must have 1 to {LONGEST_TEXT} characters.", "input", "text")
