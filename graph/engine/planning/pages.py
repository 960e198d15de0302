"""Keyset pages: one inner query of the rows asked for, folded into a connection object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any

from graphql import FieldNode, GraphQLArgument, GraphQLField, GraphQLObjectType, get_named_type
from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from db.core.errors import DomainError, ErrorCode, bad_input
from graph.engine.planning.faults import Path
from graph.engine.planning.filters import Where
from graph.engine.planning.json_parts import (
    TEXT,
    Json,
    build_object,
    json_agg,
    list_of,
    list_of_column,
    text_literal,
)
from graph.engine.planning.parameters import Getter, Request
from graph.engine.planning.planner import Planner
from graph.engine.planning.rows import as_object, cursor_value, ordering, table_behind
from graph.engine.specs import Column, Page, SearchTerm, python_name, spec_of
from graph.shared.relay import (
    CURSOR_VERSION,
    MAX_PAGE_SIZE,
    decode_cursor,
)

POSITION = "position"
INTEGER = Integer()
ONE = literal_column("1", INTEGER)
# As far as a total is counted: a list has no bound of its own, and an answer must have one.
TOTAL_COUNT_LIMIT = 10_000
COUNT_LIMIT = literal_column(str(TOTAL_COUNT_LIMIT), INTEGER)
# Makes an expression of the connection object from the inner query.
PagePart = Callable[[FromClause], Json]


class Direction(Enum):
    """From which end a page is counted, by the argument that says how many."""

    FORWARD = "first"
    BACKWARD = "last"


# What a plan keeps for each of its pages is plain: 99 pages of closures were 4,500 objects to the
# garbage collector.
Read = Callable[[Any], Mapping[str, Any]]


def page_size(read: Read, direction: Direction, default_size: int, request: Request) -> int:
    """`first` or `last`; `LIMIT_EXCEEDED` when it is not between 1 and 100."""
    arguments = read(request.variables)
    if arguments["first"] is not None and arguments["last"] is not None:
        raise bad_input("Use `first` or `last`, not both.", "last")
    size = arguments[direction.value]
    if size is None:
        return default_size
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"`{direction.value}` must be between 1 and {MAX_PAGE_SIZE}. "
            "Page through longer lists with cursors.",
        )
    return int(size)


def behind(
    columns: Sequence[tuple[ColumnElement[Any], bool]], values: list[ColumnElement[Any]]
) -> ColumnElement[bool]:
    """Rows behind a position. One direction compares whole rows, which an index answers."""
    if len({descending for _, descending in columns}) == 1:
        left, right = tuple_(*(column for column, _ in columns)), tuple_(*values)
        return left < right if columns[0][1] else left > right
    branches = []
    for index, (column, descending) in enumerate(columns):
        equal = [c == v for (c, _), v in zip(columns[:index], values[:index], strict=True)]
        beyond = column < values[index] if descending else column > values[index]
        branches.append(and_(*equal, beyond))
    return or_(*branches)


# By the field, which is kept so that no other can have its place in memory.
_AS_GIVEN: dict[int, tuple[GraphQLField, GraphQLField]] = {}


def _as_given(definition: GraphQLField) -> GraphQLField:
    """A list's field without the default of `first`, which holds only where `last` is not given."""
    known = _AS_GIVEN.get(id(definition))
    if known is None:
        arguments = dict(definition.args)
        arguments["first"] = GraphQLArgument(arguments["first"].type, default_value=None)
        known = definition, GraphQLField(definition.type, arguments)
        _AS_GIVEN[id(definition)] = known
    return known[1]


def build_page(
    planner: Planner,
    page: Page,
    definition: GraphQLField,
    nodes: Sequence[FieldNode],
    parent: FromClause | None,
    parent_key: ColumnElement[Any] | None,
    path: Path,
) -> Json:
    """The connection that a field leads to."""
    return PageBuilder(planner, page, definition, nodes, parent, parent_key, path).build()


