"""What a field can be to the engine; the planner reads these, `declare.py` writes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLObjectType
from sqlalchemy import ColumnElement, FromClause, Table
from sqlalchemy.types import TypeEngine

from auth.demands import NOTHING_MORE, Demand
from db.core.base import Base
from db.core.commands import SqlFunction
from db.core.errors import ErrorCode
from graph.shared.relay import DEFAULT_PAGE_SIZE

SPEC = "tallygraph"


@dataclass(frozen=True)
class Column:
    """A column of the row; `name` when it differs from the field's."""

    name: str | None = None


@dataclass(frozen=True)
class GlobalId:
    """The row's key behind the prefix of its type."""


@dataclass(frozen=True)
class Reference:
    """The global id of another row, whose key is in `column`; that row need not be readable."""

    column: str
    prefix: str


@dataclass(frozen=True)
class Expression:
    """A total SQL expression over the row: it has a value for every row."""

    build: Callable[[FromClause], ColumnElement[Any]]


@dataclass(frozen=True)
class SessionExpression:
    """A total SQL expression over the row and the id of the session that asks, null without one."""

    build: Callable[[FromClause, ColumnElement[Any]], ColumnElement[Any]]


@dataclass(frozen=True)
class Embedded:
    """An object made of the same row's columns; null where `present` is false."""

    present: Callable[[FromClause], ColumnElement[bool]] | None = None


@dataclass(frozen=True)
class RelatedRow:
    """The row of another table whose `remote` column equals this row's `local` column."""

    local: str
    remote: str


@dataclass(frozen=True)
class RelatedRows:
    """The few rows whose `key` column equals this row's primary key, or its column `local`.

    They are a plain list: there are at most so many that a page would be in the way; `at_most` says
    how many.
    """

    key: str
    order: tuple[str, ...]
    at_most: int
    local: str = ""


@dataclass(frozen=True)
class SearchTerm:
    """One way to find rows by a text: what is made of the text, and which rows that finds."""

    type: TypeEngine[Any]
    value: Callable[[str], Any]
    finds: Callable[[FromClause, ColumnElement[Any]], ColumnElement[bool]]


@dataclass(frozen=True)
class Search:
    """The argument `search` of a page: what finds an item, and how it is described."""

    description: str
    terms: tuple[SearchTerm, ...]


@dataclass(frozen=True)
class Page:
    """A keyset page of the rows whose `key` column equals this row's primary key.

    At the root there is no row above, and no `key`. With `only`, of those among them for which it
    is true; with `search`, of those that one of its terms finds. A root list `for_admins` is
    refused to everybody else. Whoever asks for no number of items gets `default_size`.
    """

    order: tuple[str, ...]
    key: str | None
    only: Callable[[FromClause], ColumnElement[bool]] | None = None
    search: Search | None = None
    for_admins: bool = False
    default_size: int = DEFAULT_PAGE_SIZE


@dataclass(frozen=True)
class Computed:
    """A value finished in Python from columns of the row; null where `present` is not true.

    Only one that `opens` them may be made of sealed columns.
    """

    columns: tuple[str, ...]
    function: Callable[..., Any]
    present: Callable[[FromClause], ColumnElement[bool]] | None = None
    opens: bool = False


@dataclass(frozen=True)
class ViewerRow:
    """Root: the row whose primary key is the actor's user id; null for nobody."""


@dataclass(frozen=True)
class OnlyRow:
    """Root: the row of a public table that has no more than one."""


@dataclass(frozen=True)
class Rows:
    """Root: every readable row of a bounded table; `for_admins`, refused to everybody else.

    There are at most so many as `at_most` says. With `only`, those for which it is true.
    """

    order: tuple[str, ...]
    for_admins: bool = False
    at_most: int = 100
    only: Callable[[FromClause], ColumnElement[bool]] | None = None


@dataclass(frozen=True)
class Report:
    """Rows that a SQL function makes of what a user owns; none for nobody.

    At the root that user is the actor, below a user's row it is they. The `function` is called with
    the user's id and then with the `parameters`, each a type
    and the value that it makes of the field's arguments. It runs with its caller's rights and
    returns the `columns`, in the order to be shown. One that `is_public` is of nobody's: everybody
    is answered, and the function is called with the `parameters` alone. So is one `for_admins`,
    which is refused to everybody else.
    """

    function: SqlFunction[Any]
    parameters: tuple[tuple[TypeEngine[Any], Callable[[Mapping[str, Any]], Any]], ...]
    columns: tuple[tuple[str, TypeEngine[Any]], ...]
    is_public: bool = False
    for_admins: bool = False


@dataclass(frozen=True)
class NodeLookup:
    """Root: the row that a global id names, or with `many` a list of rows for a list of ids.

    With `of_type`, only if it is of the field's own type.
    """

    many: bool = False
    of_type: bool = False


@dataclass(frozen=True)
class ValueLookup:
    """Root: the row of the field's own type whose unique `column` has the argument's value.

    The argument has the column's name in GraphQL's manner, and is a text.
    """

    column: str


@dataclass(frozen=True)
class Mutate:
    """Root of a mutation: the operation that does it, `for_admins` or for whoever it takes.

    `errors` are the codes that its payload's `errors` may have. One that `ignores_dead_token` is
    what a client renews its session with, or begins one: sent with an expired, revoked or malformed
    token, it runs as if there were none. `demands` is how the actor must have signed in. Only one
    `for_api_keys` may be sent with a user's key, only one `for_organization_keys` with an
    organization's, only one `for_bots` with a bot's. One that works `while_read_only` is run for
    everybody in maintenance: what leads into an account and out of it. One that is `unmetered` does
    not count as a change: it asks for something, and bounds by itself how often.
    """

    operation: Callable[..., Awaitable[Any]]
    errors: tuple[ErrorCode, ...]
    for_admins: bool = False
    ignores_dead_token: bool = False
    demands: Demand = NOTHING_MORE
    for_api_keys: bool = False
    for_organization_keys: bool = False
    for_bots: bool = False
    while_read_only: bool = False
    unmetered: bool = False


@dataclass(frozen=True)
class Growth:
    """A payload's field with what a row has more than in the item before.

    An event has it in its snapshot under the `field`'s name, and `so_far` is called with the row's
    key for all there is now. The stream ends when the row's `status` is one of `ended`.
    """

    field: str
    so_far: SqlFunction[str]
    ended: frozenset[str]


@dataclass(frozen=True)
class Live:
    """Root of a subscription: the events of `topic`, the row they carry, and where it is shown.

    `gone` is the payload's field for the global id of a row that was deleted or is hidden now;
    without one, such events are not shown. `kind` is its field for what has happened to the row.
    With `only_new`, nothing but new rows are shown. Where several tables share the topic, `joint`
    are the fields for the rows of each, and `field` is the first of them. `growth` is of a row that
    grows piece by piece. `within` is the prefix of the type that the argument names, where that is
    what the rows are of and not a row itself: events name it as their entity.
    """

    topic: str
    field: str
    current: str  # "row", "only": the state now, the table's only one; "nothing": a null item first
    entity_argument: str | None = None
    gone: str | None = None
    kind: str | None = None
    only_new: bool = False
    joint: tuple[str, ...] = ()
    growth: Growth | None = None
    within: str | None = None


Spec = (
    Column
    | GlobalId
    | Reference
    | Expression
    | SessionExpression
    | Embedded
    | RelatedRow
    | RelatedRows
    | Page
    | Computed
    | ViewerRow
    | OnlyRow
    | Rows
    | Report
    | NodeLookup
    | ValueLookup
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
