"""The rows behind a type: its table, the order they are read in, and the keys that find one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from graphql import GraphQLNamedType, GraphQLObjectType
from sqlalchemy import ColumnElement, FromClause

from graph.engine.specs import Backing, backing_of
from graph.shared.relay import bad_cursor
from graph.shared.scalars import parse_date_time

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MOST_BIGINT = 2**63 - 1


def ordering(source: FromClause, order: Sequence[str]) -> list[tuple[ColumnElement[Any], bool]]:
    """The columns of an order, each with whether it descends."""
    return [(source.c[name.removeprefix("-")], name.startswith("-")) for name in order]


def sorted_by(source: FromClause, order: Sequence[str]) -> list[ColumnElement[Any]]:
    """The ORDER BY of an order."""
    return [column.desc() if down else column.asc() for column, down in ordering(source, order)]


def as_object(named: GraphQLNamedType) -> GraphQLObjectType:
    """The type, known to be an object type because the schema was checked."""
    assert isinstance(named, GraphQLObjectType), named
    return named


def table_behind(named: GraphQLNamedType) -> Backing:
    """The table behind a type that has one."""
    backing = backing_of(named)
    assert backing is not None, named
    return backing


def key_value(text: str, python_type: type) -> Any:
    """A key out of a global id as the type of its column."""
    if python_type is not int:
        return cursor_value(text, python_type)
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) > _MOST_BIGINT:
        raise bad_cursor()
    return int(text)


def cursor_value(value: Any, python_type: type) -> Any:
    """A value out of a cursor as the type of its column."""
    try:
        if python_type is UUID:
            return UUID(value)
        if python_type is datetime:
            return parse_date_time(value)
    except (TypeError, ValueError, AttributeError):
        raise bad_cursor() from None
    if not isinstance(value, python_type):
        raise bad_cursor()
    return value
