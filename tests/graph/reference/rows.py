"""Reads rows one small query at a time, as the role that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from db.actor import Actor
from db.base import Base
from db.pool import Transaction
from db.rls import AdminOnly, Owned


@dataclass(frozen=True)
class Row:
    """A row that stands for an object of the graph type `type_name`."""

    type_name: str
    values: Mapping[str, Any]


class Reader:
    """Reads whole rows for one actor; row-level security decides which there are."""

    def __init__(self, transaction: Transaction, actor: Actor) -> None:
        self._connection = transaction.connection
        self._one_at_a_time = asyncio.Lock()
        self.actor = actor
        # Every field that was answered, as type and field.
        self.answered: set[tuple[str, str]] = set()

    async def rows(
        self, model: type[Base], type_name: str, column: str | None = None, value: object = None
    ) -> list[Row]:
        """All rows, or those whose `column` is `value`."""
        if self.actor.user_id is None and isinstance(model.access.ownership, Owned | AdminOnly):
            return []  # nobody may not even name the table
        table = model.__table__
        assert isinstance(table, Table)
        readable = ", ".join(c.name for c in table.columns if c.name not in model.access.hidden)
        sql = f"select {readable} from {table.name}"
        arguments = []
        if column is not None:
            sql += f" where {column} = $1"
            arguments.append(value)
        async with self._one_at_a_time:
            found = await self._connection.fetch(sql, *arguments)
        return [Row(type_name, dict(record)) for record in found]

    async def row(
        self, model: type[Base], type_name: str, column: str, value: object
    ) -> Row | None:
        """The only row whose `column` is `value`, or nothing."""
        found = await self.rows(model, type_name, column, value)
        assert len(found) <= 1, found
        return found[0] if found else None


def key_from_text(text: str, model: type[Base]) -> Any:
    """A primary key from its text; nothing when no row could have it."""
    table = model.__table__
    assert isinstance(table, Table)
    (column,) = table.primary_key.columns
    if column.type.python_type is not UUID:
        return text
    try:
        return UUID(text)
    except ValueError:
        return None
