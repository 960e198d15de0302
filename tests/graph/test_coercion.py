"""Variables are coerced as graphql-core coerces them, or left to it."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    OperationDefinitionNode,
    build_schema,
    parse,
)
from graphql.execution.values import get_variable_values
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.engine.coercion import Coercions, Unusual, read_variables
from graph.schema import build_schema as build_our_schema

SCHEMA = build_our_schema()._schema
INPUTS: list[GraphQLInputType] = [
    type_
    for name, type_ in sorted(SCHEMA.type_map.items())
    if isinstance(type_, GraphQLInputObjectType | GraphQLScalarType | GraphQLEnumType)
    and not name.startswith("__")
]
SMALL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["QUEUED", "2026-01-31T12:00:00Z", "2026-01-31", "0190a3c4", "1"]),
)
ANY = st.recursive(
    SMALL, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner)
)
COERCIONS = Coercions(SCHEMA)


def values_of(type_: GraphQLInputType, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that are often right, so that nested ones are reached."""
    if isinstance(type_, GraphQLNonNull):
        return values_of(type_.of_type, depth)
    if isinstance(type_, GraphQLList):
        return st.lists(values_of(type_.of_type, depth + 1), max_size=2) | SMALL
    if isinstance(type_, GraphQLInputObjectType) and depth < 4:
        required, optional = {}, {}
        for name, field in type_.fields.items():
            kind = required if isinstance(field.type, GraphQLNonNull) else optional
            kind[name] = values_of(field.type, depth + 1)
        return st.fixed_dictionaries(required, optional=optional) | SMALL
    if isinstance(type_, GraphQLEnumType):
        return st.sampled_from(list(type_.values)) | SMALL
    return SMALL


def both_ways(definition: str, given_values: dict[str, Any], schema: Any, made: Coercions) -> None:
    """What we read equals what graphql-core reads; what it refuses, we do not judge."""
    operation = parse(f"query({definition}) {{ __typename }}").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    expected = get_variable_values(schema, operation.variable_definitions, given_values)
    try:
        ours = read_variables(made.readers(operation), given_values)
    except Unusual:
        return
    assert not isinstance(expected, list), expected
    assert repr(ours) == repr(expected.coerced)


@settings(max_examples=300)
@given(st.data())
def test_what_is_read_equals_graphql_core(data: st.DataObject) -> None:
    type_: Any = data.draw(st.sampled_from(INPUTS))
    written = data.draw(st.sampled_from([f"{type_}", f"{type_}!", f"[{type_}!]", f"[[{type_}]!]!"]))
    wrapped: Any = type_ if "[" not in written else GraphQLList(type_)
    value = data.draw(values_of(wrapped) | ANY)
    given_values = data.draw(st.sampled_from([{"v": value}, {"v": value, "other": 1}, {}]))
    both_ways(f"$v: {written}", given_values, SCHEMA, COERCIONS)


RECURSIVE = build_schema("""
type Query { f(a: Node, b: Choice, c: ID, d: Float): Int }
input Node { value: Int = 7, next: Node, many: [Node!], text: String! = "x" }
input Choice @oneOf { a: Int, b: String }
""")


@pytest.mark.parametrize(
    ("definition", "given_values", "is_usual"),
    [
        ("$v: Node", {"v": {"next": {"next": {"value": 1}}, "many": [{"text": "y"}]}}, True),
        ("$v: Node", {"v": {"next": {"unknown": 1}}}, False),
        ("$v: Node", {"v": {"many": {"value": 1}}}, False),  # one item as a list
        ("$v: Choice", {"v": {"a": 1}}, False),
        ("$v: Int = 5, $w: Int! = 6, $x: [Int] = [1]", {}, True),
        ("$v: Int = 5", {"v": None}, True),
        ("$v: Int! = 5", {"v": None}, False),
        ("$v: Int!", {}, False),
        ("$v: Int", {"v": 1.0}, False),  # a whole number all the same
        ("$v: Int", {"v": True}, False),
        ("$v: ID", {"v": 1}, False),
        ("$v: Float", {"v": 1}, True),
    ],
)
def test_the_usual_is_read_here_and_the_rest_by_graphql_core(
    definition: str, given_values: dict[str, Any], is_usual: bool
) -> None:
    made = Coercions(RECURSIVE)
    both_ways(definition, given_values, RECURSIVE, made)
    operation = parse(f"query({definition}) {{ __typename }}").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    if is_usual:
        read_variables(made.readers(operation), given_values)
    else:
        with pytest.raises(Unusual):
            read_variables(made.readers(operation), given_values)


def test_depth_beyond_reason_is_left_to_graphql_core() -> None:
    value: dict[str, Any] = {}
    for _ in range(5_000):
        value = {"next": value}
    with pytest.raises(Unusual):
        Coercions(RECURSIVE).of(RECURSIVE.type_map["Node"])(value, 0)  # type: ignore[arg-type]
