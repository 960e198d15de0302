"""Variables are coerced and converted as graphql-core and Strawberry do it, or left to them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
import strawberry
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
from strawberry.types.arguments import convert_arguments

from graph.engine.documents.coercion import Coercions, Unusual, read_variables
from graph.engine.planning.conversion import Conversions
from graph.schema import build_schema as build_our_schema

STRAWBERRY = build_our_schema()
SCHEMA = STRAWBERRY._schema
MUTATIONS = SCHEMA.mutation_type
assert MUTATIONS is not None
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


RIGHT = {
    "Float": st.floats(allow_nan=False, allow_infinity=False),
    "Int": st.integers(-(2**31), 2**31 - 1),
    "Boolean": st.booleans(),
    "DateTime": st.just("2026-01-31T12:00:00Z"),
    "UUID": st.uuids().map(str),
}


def values_of(type_: GraphQLInputType, wrong: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a type, with `wrong` ones anywhere among them."""
    if isinstance(type_, GraphQLNonNull):
        return values_of(type_.of_type, wrong)
    if isinstance(type_, GraphQLList):
        return st.lists(values_of(type_.of_type, wrong), max_size=2) | wrong
    if isinstance(type_, GraphQLInputObjectType):
        required, optional = {}, {}
        for name, field in type_.fields.items():
            kind = required if isinstance(field.type, GraphQLNonNull) else optional
            kind[name] = values_of(field.type, wrong)
        return st.fixed_dictionaries(required, optional=optional) | wrong
    if isinstance(type_, GraphQLEnumType):
        return st.sampled_from(list(type_.values)) | wrong
    return RIGHT.get(type_.name, st.text(max_size=4)) | wrong


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
    value = data.draw(values_of(wrapped, SMALL) | ANY)
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


@settings(max_examples=300)
@given(st.data())
def test_operations_get_the_arguments_that_strawberry_would_give(data: st.DataObject) -> None:
    definition = data.draw(st.sampled_from(list(MUTATIONS.fields.values())))
    coerced = {}
    for name, argument in definition.args.items():
        value = data.draw(values_of(argument.type, st.nothing()))
        coerced[name] = COERCIONS.of(argument.type)(value, 0)
    expected = convert_arguments(
        coerced,
        definition.extensions["strawberry-definition"].arguments,
        STRAWBERRY.schema_converter.scalar_registry,
        STRAWBERRY.config,
    )
    assert Conversions(STRAWBERRY).of_arguments(definition)(coerced) == expected


@strawberry.enum
class Size(Enum):
    """An enum, whose values graphql-core has already made members."""

    SMALL = "small"


@strawberry.input
class Box:
    """An input of everything that ours have not: itself, enums, lists, `Maybe`, unset fields."""

    inner: Box | None = None
    sizes: list[Size | None] | None = strawberry.UNSET
    label: strawberry.Maybe[str]
    many: list[Box] = strawberry.field(default_factory=list)


@strawberry.type
class Boxes:
    """A schema around it."""

    @strawberry.field
    def pack(self, box: Box | None = None, size: Size = Size.SMALL) -> int:
        """Never called."""
        raise AssertionError((box, size))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"box": None},
        {"box": {"inner": {"sizes": [Size.SMALL, None]}, "label": "x"}, "size": Size.SMALL},
        {"box": {"inner": None, "many": [{"many": [{}]}, {"label": "y"}]}},
    ],
)
def test_every_kind_of_input_is_converted_as_strawberry_does(arguments: dict[str, Any]) -> None:
    schema = strawberry.Schema(Boxes)
    query = schema._schema.query_type
    assert query is not None
    definition = query.fields["pack"]
    expected = convert_arguments(
        arguments,
        definition.extensions["strawberry-definition"].arguments,
        schema.schema_converter.scalar_registry,
        schema.config,
    )
    assert Conversions(schema).of_arguments(definition)(arguments) == expected
