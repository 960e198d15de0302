"""What must hold of a schema before it may serve: descriptions, and non-null only where SQL is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_non_null_type,
)
from sqlalchemy import JSON, Column, ColumnElement, Table
from sqlalchemy.sql.visitors import iterate

from db.core.access import is_public
from db.core.sealed import blind_indexes, sealed_columns
from graph.engine import specs
from graph.engine.specs import Backing, backing_of, python_name, spec_of


class SchemaError(Exception):
    """A declaration the engine could not keep; the message names every one."""


def _field_faults(
    graph_type: GraphQLObjectType, name: str, field: GraphQLField, backing: Backing | None
) -> Iterator[str]:
    place = f"{graph_type.name}.{name}"
    spec = spec_of(field)
    if not field.description:
        yield f"{place} has no description"
    if backing is None:
        return
    columns = backing.table.columns
    match spec:
        case specs.Column(column):
            source = columns.get(column or python_name(field))
            if source is None:
                yield f"{place} names no column of {backing.table.name}"
            elif is_non_null_type(field.type) and source.nullable and not _guarded(graph_type):
                yield f"{place} is non-null, but its column may be null"
        case specs.Reference(column):
            source = columns.get(column)
            if source is None:
                yield f"{place} names no column of {backing.table.name}"
            elif is_non_null_type(field.type) and source.nullable:
                yield f"{place} is non-null, but its column may be null"
        case specs.RelatedRow():
            if is_non_null_type(field.type):
                yield f"{place} leads to a row that may be hidden, so it must be nullable"
        case specs.Computed(names):
            yield from (f"{place} names no column {n}" for n in names if n not in columns)
        case None:
            yield f"{place} says not where it comes from"


def _sealed_faults(
    graph_type: GraphQLObjectType, name: str, field: GraphQLField, backing: Backing | None
) -> Iterator[str]:
    """What is sealed is shown by what opens it, and neither followed nor listed by."""
    if backing is None:
        return
    place, secret = f"{graph_type.name}.{name}", secret_columns(backing.table)
    match spec_of(field):
        case specs.Column(column):
            used = {column or python_name(field)}
        case specs.Reference(column):
            used = {column}
        case specs.RelatedRow(local):
            used = {local}
        case specs.RelatedRows(local=local):
            used = {local}
        case specs.Computed(names, opens=opens):
            used = set() if opens else set(names)
        case specs.Expression(build):
            used = columns_in(build(backing.table))
        case specs.Embedded(present) if present is not None:
            used = columns_in(present(backing.table))
        case _:
            used = set()
    yield from (f"{place} is made of {one}, which is sealed" for one in sorted(used & secret))
    shown = backing_of(get_named_type(field.type))
    spec = spec_of(field)
    if shown is not None and isinstance(spec, specs.Page | specs.RelatedRows | specs.Rows):
        by = {one.removeprefix("-") for one in spec.order}
        hidden = secret_columns(shown.table)
        yield from (f"{place} is ordered by {one}, which is sealed" for one in sorted(by & hidden))


def columns_in(expression: ColumnElement[Any]) -> set[str]:
    """The columns that a SQL expression names."""
    return {part.name for part in iterate(expression) if isinstance(part, Column)}


def secret_columns(table: Table) -> set[str]:
    """A table's sealed columns and their blind indexes."""
    return {*sealed_columns(table), *blind_indexes(table)}


def _size_faults(
    graph_type: GraphQLObjectType, name: str, field: GraphQLField, backing: Backing | None
) -> Iterator[str]:
    """What may be large is declared, since it is weighed; and Python computes nothing from it.

    What is computed for some rows only is null for the others.
    """
    if backing is None:
        return
    place, large = f"{graph_type.name}.{name}", backing.model.large
    match spec_of(field):
        case specs.Column(column):
            source = backing.table.columns.get(column or python_name(field))
            if source is not None and isinstance(source.type, JSON) and source.name not in large:
                yield f"{place} is JSON, but its table does not say how large that may be"
        case specs.Computed(names, _, present):
            yield from (f"{place} is made of {n}, which is large" for n in names if n in large)
            if present is not None and is_non_null_type(field.type):
                yield f"{place} is not there for every row, so it must be nullable"


def _list_faults(name: str, field: GraphQLField) -> Iterator[str]:
    """A root list shows everybody's rows, so it is of a public table or for admins."""
    spec = spec_of(field)
    if isinstance(spec, specs.OnlyRow) or (isinstance(spec, specs.Rows) and not spec.for_admins):
        shown = backing_of(get_named_type(field.type))
        if shown is not None and not is_public(shown.table):
            yield f"Query.{name} lists everybody's rows and is not for admins"


def _live_faults(name: str, field: GraphQLField) -> Iterator[str]:
    """A subscription waits for ever unless its row's table records events under its topic."""
    spec = spec_of(field)
    if not isinstance(spec, specs.Live):
        yield f"Subscription.{name} says not what it watches"
        return
    payload = get_named_type(field.type)
    for shown_in in spec.joint or (spec.field,):
        shown = payload.fields.get(shown_in) if isinstance(payload, GraphQLObjectType) else None
        backing = backing_of(get_named_type(shown.type)) if shown else None
        if backing is None:
            yield f"Subscription.{name} shows no row in {shown_in}"
            continue
        model = backing.model
        recorded = model.joint_topic if spec.joint else model.watch and model.watch.topic
        if recorded != spec.topic:
            yield (
                f"Subscription.{name} watches {spec.topic}, but {backing.table.name} records it not"
            )


def _guarded(graph_type: GraphQLObjectType) -> bool:
    """Embedded objects without ids exist only where a condition holds; it guards their columns."""
    backing = backing_of(graph_type)
    return backing is not None and not backing.prefix and "id" not in graph_type.fields


def check_schema(schema: GraphQLSchema) -> None:
    """Raises `SchemaError` with everything that is wrong."""
    faults: list[str] = []
    for name, graph_type in schema.type_map.items():
        if not isinstance(graph_type, GraphQLObjectType) or name.startswith("__"):
            continue
        if not graph_type.description:
            faults.append(f"{name} has no description")
        backing = backing_of(graph_type)
        for field_name, field in graph_type.fields.items():
            faults.extend(_field_faults(graph_type, field_name, field, backing))
            faults.extend(_sealed_faults(graph_type, field_name, field, backing))
            faults.extend(_size_faults(graph_type, field_name, field, backing))
    if schema.query_type:
        for name, field in schema.query_type.fields.items():
            faults.extend(_list_faults(name, field))
    if schema.subscription_type:
        for name, field in schema.subscription_type.fields.items():
            faults.extend(_live_faults(name, field))
    if faults:
        raise SchemaError("\n".join(faults))
