"""How a graph type says where its fields come from; the planner reads these declarations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, dataclass_transform

import strawberry
from graphql import GraphQLField, GraphQLObjectType
from sqlalchemy import ColumnElement, FromClause, Table

from db.base import Base

SPEC = "tallygraph"


@dataclass(frozen=True)
class Column:
    """A column of the row; `name` when it differs from the field's."""

    name: str | None = None


@dataclass(frozen=True)
class GlobalId:
    """The row's key behind the prefix of its type."""


@dataclass(frozen=True)
class Expression:
    """A total SQL expression over the row: it has a value for every row."""

    build: Callable[[FromClause], ColumnElement[Any]]


@dataclass(frozen=True)
class Embedded:
    """An object made of the same row's columns; null where `present` is false."""

    present: Callable[[FromClause], ColumnElement[bool]] | None = None


@dataclass(frozen=True)
class Edge:
    """The row of another table whose `remote` column equals this row's `local` column."""

    local: str
    remote: str


@dataclass(frozen=True)
class Page:
    """A keyset page of the rows whose `key` column equals this row's primary key."""

    order: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Computed:
    """A value finished in Python from columns of the row."""

    columns: tuple[str, ...]
    function: Callable[..., Any]


@dataclass(frozen=True)
class ViewerRow:
    """Root: the row whose primary key is the actor's user id; null for nobody."""


@dataclass(frozen=True)
class Rows:
    """Root: every readable row of a bounded table."""

    order: tuple[str, ...]


@dataclass(frozen=True)
class NodeLookup:
    """Root: the row that a global id names."""


@dataclass(frozen=True)
class Mutate:
    """Root of a mutation: the operation that does it."""

    operation: Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Live:
    """Root of a subscription: the events of `topic`, the row they carry, and where it is shown."""

    topic: str
    field: str
    current: str  # "row": the state now; "nothing": a null item first
    entity_argument: str | None = None


Spec = (
    Column
    | GlobalId
    | Expression
    | Embedded
    | Edge
    | Page
    | Computed
    | ViewerRow
    | Rows
    | NodeLookup
    | Mutate
    | Live
)


@dataclass(frozen=True)
class Backing:
    """The table behind a graph type, and the prefix of its global ids (empty for no ids)."""

    model: type[Base]
    prefix: str

    @property
    def table(self) -> Table:
        """The table itself."""
        table = self.model.__table__
        assert isinstance(table, Table)
        return table

    @property
    def key(self) -> str:
        """The name of the primary key's only column."""
        (column,) = self.table.primary_key.columns
        return column.name


def _field(spec: Spec, description: str, **options: Any) -> Any:
    return strawberry.field(description=description, metadata={SPEC: spec}, **options)


def column(name: str | None = None, *, description: str) -> Any:
    """A field that is a column."""
    return _field(Column(name), description)


def global_id(description: str = "Global id, unique across all types.") -> Any:
    """The field `id` of a `Node`."""
    return _field(GlobalId(), description)


def expression(build: Callable[[FromClause], ColumnElement[Any]], *, description: str) -> Any:
    """A field that is a total SQL expression over the row."""
    return _field(Expression(build), description)


def embedded(
    present: Callable[[FromClause], ColumnElement[bool]] | None = None, *, description: str
) -> Any:
    """A field whose object is made of the same row's columns."""
    return _field(Embedded(present), description)


def edge(local: str, remote: str = "id", *, description: str) -> Any:
    """A field that leads to one row of another table."""
    return _field(Edge(local, remote), description)


def connection(order: tuple[str, ...], key: str = "user_id", *, description: str) -> Any:
    """A field that is a keyset page; `order` names columns, `-` before one means descending."""
    from graph.relay import page_arguments

    return _field(Page(order, key), description, resolver=page_arguments)


def computed(*columns: str, description: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a method that finishes a value in Python; `self` has the named columns."""

    def decorate(function: Callable[..., Any]) -> Any:
        return _field(Computed(columns, function), description, resolver=function)

    return decorate


def viewer_row(*, description: str) -> Any:
    """A root field: the actor's own row."""
    return _field(ViewerRow(), description)


def rows(order: tuple[str, ...], *, description: str) -> Any:
    """A root field: a plain list of a bounded table."""
    return _field(Rows(order), description)


def node_lookup(*, description: str) -> Any:
    """A root field: the row that a global id names."""
    from graph.relay import node_arguments

    return _field(NodeLookup(), description, resolver=node_arguments)


def mutation(
    operation: Callable[..., Awaitable[Any]], input_type: type | None = None, *, description: str
) -> Any:
    """A root mutation field with one `input`; `operation(context, input)` does the work."""

    def resolve(self: Any, input: Any) -> Any:  # noqa: ARG001
        raise AssertionError("the engine runs mutations")  # pragma: no cover

    def resolve_without_input(self: Any) -> Any:  # noqa: ARG001
        raise AssertionError("the engine runs mutations")  # pragma: no cover

    resolve.__annotations__ = {"input": input_type}
    resolver = resolve if input_type else resolve_without_input
    return _field(Mutate(operation), description, resolver=resolver)


def live(
    topic: str,
    field: str,
    *,
    entity: bool = False,
    starts_empty: bool = False,
    description: str,
) -> Any:
    """A root subscription field: `field` of its payload shows the row of each event.

    With `entity`, it takes the `id` of one row to watch; without, it watches the actor's own.
    `starts_empty` begins with a null item instead of the state now.
    """
    from graph.relay import watch_arguments, watch_entity_arguments

    resolver = watch_entity_arguments if entity else watch_arguments
    spec = Live(topic, field, "nothing" if starts_empty else "row", "id" if entity else None)
    return strawberry.subscription(
        resolver=resolver, description=description, metadata={SPEC: spec}
    )


@dataclass_transform(kw_only_default=True, field_specifiers=(column, edge, connection, expression))
def backed_by[T](
    model: type[Base], *, prefix: str = "", name: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Declares a graph type whose objects are rows of a table."""

    def decorate(cls: type[T]) -> type[T]:
        cls.__backing__ = Backing(model, prefix)  # type: ignore[attr-defined]
        description = (cls.__doc__ or "").strip()
        return strawberry.type(cls, name=name, description=description)

    return decorate


def spec_of(field: GraphQLField) -> Spec | None:
    """The declaration behind a field of the schema; nothing for a plain Python field."""
    definition = field.extensions.get("strawberry-definition")
    return definition.metadata.get(SPEC) if definition is not None else None


def python_name(field: GraphQLField) -> str:
    """The attribute's name in Python."""
    return str(field.extensions["strawberry-definition"].python_name)


def backing_of(graph_type: object) -> Backing | None:
    """The table behind an object type; nothing for a plain one."""
    if not isinstance(graph_type, GraphQLObjectType):
        return None
    definition = graph_type.extensions.get("strawberry-definition")
    origin = getattr(definition, "origin", None)
    return getattr(origin, "__backing__", None)
