"""What is wrong with a JSON value by its JSON Schema, in words that repeat no value."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

_MOST_FAULTS = 20


def schema_faults(schema: dict[str, Any], found: object) -> list[str]:
    """The first faults; none for a value that keeps the schema."""
    return list(islice(_faults(schema, found), _MOST_FAULTS))


def _faults(schema: dict[str, Any], found: object) -> Iterator[str]:
    for error in Draft202012Validator(schema).iter_errors(found):
        yield from _said(error)


def _said(error: ValidationError) -> Iterator[str]:
    place = ".".join(str(step) for step in error.absolute_path) or "the answer"
    limit: Any = error.validator_value
    keyword = str(error.validator)
    if keyword == "required":
        instance: Any = error.instance
        yield from (f"{name} is missing" for name in limit if name not in instance)
    elif keyword == "additionalProperties":
        yield f"{place} has properties that the schema does not have"
    else:
        yield f"{place} breaks {keyword}: {limit}"
