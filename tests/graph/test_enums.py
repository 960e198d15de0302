"""An enum of the schema has every value that its column may have: a client meets no other."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from graphql import GraphQLEnumType, GraphQLObjectType, get_named_type
from sqlalchemy import CheckConstraint, Table

from graph.engine.specs import Column, backing_of, python_name, spec_of
from graph.schema import build_schema


def values_of(table: Table, column: str) -> set[str]:
    """What the table's check lets the column have; empty where it says nothing."""
    found = re.compile(rf"\b{column} in \(([^)]*)\)")
    texts = (str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint))
    return {
        value
        for text in texts
        for names in found.findall(text)
        for value in re.findall(r"'([^']*)'", names)
    }


def columns_with_enums() -> Iterator[tuple[str, Table, str, GraphQLEnumType]]:
    """Each field that shows a column as an enum, with what is behind it."""
    for name, found in build_schema()._schema.type_map.items():
        backing = backing_of(found)
        if backing is None or not isinstance(found, GraphQLObjectType):
            continue
        for field_name, field in found.fields.items():
            spec, enum = spec_of(field), get_named_type(field.type)
            if isinstance(spec, Column) and isinstance(enum, GraphQLEnumType):
                column = spec.name or python_name(field)
                yield f"{name}.{field_name}", backing.model.__table__, column, enum


CASES = [
    (place, values_of(table, column), enum) for place, table, column, enum in columns_with_enums()
]


def test_there_are_enums_to_look_at() -> None:
    assert sum(bool(values) for _, values, _ in CASES) > 30


@pytest.mark.parametrize(("place", "values", "enum"), CASES, ids=[place for place, _, _ in CASES])
def test_an_enum_names_what_its_column_may_have(
    place: str, values: set[str], enum: GraphQLEnumType
) -> None:
    assert values <= enum.values.keys(), place
