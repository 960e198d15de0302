"""What clients may send of answers, demographics and boundaries: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_name, written_name
from db.surveys.rules import SCALE_LENGTH, WORDS, score_of

MOST_ANSWERS, MOST_OPTIONS = 200, 50
_ITEM = re.compile(r"[A-Z][0-9]{1,3}[ab]?")
_KEY = re.compile(r"[a-z][a-z_]{0,39}")
_WANTED = (
    f"value must be a whole number from 1 to {SCALE_LENGTH}, YES, MAYBE or NO, or a list of "
    "different options; null takes the answer back."
)


def accepted_answers(given: Sequence[tuple[str, Any]]) -> Iterator[dict[str, Any] | DomainError]:
    """Each answer as it is stored with its score, or what is wrong with it.

    Whether a value is of its item's kind, the database knows.
    """
    if not 1 <= len(given) <= MOST_ANSWERS:
        yield bad_input(f"answers must have 1 to {MOST_ANSWERS} items.", "input", "answers")
        return
    for index, (item_id, value) in enumerate(given):
        path = ("input", "answers", str(index))
        if not _ITEM.fullmatch(item_id):
            yield bad_input("The survey has no such item.", *path, "itemId")
        elif not is_answer(value := _whole(value)):
            yield bad_input(_WANTED, *path, "value")
        else:
            yield {"item_id": item_id, "value": value, "score": score_of(value), "index": index}


def is_answer(value: object) -> bool:
    """Whether a value is an answer of any kind; null, too, which takes an answer back."""
    match value:
        case None:
            return True
        case bool():
            return False
        case int():
            return 1 <= value <= SCALE_LENGTH
        case str():
            return value in WORDS
        case list():
            texts = [one for one in value if isinstance(one, str) and _KEY.fullmatch(one)]
            return len(texts) == len(value) <= MOST_OPTIONS and len(set(texts)) == len(texts)
    return False


def _whole(value: object) -> object:
    """Some clients write 3 as 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_boundary_key(key: str) -> bool:
    """Whether something may be an item's id or a limit's key."""
    return bool(_ITEM.fullmatch(key) or _KEY.fullmatch(key))


def problems_of_demographics(given: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with demographics, each under its column's name."""
    if "name" in given:
        yield from problems_of_name(written_name(given["name"]), "input", "name")
    for column, field in (
        ("anatomy_self", "anatomySelf"),
        ("anatomy_preference", "anatomyPreference"),
    ):
        if column in given and not given[column]:
            yield bad_input(f"{field} must name at least one.", "input", field)
