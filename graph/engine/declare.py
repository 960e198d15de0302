"""How a graph type says where its fields come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Optional, dataclass_transform

import strawberry
from sqlalchemy import ColumnElement, FromClause
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.utils.str_converters import to_camel_case

from auth.demands import NOTHING_MORE, STRONG_SIGN_IN, Demand, errors_of
from db.core.base import Base
from db.core.errors import ErrorCode
from db.core.lifecycles import State
from db.core.sealed import row_column
from db.vault.sealing import SealedColumn, process_vault
from graph.engine.inputs import ListField
from graph.engine.specs import (
    SPEC,
    Backing,
    Column,
    Computed,
    Embedded,
    Expression,
    GlobalId,
    Growth,
    Live,
    Mutate,
    NodeLookup,
    OnlyRow,
    Page,
    Reference,
    RelatedRow,
    RelatedRows,
    Report,
    Rows,
    Search,
    SessionExpression,
    Spec,
    ValueLookup,
    ViewerRow,
)
from graph.shared.relay import (
    DEFAULT_PAGE_SIZE,
    Connection,
    node_arguments,
    nodes_arguments,
    watch_arguments,
    watch_entity_arguments,
)

NEWEST_FIRST = ("-created_at", "-id")


def state_enum(states: type[State]) -> None:
    """Makes the states of a lifecycle an enum of the schema, with their descriptions."""
    if odd := [state for state in states if state.name != state]:
        raise TypeError(
            f"{odd[0]!r}: clients are sent what the column holds, so name and value must be one"
        )
    described_enum(states)


def described_enum(states: type[State]) -> None:
    """The same for values whose names the schema shows in place of what the column holds."""
    strawberry.enum(states, description=states.__doc__)
    definition: StrawberryEnumDefinition = states.__strawberry_definition__  # type: ignore[attr-defined]
    for shown, state in zip(definition.values, states, strict=True):
        shown.description = state.description


def _field(spec: Spec, description: str, returns: Any = None, **options: Any) -> Any:
    return strawberry.field(
        description=description, metadata={SPEC: spec}, graphql_type=returns, **options
    )


def column(name: str | None = None, *, returns: Any = None, description: str) -> Any:
    """A field that is a column."""
    return _field(Column(name), description, returns)


def global_id(description: str = "Global id, unique across all types.") -> Any:
    """The field `id` of a `Node`."""
    return _field(GlobalId(), description)


def reference(column: str, prefix: str, *, description: str) -> Any:
    """A field that is the global id of a row of another table, by its key in `column`."""
    return _field(Reference(column, prefix), description)


def expression(
    build: Callable[[FromClause], ColumnElement[Any]], *, returns: Any = None, description: str
) -> Any:
    """A field that is a total SQL expression over the row.

    Here and below: `returns` is its type, where no annotation says so (`extend`).
    """
    return _field(Expression(build), description, returns)


def session_expression(
    build: Callable[[FromClause, ColumnElement[Any]], ColumnElement[Any]], *, description: str
) -> Any:
    """A field that is a total SQL expression over the row and the id of the asking session."""
    return _field(SessionExpression(build), description)


def embedded(
    present: Callable[[FromClause], ColumnElement[bool]] | None = None,
    *,
    returns: Any = None,
    description: str,
) -> Any:
    """A field whose object is made of the same row's columns."""
    return _field(Embedded(present), description, returns)


def related_row(local: str, remote: str = "id", *, returns: Any = None, description: str) -> Any:
    """A field that leads to one row of another table."""
    return _field(RelatedRow(local, remote), description, returns)


def related_rows(
    key: str,
    order: tuple[str, ...],
    *,
    at_most: int,
    local: str = "",
    returns: Any = None,
    description: str,
) -> Any:
    """A field that is a plain list of the rows whose column `key` is this row's primary key.

    `local` names another column of this row instead. Only for what never has more than `at_most`,
    as prices of a product.
    """
    return _field(RelatedRows(key, order, at_most, local), description, returns)


def connection(
    item: type,
    order: tuple[str, ...],
    key: str = "user_id",
    only: Callable[[FromClause], ColumnElement[bool]] | None = None,
    *,
    default_size: int = DEFAULT_PAGE_SIZE,
    description: str,
) -> Any:
    """A field that is a keyset page of `item`s whose column `key` is this row's primary key.

    `order` names columns, `-` before one means descending; the last makes the order total. What
    can be filtered and ordered by follows from the item's fields and its table's indexes. `only`
    says which of the rows are items at all. A list that never has more than a few says so by its
    `default_size`: it is what a request without `first` pays for.
    """
    returns = Connection[item]  # type: ignore[valid-type]
    spec = Page(order, key, only, default_size=default_size)
    return ListField(item, spec, description, returns)


