"""The parts of a statement that write JSON: leaves, objects, lists.

What a leaf says is known from the schema alone, so leaves are text, put together once for each
column of each source. Making and compiling an expression for each of them took most of a plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from graphql import GraphQLNamedType
from sqlalchemy import ColumnClause, ColumnElement, FromClause, Table, Text, cast, func
from sqlalchemy import literal_column as literal
from sqlalchemy.dialects.postgresql import JSON

from db.core.statement_functions import MEASURED
from graph.engine.specs import Backing
from graph.shared.scalars import POSTGRES_DATE_TIME

# json_build_object takes at most 100 arguments.
PAIRS_PER_OBJECT = 50
REMEMBERED_LEAVES = 4096

# One object for each type: SQLAlchemy prepares every new one for the database anew.
TEXT, JSON_TYPE = Text(), JSON()

Json = ColumnElement[Any]
Pairs = Sequence[tuple[str, Json]]


@lru_cache(maxsize=REMEMBERED_LEAVES)
def source_of(table: Table, name: str) -> FromClause:
    """A table under a name; the same each time, since naming one copies all its columns."""
    return table.alias(name)


@lru_cache(maxsize=REMEMBERED_LEAVES)
def leaf(source: str, column: str, type_name: str) -> Json:
    """A column of a source in the one format its scalar has."""
    _assert_plain(source, column)
    value = f"{source}.{column}"
    return literal(_utc(value) if type_name == "DateTime" else value)


def measured(value: ColumnElement[Any], limit_bytes: int) -> Json:
    """A large value as JSON; the statement stops when all of them are larger than the limit."""
    measured_value: Json = MEASURED.of(value, literal(str(limit_bytes)), type_=JSON_TYPE)
    return measured_value


def formatted(value: ColumnElement[Any], named: GraphQLNamedType) -> ColumnElement[Any]:
    """An expression in the one format its scalar has."""
    if named.name == "DateTime":
        utc = func.timezone(literal("'UTC'"), value)
        return func.to_char(utc, literal(f"'{POSTGRES_DATE_TIME}'"))
    return value


def _utc(value: str) -> str:
    return f"to_char(timezone('UTC', {value}), '{POSTGRES_DATE_TIME}')"


def global_id(source: str, backing: Backing) -> Json:
    """The global id of a source's row."""
    return key_behind(source, backing.key, backing.prefix)


@lru_cache(maxsize=REMEMBERED_LEAVES)
def key_behind(source: str, column: str, prefix: str) -> Json:
    """A key in a column of a source behind the prefix of what it is a key of; null for null."""
    _assert_plain(source, column, prefix)
    return literal(f"('{prefix}_' || {source}.{column}::text)", TEXT)


def text_literal(value: str) -> ColumnElement[Any]:
    """A name of the schema or document as a literal; GraphQL names need no escaping."""
    _assert_plain(value)
    return literal(f"'{value}'", TEXT)


def _assert_plain(*names: str) -> None:
    for name in names:
        assert name.isascii(), name
        assert name.replace("_", "a").isalnum(), name


def build_object(pairs: Pairs) -> Json:
    """A JSON object of any number of keys, in their order."""
    if len(pairs) <= PAIRS_PER_OBJECT:
        arguments = list(_arguments(pairs))
        if len(arguments) < 2:
            # All of it is text, as in most objects: nothing to make, nothing to compile.
            return literal(f"json_build_object({''.join(map(str, arguments))})", JSON_TYPE)
        return func.json_build_object(*arguments, type_=JSON_TYPE)
    head = cast(build_object(pairs[:PAIRS_PER_OBJECT]), TEXT)
    tail = cast(build_object(pairs[PAIRS_PER_OBJECT:]), TEXT)
    opened = func.left(head, literal("-1"), type_=TEXT)
    joined = opened.concat(literal("','", TEXT)).concat(func.substr(tail, literal("2")))
    return cast(joined, JSON_TYPE)


def _arguments(pairs: Pairs) -> Iterator[ColumnElement[Any]]:
    """Keys and values, those that are text written together."""
    text: list[str] = []
    for key, value in pairs:
        _assert_plain(key)
        if isinstance(value, ColumnClause) and value.is_literal:
            text.append(f"'{key}', {value.name}")
            continue
        yield literal(", ".join([*text, f"'{key}'"]))
        yield value
        text = []
    if text:
        yield literal(", ".join(text))


def list_of(items: ColumnElement[Any]) -> Json:
    """Rows as a JSON list, empty rather than null."""
    return func.coalesce(items, literal("'[]'::json"))


def list_of_column(rows: str, column: str) -> Json:
    """One column of all rows of a subquery as a JSON list; empty rather than null."""
    _assert_plain(rows, column)
    return literal(f"coalesce(json_agg({rows}.{column}), '[]'::json)", JSON_TYPE)


def json_agg(item: ColumnElement[Any]) -> Any:
    """The items of all rows as a JSON list; null without rows."""
    return func.json_agg(item, type_=JSON_TYPE)
