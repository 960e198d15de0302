"""Keyset pages: one inner query of the rows asked for, folded into a connection object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from graphql import FieldNode, GraphQLField, get_named_type
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
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

from db.errors import DomainError, ErrorCode
from graph.engine.parameters import Getter, Request
from graph.engine.plan import (
    Json,
    Path,
    Planner,
    as_object,
    build_object,
    list_of,
    ordering,
    sorted_by,
    table_behind,
    text_literal,
)
from graph.engine.specs import Page
from graph.relay import CURSOR_VERSION, MAX_PAGE_SIZE, bad_cursor, decode_cursor

POSITION = "position"
ONE = literal_column("1", Integer)
# Makes an expression of the connection object from the inner query.
Part = Callable[[FromClause], Json]


def page_size(arguments: Mapping[str, Any]) -> int:
    """`first`, or `LIMIT_EXCEEDED` when it is not between 1 and 100."""
    first = arguments["first"]
    if not 1 <= first <= MAX_PAGE_SIZE:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"`first` must be between 1 and {MAX_PAGE_SIZE}; it is {first}. "
            "Page through longer lists with `after`.",
        )
    return int(first)


def behind(
    columns: list[tuple[ColumnElement[Any], bool]], values: list[ColumnElement[Any]]
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


def cursor_value(value: Any, python_type: type) -> Any:
    """A value out of a cursor as the type of its column."""
    try:
        if python_type is UUID:
            return UUID(value)
        if python_type is datetime:
            return datetime.fromisoformat(value)
    except (TypeError, ValueError, AttributeError):
        raise bad_cursor() from None
    if not isinstance(value, python_type):
        raise bad_cursor()
    return value


class PageBuilder:
    """Builds one connection field for one parent row."""

    def __init__(
        self,
        planner: Planner,
        page: Page,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
        parent: FromClause,
        parent_key: ColumnElement[Any],
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
        self.arguments = planner.read_arguments(definition, nodes[0])
        self.after_given = planner.given_now(definition, nodes[0], "after")
        self.columns: dict[str, ColumnElement[Any]] = {}
        self.counted = False
        self._first: ColumnElement[Any] | None = None

    def build(self) -> Json:
        """The whole connection object."""
        selected = self.planner.collect(self.type, self.nodes)
        self.counted = any(found[0].name.value == "pageInfo" for found in selected.values())
        parts = [
            (key, self._part(found[0].name.value, found, (*self.path, key)))
            for key, found in selected.items()
        ]
        inner = self._inner().correlate(self.parent).subquery(self.planner.next_name())
        made = build_object([(key, part(inner)) for key, part in parts])
        return select(made).select_from(inner).scalar_subquery()

    def _part(self, name: str, found: Sequence[FieldNode], path: Path) -> Part:
        if name == "__typename":
            return lambda _: text_literal(self.type.name)
        if name == "nodes":
            item = self.planner.object(self.item, found, self.source, (*path, None))
            return self._items(self._column(item))
        if name == "edges":
            return self._items(self._column(self._edge(found, path)))
        return self._page_info(found)

    def _column(self, value: ColumnElement[Any]) -> str:
        label = f"c{len(self.columns)}"
        self.columns[label] = value
        return label

    def _items(self, label: str) -> Part:
        def part(inner: FromClause) -> Json:
            if not self.counted:
                return list_of(func.json_agg(inner.c[label]))
            in_order = aggregate_order_by(inner.c[label], inner.c[POSITION])
            on_page = inner.c[POSITION] <= self.first()
            return list_of(func.json_agg(in_order).filter(on_page))

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

    def _page_info(self, found: Sequence[FieldNode]) -> Part:
        info_type = as_object(get_named_type(self.type.fields["pageInfo"].type))
        wanted = {
            key: nodes[0].name.value
            for key, nodes in self.planner.collect(info_type, found).items()
        }
        label = self._column(self._cursor()) if "endCursor" in wanted.values() else None

        def part(inner: FromClause) -> Json:
            end_cursor: ColumnElement[Any] = null()
            if label is not None:
                in_order = aggregate_order_by(inner.c[label], inner.c[POSITION])
                cursors = func.array_agg(in_order, type_=ARRAY(Text))
                end_cursor = cursors[func.least(cast(func.count(), Integer), self.first())]
            values: dict[str, Json] = {
                "hasNextPage": func.count() > self.first(),
                "endCursor": end_cursor,
                "__typename": text_literal(info_type.name),
            }
            return build_object([(key, values[name]) for key, name in wanted.items()])

        return part

    def first(self) -> ColumnElement[Any]:
        """The bound page size."""
        if self._first is None:
            arguments = self.arguments
            self._first = self.planner.parameters.add(
                lambda request: page_size(arguments(request)), Integer()
            )
        return self._first

    @property
    def order_name(self) -> str:
        """What a cursor of this page is good for."""
        return f"{table_behind(self.item).table.name}:{','.join(self.page.order)}"

    def _cursor(self) -> ColumnElement[Any]:
        packed = func.json_build_array(
            literal_column(f"'{CURSOR_VERSION}'", Text),
            literal_column(f"'{self.order_name}'", Text),
            *(column for column, _ in ordering(self.source, self.page.order)),
        )
        encoded = func.encode(
            func.convert_to(cast(packed, Text), literal_column("'UTF8'")),
            literal_column("'base64'"),
        )
        return func.replace(encoded, literal_column("E'\\n'"), literal_column("''"), type_=Text)

    def _inner(self) -> Select[Any]:
        columns = [value.label(label) for label, value in self.columns.items()]
        ordered = sorted_by(self.source, self.page.order)
        query = select(*columns).select_from(self.source).where(*self._conditions())
        if not self.counted:
            return query.order_by(*ordered).limit(self.first())
        position = func.row_number().over(order_by=ordered).label(POSITION)
        return query.add_columns(position).order_by(*ordered).limit(self.first() + ONE)

    def _conditions(self) -> list[ColumnElement[bool]]:
        own = self.source.c[self.page.key] == self.parent_key
        conditions = [own, self.planner.lock(self.item, self.source)]
        if self.after_given:
            columns = ordering(self.source, self.page.order)
            values = [
                self.planner.parameters.add(self._cursor_getter(index, column), column.type)
                for index, (column, _) in enumerate(columns)
            ]
            conditions.append(behind(columns, values))
        return conditions

    def _cursor_getter(self, index: int, column: ColumnElement[Any]) -> Getter:
        python_type, length = column.type.python_type, len(self.page.order)

        def get(request: Request) -> Any:
            values = decode_cursor(self.arguments(request)["after"], self.order_name, length)
            return cursor_value(values[index], python_type)

        return get
