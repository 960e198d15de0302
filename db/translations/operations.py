"""What is asked of the texts, and what admins change in them."""

from __future__ import annotations

from typing import Any

from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.translations.rules import known_locale, problems_of_text

TRANSLATIONS = SqlFunction[Any](
    "app.translations_for",
    "table(id text, locale text, key text, text text)",
    wanted_locale="text",
)
_SET = SqlFunction[str](
    "app.set_translation", "text", wanted_locale="text", wanted_key="text", new_text="text"
).noting_place()


def language_of(locale: str) -> str:
    """The product's language for readers of a locale; refuses one that it does not have."""
    return known_locale(locale, "locale")


def set_translation(locale: str, key: str, text: str | None) -> FunctionCall[str]:
    """Sets the text of a key in one language, or removes it; gives the text."""
    problems = Problems(problems_of_text(key, text))
    language = problems.of(known_locale, locale, "input", "locale")
    problems.refuse()
    return _SET(wanted_locale=language, wanted_key=key, new_text=text)
