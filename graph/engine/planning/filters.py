"""Filters: a `where` argument becomes conditions whose values are bound for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any

from graphql import GraphQLObjectType, get_named_type
from sqlalchemy import ARRAY, ColumnElement, FromClause, any_, exists, select
from sqlalchemy.types import TypeEngine

from db.core.errors import DomainError, bad_input
from graph.engine.planning.parameters import Request
from graph.engine.planning.planner import Planner
from graph.engine.planning.rows import key_value
from graph.engine.specs import Column, GlobalId, RelatedRow, backing_of, python_name, spec_of
from graph.shared.relay import split_global_id

LIST_LIMIT = 100
Path = tuple[str, ...]
Read = Callable[[Any], Mapping[str, Any]]


class Where:
    """Builds the conditions of one list. Their values are read again for each request."""

    def __init__(self, planner: Planner, read: Read) -> None:
        self._planner = planner
        self._read = read

    def conditions(
        self, graph_type: GraphQLObjectType, source: FromClause, given: Any, path: Path
    ) -> Iterator[ColumnElement[bool]]:
        """The conditions in `given`, which stands at `path` of the field's arguments."""
        for name, operators in given.items():
            here = (*path, name)
            if operators is None:
                raise bad_input("A condition may not be null; leave it out.", *here)
            field = graph_type.fields[name]
            match spec_of(field):
                case RelatedRow(local, remote):
                    target = get_named_type(field.type)
                    assert isinstance(target, GraphQLObjectType)
                    yield self._related(target, source.c[local], remote, operators, here)
                case GlobalId():
                    backing = backing_of(graph_type)
                    assert backing is not None
                    column = source.c[backing.key]
                    decode = _key_of(backing.prefix, column.type)
                    yield from self._operators(column, operators, here, decode)
                case Column(column_name):
                    column = source.c[column_name or python_name(field)]
                    yield from self._operators(column, operators, here, _plain)
                case spec:
                    raise TypeError(f"{graph_type.name}.{name} cannot be filtered: {spec!r}")

    def _related(
        self,
        target: GraphQLObjectType,
        local: ColumnElement[Any],
        remote: str,
        given: Any,
        path: Path,
    ) -> ColumnElement[bool]:
        source = self._planner.source(target)
        matching = (
            select(source.c[remote])
            .where(source.c[remote] == local, self._planner.ownership_condition(target, source))
            .where(*self.conditions(target, source, given, path))
        )
        return exists(matching.correlate_except(source))

    def _operators(
        self, column: ColumnElement[Any], given: Any, path: Path, decode: Callable[[Any], Any]
    ) -> Iterator[ColumnElement[bool]]:
        for operator, value in given.items():
            here = (*path, operator)
            if value is None:
                raise bad_input("A condition may not be null; leave it out.", *here)
            many = operator == "in"
            type_: TypeEngine[Any] = ARRAY(column.type) if many else column.type
            getter = partial(_values if many else _value, self._read, here, decode)
            bound = self._planner.parameters.add(getter, type_)
            yield _COMPARE[operator](column, bound)


def _value(read: Read, path: Path, decode: Callable[[Any], Any], request: Request) -> Any:
    value: Any = read(request.variables)
    for step in path:
        value = value[step]
    return decode(value)


def _values(read: Read, path: Path, decode: Callable[[Any], Any], request: Request) -> Any:
    values = _value(read, path, _same, request)
    if len(values) > LIST_LIMIT:
        raise bad_input(f"A list of values has at most {LIST_LIMIT}.", *path)
    return [decode(value) for value in values]


def _same(value: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _key_of(prefix: str, type_: TypeEngine[Any]) -> Callable[[Any], Any]:
    """Reads a global id, or a catalog's slug, as the key of its row; an impossible id is null."""
    return partial(_decoded_key, prefix, type_.python_type)


def _decoded_key(prefix: str, python_type: type, value: str) -> Any:
    found, key = split_global_id(value)
    try:
        return key_value(key if found == prefix else value, python_type)
    except DomainError:
        return None


_COMPARE: dict[str, Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "in": lambda column, values: column == any_(values),
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}
