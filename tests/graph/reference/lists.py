"""Lists in plain Python: read whole, then filtered, sorted, cut and given cursors."""

from __future__ import annotations

import base64
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from graphql import GraphQLObjectType

from db.core.errors import DomainError, ErrorCode, bad_input
from graph.engine.specs import Column, GlobalId, RelatedRow, backing_of, python_name, spec_of

from .rows import Reader, Row, key_from_text

Order = Sequence[str]  # names of columns, `-` before one that descends
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "in": lambda value, choices: value in choices,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def object_type(graph_type: Any) -> GraphQLObjectType:
    """The object type under lists and non-nulls."""
    while hasattr(graph_type, "of_type"):
        graph_type = graph_type.of_type
    assert isinstance(graph_type, GraphQLObjectType)
    return graph_type


class List:
    """One list, with the arguments it was asked with."""

    def __init__(
        self, reader: Reader, item: GraphQLObjectType, usual: Order, arguments: Mapping[str, Any]
    ) -> None:
        self._reader = reader
        self._item = item
        self._arguments = arguments
        backing = backing_of(item)
        assert backing is not None
        self._table = backing.table.name
        self._columns = backing.table.columns
        self.order = self._chosen(usual)

    def _chosen(self, usual: Order) -> Order:
        chosen = self._arguments.get("orderBy")
        if chosen is None:
            return usual
        sign = "-" if chosen["direction"].name == "DESC" else ""
        return (sign + chosen["field"].name.lower(), sign + usual[-1].lstrip("-"))

    def check(self) -> None:
        """Refuses wrong arguments before anything is awaited.

        Of faults that end in the same null graphql-core tells the one that came first in time; so
        it is the first in the document.
        """
        check_conditions(self._arguments.get("where"))
        self._size()
        for name in ("after", "before"):
            self._position(name)

    async def page(self, rows: list[Row]) -> dict[str, Any]:
        """The connection object for all the rows of the list."""
        size, backward = self._size()
        after, before = (self._position(name) for name in ("after", "before"))
        where = self._arguments.get("where") or {}
        members = [row for row in rows if await self.fulfils(self._item, row, where)]
        members = self.sorted(members)
        between = [row for row in members if self._between(row, after, before)]
        shown = between[-size:] if backward else between[:size]
        more = len(between) > size
        edges = [{"cursor": self._cursor(row), "node": row} for row in shown]
        cursors = [edge["cursor"] for edge in edges] or [None]
        return {
            "nodes": shown,
            "edges": edges,
            "totalCount": len(members),
            "pageInfo": {
                "hasNextPage": before is not None if backward else more,
                "hasPreviousPage": more if backward else after is not None,
                "startCursor": cursors[0],
                "endCursor": cursors[-1],
            },
        }

    def _size(self) -> tuple[int, bool]:
        first, last = self._arguments["first"], self._arguments["last"]
        if first is not None and last is not None:
            raise bad_input("first and last")
        size = last if last is not None else first
        if size is None:
            return 20, False
        if size < 1 or size > 100:
            raise DomainError(ErrorCode.LIMIT_EXCEEDED, "size")
        return size, last is not None

    def sorted(self, rows: list[Row]) -> list[Row]:
        """The rows in order: sorted by the least important column first, which a sort keeps."""
        for name in reversed(self.order):
            column = name.lstrip("-")
            there = [row for row in rows if row.values[column] is not None]
            empty = [row for row in rows if row.values[column] is None]
            there.sort(key=lambda r: r.values[column], reverse=name.startswith("-"))
            rows = empty + there if name.startswith("-") else there + empty
        return rows

    def _between(self, row: Row, after: list[Any] | None, before: list[Any] | None) -> bool:
        position = [row.values[name.lstrip("-")] for name in self.order]
        return (after is None or self._precedes(after, position)) and (
            before is None or self._precedes(position, before)
        )

    def _precedes(self, one: list[Any], other: list[Any]) -> bool:
        for name, left, right in zip(self.order, one, other, strict=True):
            if left != right:
                return bool(left > right if name.startswith("-") else left < right)
        return False

    def _kind(self) -> str:
        return f"{self._table}:{','.join(self.order)}"

    def _cursor(self, row: Row) -> str:
        position = [_as_json(row.values[name.lstrip("-")]) for name in self.order]
        return base64.b64encode(
            json.dumps(["1", self._kind(), *position], ensure_ascii=False).encode()
        ).decode()

    def _position(self, argument: str) -> list[Any] | None:
        cursor = self._arguments[argument]
        if cursor is None:
            return None
        try:
            version, kind, first, key = json.loads(base64.b64decode(cursor, validate=True))
            if (version, kind) == ("1", self._kind()):
                return [
                    self._read(name.lstrip("-"), value)
                    for name, value in zip(self.order, (first, key), strict=True)
                ]
        except (ValueError, TypeError):
            pass
        raise bad_input("cursor")

    def _read(self, column: str, value: Any) -> Any:
        """A value of a cursor as its column has it."""
        python_type = self._columns[column].type.python_type
        if python_type is datetime:
            return datetime.fromisoformat(value)
        if python_type is UUID:
            return UUID(value)
        if not isinstance(value, python_type):
            raise TypeError(value)
        return value

    async def fulfils(self, graph_type: GraphQLObjectType, row: Row, where: Any) -> bool:
        """Whether a row fulfils every condition; conditions that may not be are refused."""
        holds = True
        for name, given in where.items():
            if given is None:
                raise bad_input("null")
            field = graph_type.fields[name]
            spec = spec_of(field)
            if isinstance(spec, RelatedRow):
                holds &= await self._related(object_type(field.type), spec, row, given)
                continue
            assert isinstance(spec, Column | GlobalId)
            backing = backing_of(graph_type)
            assert backing is not None
            column = (spec.name if isinstance(spec, Column) else backing.key) or python_name(field)
            for word, operand in given.items():
                value = _operand(operand, graph_type if isinstance(spec, GlobalId) else None)
                found = row.values[column]
                holds &= found is not None and value is not None and COMPARE[word](found, value)
        return holds

    async def _related(
        self, target: GraphQLObjectType, edge: RelatedRow, row: Row, given: Any
    ) -> bool:
        backing = backing_of(target)
        assert backing is not None
        related = await self._reader.row(
            backing.model,
            target.name,
            edge.remote,
            row.values[edge.local],
            as_admin=row.as_admin,
        )
        return related is not None and await self.fulfils(target, related, given)


def check_conditions(where: Any) -> None:
    """Refuses conditions that are null or too long, also those of a list without rows."""
    for value in (where or {}).values():
        if value is None or (isinstance(value, list) and len(value) > 100):
            raise bad_input("condition")
        if isinstance(value, Mapping):
            check_conditions(value)


def _operand(operand: Any, graph_type: GraphQLObjectType | None) -> Any:
    if operand is None:
        raise bad_input("null")
    if isinstance(operand, list):
        return [_operand(item, graph_type) for item in operand]
    if graph_type is not None:
        backing = backing_of(graph_type)
        assert backing is not None
        return key_from_text(operand.removeprefix(f"{backing.prefix}_"), backing.model)
    return operand.value if isinstance(operand, Enum) else operand


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{value.microsecond:06}".rstrip("0").rstrip(".")
        return f"{text}{fraction}+00:00"
    return str(value) if isinstance(value, UUID) else value
