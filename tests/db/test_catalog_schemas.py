"""Tools' schemas: none is taken whose checks could hold up the server, and patterns are linear."""

from __future__ import annotations

from typing import Any

import pytest

from db.catalog.rules import ParameterRules, accepted_parameters
from db.catalog.schemas import schema_fault
from db.core.errors import InputRefused

BACKTRACKING = {"type": "string", "pattern": "^(a+)+$"}


def an_object(rule: Any, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"text": rule}, **others}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (an_object({"$ref": "http://127.0.0.1:1/schema.json"}), "$ref"),
        (an_object({"items": {"anyOf": [{"not": {"$dynamicRef": "#"}}]}}), "$dynamicRef"),
        (an_object({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (an_object({}, patternProperties={"(a+)+$": {}}), "patternProperties"),
        (an_object({}, unevaluatedProperties=False), "unevaluatedProperties"),
        (an_object({"prefixItems": [{"pattern": "(?=a)a"}]}), "linear time"),
        (an_object({"pattern": r"(a)\1"}), "linear time"),
        (an_object({"pattern": "((a{1000}){1000}){1000}"}), "linear time"),
        (an_object({}, **{"$defs": {"a": {"if": {"pattern": "(?!a)"}}}}), "linear time"),
        (an_object({"type": "nothing"}), "no valid"),
    ],
)
def test_a_schema_is_not_taken_whose_checks_have_no_bound(
    schema: dict[str, Any], said: str
) -> None:
    assert said in (schema_fault(schema) or "")


@pytest.mark.parametrize(
    "schema",
    [
        an_object(BACKTRACKING),
        an_object({"enum": [{"$ref": "a value, no keyword"}], "default": {"pattern": "("}}),
        an_object({"allOf": [{"minLength": 1}, True]}, additionalProperties=False),
        {"type": "object", "properties": {"$ref": {"type": "string"}, "pattern": {}}},
    ],
)
def test_other_schemas_are_taken(schema: dict[str, Any]) -> None:
    assert schema_fault(schema) is None


def test_a_pattern_that_would_backtrack_takes_linear_time() -> None:
    """Python's own engine would need longer than the universe is old."""
    rules = ParameterRules(an_object(BACKTRACKING), {})
    text = "a" * 10_000
    assert accepted_parameters(rules, {"text": text}) == {"text": text}
    for broken in (text + "!", text + "\n"):
        with pytest.raises(InputRefused):
            accepted_parameters(rules, {"text": broken})