class PageBuilder:
    """Builds one connection field for one parent row, or for the root."""

    def __init__(
        self,
        planner: Planner,
        page: Page,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
        parent: FromClause | None,
        parent_key: ColumnElement[Any] | None,
        path: Path,
    ) -> None:
        self.planner = planner
        self.page = page
        self.nodes = nodes
        self.parent = parent
        self.parent_key = parent_key
        self.path = path
        self.type = as_object(get_named_type(definition.type))
        self.item = as_object(get_named_type(self.type.fields["nodes"].type))
        self.source = planner.source(self.item)
        asked = _as_given(definition)
        self.arguments = planner.read_arguments(asked, nodes[0])
        now = planner.arguments_now(asked, nodes[0])
        is_backward = now["last"] is not None and now["first"] is None
        self.direction = Direction.BACKWARD if is_backward else Direction.FORWARD
        self._is_backward = is_backward
        self.given = [name for name in ("after", "before") if now.get(name) is not None]
        self.where_now = now.get("where") or {}
        self.order = self._order(now.get("orderBy"))
        self.columns: dict[str, ColumnElement[Any]] = {}
        self.counted = False
        self._first: ColumnElement[Any] | None = None

    def _order(self, chosen: Mapping[str, Any] | None) -> tuple[str, ...]:
        """The order asked for, made total by the last column of the usual one."""
        if chosen is None:
            return self.page.order
        field, direction = leaf_value(chosen["field"]), leaf_value(chosen["direction"])
        column_spec = spec_of(self.item.fields[field_name(self.item, field)])
        assert isinstance(column_spec, Column)
        sign = "-" if direction == "DESC" else ""
        return (sign + (column_spec.name or field), sign + self.page.order[-1].removeprefix("-"))

    def _ordered(self) -> list[tuple[ColumnElement[Any], bool]]:
        """The order to read in: from the end when paging backward."""
        found = ordering(self.source, self.order)
        return [(column, down is not self._is_backward) for column, down in found]

    def build(self) -> Json:
        """The whole connection object."""
        selected = self.planner.collect(self.type, self.nodes)
        names = {found[0].name.value for found in selected.values()}
        self.counted = "pageInfo" in names or self._is_backward
        parts = [
            (key, self._part(found[0].name.value, found, (*self.path, key)))
            for key, found in selected.items()
        ]
        inner = self._inner().correlate(self.parent).subquery(self.planner.next_name())
        made = build_object([(key, part(inner)) for key, part in parts])
        # HAVING makes one row of it even where nothing is aggregated, as in `{ totalCount }`.
        return select(made).select_from(inner).having(literal_true(True)).scalar_subquery()

    def _part(self, name: str, found: Sequence[FieldNode], path: Path) -> PagePart:
        if name == "__typename":
            return lambda _: text_literal(self.type.name)
        if name == "nodes":
            item = self.planner.object(self.item, found, self.source, (*path, None))
            return self._items(self._column(item))
        if name == "edges":
            return self._items(self._column(self._edge(found, path)))
        if name == "totalCount":
            return lambda _: self._total()
        return self._page_info(found)

    def _shown(self, inner: FromClause) -> ColumnElement[Any]:
        """The order of the page as it is shown, whichever end it was read from."""
        position = inner.c[POSITION]
        return position.desc() if self._is_backward else position.asc()

    def _total(self) -> Json:
        source = self.planner.source(self.item)
        members = select(ONE).select_from(source).where(*self._members(source))
        counted = members.correlate(self.parent).limit(COUNT_LIMIT)
        found = counted.subquery(self.planner.next_name())
        return select(func.count()).select_from(found).scalar_subquery()

    def _column(self, value: ColumnElement[Any]) -> str:
        label = f"c{len(self.columns)}"
        self.columns[label] = value
        return label

    def _items(self, label: str) -> PagePart:
        def part(inner: FromClause) -> Json:
            if not self.counted:
                return list_of_column(inner.name, label)  # type: ignore[attr-defined]
            in_order = aggregate_order_by(inner.c[label], self._shown(inner))
            on_page = inner.c[POSITION] <= self.first()
            return list_of(json_agg(in_order).filter(on_page))

        return part

    def _edge(self, found: Sequence[FieldNode], path: Path) -> Json:
        edge_type = as_object(get_named_type(self.type.fields["edges"].type))
        pairs: list[tuple[str, Json]] = []
        for key, nodes in self.planner.collect(edge_type, found).items():
            match nodes[0].name.value:
                case "__typename":
                    pairs.append((key, text_literal(edge_type.name)))
                case "cursor":
                    pairs.append((key, self._cursor()))
                case _:
                    item_path = (*path, None, key)
                    made = self.planner.object(self.item, nodes, self.source, item_path)
                    pairs.append((key, made))
        return build_object(pairs)

    def _page_info(self, found: Sequence[FieldNode]) -> PagePart:
        info_type = as_object(get_named_type(self.type.fields["pageInfo"].type))
        wanted = {
            key: nodes[0].name.value
            for key, nodes in self.planner.collect(info_type, found).items()
        }
        cursors = {"startCursor", "endCursor"} & set(wanted.values())
        label = self._column(self._cursor()) if cursors else None

        def part(inner: FromClause) -> Json:
            more = func.count() > self.first()
            before, after = (literal_true(name in self.given) for name in ("before", "after"))
            nearest, farthest = self._ends(inner, label)
            back = self._is_backward
            values: dict[str, Json] = {
                "hasNextPage": before if back else more,
                "hasPreviousPage": more if back else after,
                "startCursor": farthest if back else nearest,
                "endCursor": nearest if back else farthest,
                "__typename": text_literal(info_type.name),
            }
            return build_object([(key, values[name]) for key, name in wanted.items()])

        return part

    def _ends(
        self, inner: FromClause, label: str | None
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The cursors of the first and the last row read."""
        if label is None:
            return null(), null()
        in_order = aggregate_order_by(inner.c[label], inner.c[POSITION])
        cursors = func.array_agg(in_order, type_=ARRAY(TEXT))
        return cursors[ONE], cursors[func.least(cast(func.count(), INTEGER), self.first())]

    def first(self) -> ColumnElement[Any]:
        """The bound page size."""
        if self._first is None:
            default_size = self.page.default_size
            size = partial(page_size, self.arguments, self.direction, default_size)
            self._first = self.planner.parameters.add(size, INTEGER)
        return self._first

    @property
    def order_name(self) -> str:
        """What a cursor of this page is good for."""
        return f"{table_behind(self.item).table.name}:{','.join(self.order)}"

    def _cursor(self) -> ColumnElement[Any]:
        packed = func.json_build_array(
            literal_column(f"'{CURSOR_VERSION}'", TEXT),
            literal_column(f"'{self.order_name}'", TEXT),
            *(column for column, _ in ordering(self.source, self.order)),
        )
        encoded = func.encode(
            func.convert_to(cast(packed, TEXT), literal_column("'UTF8'")),
            literal_column("'base64'"),
        )
        return func.replace(encoded, literal_column("E'\\n'"), literal_column("''"), type_=TEXT)

    def _inner(self) -> Select[Any]:
        columns = [value.label(label) for label, value in self.columns.items()]
        ordered = [column.desc() if down else column.asc() for column, down in self._ordered()]
        query = select(*columns).select_from(self.source)
        query = query.where(*self._members(self.source), *self._bounds())
        if not self.counted:
            return query.order_by(*ordered).limit(self.first())
        position = func.row_number().over(order_by=ordered).label(POSITION)
        return query.add_columns(position).order_by(*ordered).limit(self.first() + ONE)

    def _members(self, source: FromClause) -> list[ColumnElement[bool]]:
        """What every item of the list fulfils, wherever the page begins."""
        only = [self.page.only(source)] if self.page.only else []
        where = Where(self.planner, self.arguments)
        asked = where.conditions(self.item, source, self.where_now, ("where",))
        found = self._found(source)
        return [
            *self._below(source),
            self.planner.ownership_condition(self.item, source),
            *only,
            *asked,
            *found,
        ]

    def _found(self, source: FromClause) -> Iterator[ColumnElement[bool]]:
        """That a search finds the item; all are found when nothing is searched for."""
        if self.page.search is None:
            return
        read, parameters = self.arguments, self.planner.parameters
        yield or_(
            parameters.add(partial(_searches_nothing, read), Boolean()),
            *(
                term.finds(source, parameters.add(partial(_search_value, read, term), term.type))
                for term in self.page.search.terms
            ),
        )

    def _below(self, source: FromClause) -> Iterator[ColumnElement[bool]]:
        """That an item belongs to the row above."""
        if self.parent_key is not None:
            assert self.page.key is not None
            yield source.c[self.page.key] == self.parent_key

    def _bounds(self) -> Iterator[ColumnElement[bool]]:
        """Behind `after` and before `before`."""
        columns = ordering(self.source, self.order)
        for argument in self.given:
            values = [
                self.planner.parameters.add(self._cursor_getter(argument, n, column), column.type)
                for n, (column, _) in enumerate(columns)
            ]
            flip = argument == "before"
            yield behind([(column, down is not flip) for column, down in columns], values)

    def _cursor_getter(self, argument: str, index: int, column: ColumnElement[Any]) -> Getter:
        python_type, length = column.type.python_type, len(self.order)
        place = (argument, self.order_name, length, index, python_type)
        return partial(_cursor_part, self.arguments, place)


def _searches_nothing(read: Read, request: Request) -> bool:
    return not read(request.variables).get("search")


def _search_value(read: Read, term: SearchTerm, request: Request) -> Any:
    search = read(request.variables).get("search")
    return term.value(str(search).strip()) if search else None


def _cursor_part(read: Read, place: tuple[str, str, int, int, type], request: Request) -> Any:
    argument, order_name, length, index, python_type = place
    values = decode_cursor(read(request.variables)[argument], order_name, length)
    return cursor_value(values[index], python_type)


def literal_true(value: bool) -> ColumnElement[bool]:
    """A boolean constant of the statement."""
    return literal_column("true" if value else "false", Boolean)


def leaf_value(value: Any) -> str:
    """An enum value as the text it stands for."""
    return str(value.value if isinstance(value, Enum) else value)


def field_name(graph_type: GraphQLObjectType, attribute: str) -> str:
    """The name in GraphQL of the field that is `attribute` in Python."""
    return str(next(n for n, f in graph_type.fields.items() if python_name(f) == attribute))
