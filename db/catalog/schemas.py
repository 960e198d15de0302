"""The JSON Schemas of tools: which ones are taken, and what checks values against them.

A schema is an admin's, the values are anybody's, and both are checked where requests are served: so
every check takes a time that grows no faster than schema and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as PatternBroken

# References may lead out of this server, into themselves, or to exponentially many checks; the
# others check a value over and over, or match patterns by Python's own engine.
_NOT_TAKEN = frozenset({
    "$ref", "$dynamicRef", "patternProperties", "uniqueItems", "unevaluatedItems",
    "unevaluatedProperties",
})  # fmt: skip
_NAMED = ("properties", "$defs", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
)  # fmt: skip


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> SchemaValidator:
    """Rust's `regex` matches in linear time; it knows no look-around and no back-references."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string"):
        try:
            _matcher(pattern).validate_python(value)
        except PatternBroken:
            yield ValidationError("breaks its pattern")


ParametersValidator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def schema_fault(schema: dict[str, Any]) -> str | None:
    """Why a JSON Schema (2020-12) is not taken, as the end of a sentence; None for one that is."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return "is no valid JSON Schema (2020-12)"
    for part in _subschemas(schema):
        if unwanted := _NOT_TAKEN & part.keys():
            return f"may not use {', '.join(sorted(unwanted))}"
        if "pattern" in part:
            try:
                _matcher(part["pattern"])
            except PatternError:
                return "has a pattern that cannot be matched in linear time (RE2's syntax can)"
    return None


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that are within it."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        yield part
        for keyword in _NAMED:
            waiting += part.get(keyword, {}).values()
        for keyword in _LISTED:
            waiting += part.get(keyword, ())
        waiting += [part[keyword] for keyword in _SINGLE if keyword in part]
