"""What a user may say of themselves: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from db.core.errors import DomainError, bad_input
from db.user_profiles.tables import (
    DOCUMENTS,
    JSON_LIMIT_BYTES,
    LISTS,
    LOCATION_LIMIT_CHARACTERS,
    ZODIAC_SIGN_LIMIT_CHARACTERS,
)

_TEXTS = (
    ("zodiac_sign", "zodiacSign", ZODIAC_SIGN_LIMIT_CHARACTERS),
    ("location", "location", LOCATION_LIMIT_CHARACTERS),
)


def problems_of_user_profile(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with values, each under its field's name; null is not judged here."""
    for column, field, most in _TEXTS:
        if len(values.get(column) or "") > most:
            yield bad_input(f"{field} may have at most {most} characters.", "input", field)
    for column in (*DOCUMENTS, *LISTS):
        value, field = values.get(column), _field(column)
        if value is None:
            continue
        if column in DOCUMENTS and not isinstance(value, dict):
            yield bad_input(f"{field} must be a JSON object.", "input", field)
        elif column in LISTS and not isinstance(value, list):
            yield bad_input(f"{field} must be a JSON list.", "input", field)
        elif len(orjson.dumps(value)) > JSON_LIMIT_BYTES:
            yield bad_input(f"{field} may have at most 256 KiB of JSON.", "input", field)


def _field(column: str) -> str:
    """A column's name as clients write it."""
    first, *rest = column.split("_")
    return first + "".join(word.capitalize() for word in rest)