def root_connection(
    item: type, order: tuple[str, ...], *, search: Search | None = None, description: str
) -> Any:
    """A root field for admins that is a keyset page of all the `item`s; `search` finds some."""
    return ListField(item, Page(order, None, search=search, for_admins=True), description)


def computed(
    *columns: str,
    present: Callable[[FromClause], ColumnElement[bool]] | None = None,
    description: str,
) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a method that finishes a value in Python; `self` has the named columns.

    Its arguments are enums; the method gets the name of the value that was chosen, or None. Where
    `present` is not true of the row, the value is null, and the method not asked.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return _field(Computed(columns, function, present), description, resolver=function)

    return decorate


def opened(
    column: SealedColumn,
    shown: Callable[[str], str] = str,
    *,
    returns: Any = None,
    description: str,
) -> Any:
    """A field that is what a sealed column holds, opened when the row is read; null without one.

    `shown` makes of the text what is told of it, such as its last four characters. The field's
    type is nullable: a value that no key opens is an error of its own.
    """
    sealed: Any = column.expression
    name, key = sealed.name, row_column(sealed.table, sealed.name)

    def open_sealed(row: Any) -> str | None:
        written = getattr(row, name)
        if written is None:
            return None
        value = bytes.fromhex(written.removeprefix("\\x"))
        found = str(getattr(row, key)).removeprefix("\\x")
        return shown(process_vault().open(column, found, value))

    return _field(Computed((key, name), open_sealed, opens=True), description, returns)


def viewer_row(*, description: str) -> Any:
    """A root field: the actor's own row."""
    return _field(ViewerRow(), description)


def only_row(*, description: str) -> Any:
    """A root field: the row of a public table that has no more than one."""
    return _field(OnlyRow(), description)


def rows(
    order: tuple[str, ...],
    *,
    for_admins: bool = False,
    at_most: int = 100,
    only: Callable[[FromClause], ColumnElement[bool]] | None = None,
    description: str,
) -> Any:
    """A root field: a plain list of a table that never has more than `at_most` rows.

    With `only`, of those for which it is true.
    """
    return _field(Rows(order, for_admins, at_most, only), description)


def report(
    spec: Report, resolver: Callable[..., Any], *, returns: Any = None, description: str
) -> Any:
    """A field of the root or of a user: rows that a SQL function makes.

    `resolver` declares the field's arguments.
    """
    return _field(spec, description, returns, resolver=resolver)


def nodes_lookup(*, description: str) -> Any:
    """A root field: the rows that global ids name, in their order, null for each not found."""
    return _field(NodeLookup(many=True), description, resolver=nodes_arguments)


def node_lookup(*, description: str) -> Any:
    """A root field: the row that a global id names."""
    return _field(NodeLookup(), description, resolver=node_arguments)


def lookup(*, description: str) -> Any:
    """A root field: the row of its own type that a global id names."""
    return _field(NodeLookup(of_type=True), description, resolver=node_arguments)


def value_lookup(column: str, arguments: Callable[..., Any], *, description: str) -> Any:
    """A root field: the row of its own type whose unique `column` has the argument's value.

    `arguments` declares the argument, which has the column's name.
    """
    return _field(ValueLookup(column), description, resolver=arguments)


def _description_of(input_type: Any) -> str:
    """What an input says of itself, which is also what to say of the argument."""
    return str(input_type.__strawberry_definition__.description)


