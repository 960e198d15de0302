"""Answers a selection from an event's snapshot alone, where it asks for nothing but the row."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLObjectType, get_named_type
from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Case,
    Cast,
    Column,
    ColumnClause,
    DateTime,
    Integer,
    Numeric,
    Text,
    Uuid,
    null,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import False_, Grouping, Null, True_
from sqlalchemy.sql.functions import Function, coalesce
from sqlalchemy.sql.visitors import iterate

from graph.engine import specs
from graph.engine.planning.planner import ColumnsOfRow
from graph.engine.planning.rows import as_object, table_behind
from graph.engine.planning.selection import Selections, sub_selections
from graph.engine.specs import python_name, spec_of
from graph.shared.scalars import format_date_time

Row = Mapping[str, Any]
Read = Callable[[Row], Any]
Render = Callable[[GraphQLField, Sequence[FieldNode]], Callable[[Any], Any]]

# SQL's operators that mean the same in Python, for whole numbers and text. Any null makes null.
_STRICT: dict[Any, Callable[[Any, Any], Any]] = {
    operators.add: operator.add,
    operators.sub: operator.sub,
    operators.mul: operator.mul,
    operators.eq: operator.eq,
    operators.ne: operator.ne,
    operators.lt: operator.lt,
    operators.le: operator.le,
    operators.gt: operator.gt,
    operators.ge: operator.ge,
    operators.concat_op: operator.add,
}


# A whole number or a text, as SQL writes them.
_LITERAL = re.compile(r"[0-9]+|'(?:[^']|'')*'")
_UTC = "+00:00"
_WHOLE_TIMESTAMP = len("2026-01-31T12:00:00.000000+00:00")


class NeedsDatabase(Exception):
    """The selection asks for more than the snapshot holds."""


def computed_in_python(expression: Any) -> Read:
    """A SQL expression over a row's columns as a function; raises `NeedsDatabase` for most."""
    match expression:
        case Grouping():
            return computed_in_python(expression.element)
        case Null() | True_() | False_():
            constant = {Null: None, True_: True, False_: False}[type(expression)]
            return lambda _: constant
        case coalesce():
            choices = [computed_in_python(choice) for choice in expression.clauses]
            return lambda row: next(
                (v for choice in choices if (v := choice(row)) is not None), None
            )
        case BindParameter(callable=None):
            value = expression.value
            return lambda _: value
        # Snapshots hold these as text or as floats: comparing them would not be comparing columns.
        case Column() if not isinstance(expression.type, DateTime | Numeric):
            name = expression.name
            return lambda row: row.get(name)
        # As text, they are what JSON shows of them, too.
        case Cast(clause=Column(type=Integer() | Uuid())) if type(expression.type) is Text:
            read = computed_in_python(expression.clause)
            return lambda row: None if (value := read(row)) is None else str(value)
        case ColumnClause(is_literal=True, name=name) if _LITERAL.fullmatch(name):
            value = int(name) if name.isdigit() else name[1:-1].replace("''", "'")
            return lambda _: value
        case Function(name="starts_with"):
            text, beginning = (computed_in_python(clause) for clause in expression.clauses)
            return _strict(lambda one, other: one.startswith(other), text, beginning)
        case Case():
            return _chosen(expression)
        case BinaryExpression():
            return _binary(expression)
    raise NeedsDatabase


def _chosen(expression: Case[Any]) -> Read:
    whens = [
        (computed_in_python(when), computed_in_python(then)) for when, then in expression.whens
    ]
    otherwise = computed_in_python(null() if expression.else_ is None else expression.else_)

    def read(row: Row) -> Any:
        for when, then in whens:
            if when(row):
                return then(row)
        return otherwise(row)

    return read


def _binary(expression: BinaryExpression[Any]) -> Read:
    left, right = computed_in_python(expression.left), computed_in_python(expression.right)
    if expression.operator is operators.is_:
        return lambda row: left(row) is right(row)
    if expression.operator is operators.is_not:
        return lambda row: left(row) is not right(row)
    if expression.operator not in _STRICT:
        raise NeedsDatabase
    return _strict(_STRICT[expression.operator], left, right)