def mutation(
    operation: Callable[..., Awaitable[Any]],
    input_type: type | None = None,
    *,
    errors: tuple[ErrorCode, ...],
    for_admins: bool = False,
    needs_input: bool = True,
    ignores_dead_token: bool = False,
    demands: Demand = NOTHING_MORE,
    for_api_keys: bool = False,
    for_organization_keys: bool = False,
    for_bots: bool = False,
    while_read_only: bool = False,
    unmetered: bool = False,
    description: str,
) -> Any:
    """A root mutation field with one `input`; `operation(context, input)` does the work.

    `errors` are the codes that its payload's `errors` may have, from which their documentation is
    made. Unless it `needs_input`, the input may be left out. With `ignores_dead_token` it needs no
    session, and a token that is no good stops it as little as none. It `demands` a sign-in that is
    fresh, or strong, or both; what is for admins always demands a strong one. Whoever has none is
    refused before the operation begins, with codes that need not be among the `errors`. An API key
    with the scope WRITE may send what is `for_api_keys`, an organization's what is
    `for_organization_keys`, a bot's what is `for_bots`: never what is about accounts and who gets
    into them. What works `while_read_only` is refused to nobody then. What is `unmetered` is no
    change: it wakes nobody and is not counted as one; its operation says how often it may be asked.
    """
    demands |= STRONG_SIGN_IN if for_admins else NOTHING_MORE

    def resolve(self: Any, input: Any) -> Any:  # noqa: ARG001
        raise AssertionError("the engine runs mutations")  # pragma: no cover

    def resolve_optional_input(self: Any, input: Any = strawberry.UNSET) -> Any:  # noqa: ARG001
        raise AssertionError("the engine runs mutations")  # pragma: no cover

    def resolve_without_input(self: Any) -> Any:  # noqa: ARG001
        raise AssertionError("the engine runs mutations")  # pragma: no cover

    about = None if input_type is None else _description_of(input_type)
    described = strawberry.argument(description=about)
    resolver: Callable[..., Any] = resolve_without_input
    if input_type is not None:
        resolver = resolve if needs_input else resolve_optional_input
        wanted: Any = input_type if needs_input else Optional[input_type]  # noqa: UP045 - at run time
        resolver.__annotations__ = {"input": Annotated[wanted, described]}
    errors = (*errors, *errors_of(demands))
    spec = Mutate(
        operation,
        errors,
        for_admins,
        ignores_dead_token,
        demands,
        for_api_keys,
        for_organization_keys,
        for_bots,
        while_read_only,
        unmetered,
    )
    return _field(spec, description, resolver=resolver)


def live(
    topic: str,
    field: str,
    *,
    entity: bool = False,
    starts_empty: bool = False,
    gone: str | None = None,
    kind: str | None = None,
    only_new: bool = False,
    of_only_row: bool = False,
    description: str,
) -> Any:
    """A root subscription field: `field` of its payload shows the row of each event.

    With `entity`, it takes the `id` of one row to watch; without, it watches the actor's own and
    those of the actor's groups, or everybody's of a public table. `starts_empty` begins with a null
    item instead of the state now. `gone` names the payload's field with the id of a row that is
    deleted or hidden now, `kind` the one with a `ChangeKind`, null beside no change. `only_new`
    shows new rows and no other changes. `of_only_row` begins with the only row of a public table.
    """
    resolver = watch_entity_arguments if entity else watch_arguments
    current = "nothing" if starts_empty else "only" if of_only_row else "row"
    entity_argument = "id" if entity else None
    spec = Live(topic, field, current, entity_argument, gone, kind, only_new)
    return strawberry.subscription(
        resolver=resolver, description=description, metadata={SPEC: spec}
    )


def live_growth(
    topic: str, field: str, growth: Growth, *, watch: Callable[..., Any], description: str
) -> Any:
    """The same for one row that grows piece by piece, such as a text that is being written.

    `watch` declares the arguments, of which the first is the id of the row.
    """
    argument = to_camel_case(next(name for name in watch.__annotations__ if name != "self"))
    spec = Live(topic, field, "row", entity_argument=argument, growth=growth)
    return strawberry.subscription(resolver=watch, description=description, metadata={SPEC: spec})


def live_within(
    topic: str,
    field: str,
    prefix: str,
    *,
    watch: Callable[..., Any],
    gone: str | None = None,
    description: str,
) -> Any:
    """The same for the rows of one parent, behind a null item.

    `watch` declares the arguments, of which the first is the parent's global id, with `prefix`.
    `gone` is as for others.
    """
    argument = to_camel_case(next(name for name in watch.__annotations__ if name != "self"))
    spec = Live(topic, field, "nothing", entity_argument=argument, gone=gone, within=prefix)
    return strawberry.subscription(resolver=watch, description=description, metadata={SPEC: spec})


def joint_live(
    topic: str, fields: tuple[str, ...], *, gone: str, kind: str, description: str
) -> Any:
    """A root subscription field for the events of public tables that share a topic.

    `fields` are the payload's fields for the rows of each table, all but one of them null; `gone`
    and `kind` are as for others. It begins with an item in which all of these are null.
    """
    spec = Live(topic, fields[0], "nothing", gone=gone, kind=kind, joint=fields)
    return strawberry.subscription(
        resolver=watch_arguments, description=description, metadata={SPEC: spec}
    )


@dataclass_transform(
    kw_only_default=True, field_specifiers=(column, related_row, connection, expression)
)
def backed_by[T](
    model: type[Base], *, prefix: str = "", name: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Declares a graph type whose objects are rows of a table."""

    def decorate(cls: type[T]) -> type[T]:
        cls.__backing__ = Backing(model, prefix)  # type: ignore[attr-defined]
        description = (cls.__doc__ or "").strip()
        return strawberry.type(cls, name=name, description=description)

    return decorate