def _strict(compute: Callable[[Any, Any], Any], left: Read, right: Read) -> Read:
    def strict(row: Row) -> Any:
        one, other = left(row), right(row)
        return None if one is None or other is None else compute(one, other)

    return strict


def _timestamp(name: str) -> Read:
    def read(row: Row) -> str | None:
        value = row.get(name)
        if value is None:
            return None
        text: str = value
        if len(text) == _WHOLE_TIMESTAMP and text.endswith(_UTC):
            # As nearly all come: only the zone is written otherwise.
            return text[: -len(_UTC)] + "Z"
        return format_date_time(datetime.fromisoformat(text))

    return read


class SnapshotReader:
    """Builds the functions for one operation; `render` writes what Python computes."""

    def __init__(self, selections: Selections, render: Render) -> None:
        self._selections = selections
        self._render = render

    def object(self, graph_type: GraphQLObjectType, nodes: Sequence[FieldNode]) -> Read:
        """The selected fields of one row, as SQL would give them."""
        fields = self._selections.collect(graph_type, sub_selections(nodes))
        parts = [(key, self._field(graph_type, found)) for key, found in fields.items()]
        return lambda row: {key: read(row) for key, read in parts}

    def _field(self, graph_type: GraphQLObjectType, nodes: Sequence[FieldNode]) -> Read:
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _: graph_type.name
        definition = graph_type.fields[name]
        named = get_named_type(definition.type)
        match spec_of(definition):
            case specs.Column(column):
                source = column or python_name(definition)
                return (
                    _timestamp(source) if named.name == "DateTime" else lambda row: row.get(source)
                )
            case specs.GlobalId():
                return global_id_of(graph_type)
            case specs.Reference(column, prefix):
                return _key_behind(column, prefix)
            case specs.Expression(build) if named.name != "DateTime":
                return computed_in_python(build(table_behind(graph_type).table))
            case specs.Embedded(present):
                return self._embedded(as_object(named), nodes, graph_type, present)
            case specs.Computed(columns, function, None) if not definition.args:
                return _computed(columns, function, self._render(definition, nodes))
        raise NeedsDatabase

    def _embedded(
        self, inner: GraphQLObjectType, nodes: Sequence[FieldNode], outer: Any, present: Any
    ) -> Read:
        made = self.object(inner, nodes)
        if present is None:
            return made
        is_there = computed_in_python(present(table_behind(outer).table))
        return lambda row: made(row) if is_there(row) else None


def columns_asked_for(
    selections: Selections, graph_type: GraphQLObjectType, nodes: Sequence[FieldNode]
) -> set[str]:
    """The row's own columns that a selection reads."""
    fields = selections.collect(graph_type, sub_selections(nodes))
    asked: set[str] = set()
    for found in fields.values():
        definition = graph_type.fields.get(found[0].name.value)
        if definition is None:  # __typename
            continue
        match spec_of(definition):
            case specs.Column(column):
                asked.add(column or python_name(definition))
            case specs.Reference(column):
                asked.add(column)
            case specs.Computed(columns):
                asked.update(columns)
            case specs.Expression(build):
                parts = iterate(build(table_behind(graph_type).table))
                asked.update(part.name for part in parts if isinstance(part, Column))
            case specs.Embedded():
                inner = as_object(get_named_type(definition.type))
                asked |= columns_asked_for(selections, inner, found)
    return asked


def global_id_of(graph_type: GraphQLObjectType) -> Read:
    """The global id of a row."""
    backing = table_behind(graph_type)
    return _key_behind(backing.key, backing.prefix)


def _key_behind(column: str, prefix: str) -> Read:
    def read(row: Row) -> str | None:
        key = row[column]
        return None if key is None else f"{prefix}_{key}"

    return read


def _computed(
    columns: tuple[str, ...], function: Callable[[Any], Any], render: Callable[[Any], Any]
) -> Read:
    def read(row: Row) -> Any:
        return render(function(ColumnsOfRow(columns, [row.get(column) for column in columns])))

    return read
