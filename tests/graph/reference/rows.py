"""Reads rows one small query at a time, as the role that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from db.core.access import (
    AllOf,
    LikeOwn,
    Member,
    Owner,
    Public,
    Rule,
    Shared,
    Through,
    is_public,
    parts,
)
from db.core.actor import Actor
from db.core.base import Base
from db.core.pool import Transaction


@dataclass(frozen=True)
class Row:
    """A row that stands for an object of the graph type `type_name`.

    `as_admin` rows, and what they lead to, show admins what they may read beside their own.
    """

    type_name: str
    values: Mapping[str, Any]
    as_admin: bool = False


# What a user is in each group of a kind.
ROLES = {
    "organization": "select organization_id, role from organization_members where user_id = $1",
    "play_session": "select session_id, 'PLAYER' from play_players where user_id = $1"
    " and status in ('INVITED', 'JOINED', 'EXPIRED')",
    "sharing": "select partner_id, shared from partners where user_id = $1 and status = 'CONNECTED'",
}


class Reader:
    """Reads whole rows for one actor; of those that row-level security shows, the actor's own."""

    def __init__(self, transaction: Transaction, actor: Actor) -> None:
        self._connection = transaction.connection
        self._one_at_a_time = asyncio.Lock()
        self.actor = actor
        # The roles of the actor by kind and id of the group, once they have been read.
        self._roles: dict[tuple[str, UUID], str] | None = {} if actor.user_id is None else None
        # Every field that was answered, as type and field.
        self.answered: set[tuple[str, str]] = set()

    async def rows(
        self,
        model: type[Base],
        type_name: str,
        column: str | None = None,
        value: object = None,
        *,
        as_admin: bool = False,
    ) -> list[Row]:
        """All rows, or those whose `column` is `value`."""
        table = model.__table__
        assert isinstance(table, Table)
        if self.actor.user_id is None and not is_public(table):
            return []  # nobody may not even name the table
        readable = ", ".join(c.name for c in table.columns if c.name not in model.access.hidden)
        sql = f"select {readable} from {table.name}"
        arguments = []
        if column is not None:
            sql += f" where {column} = $1"
            arguments.append(value)
        async with self._one_at_a_time:
            found = await self._connection.fetch(sql, *arguments)
            if self._roles is None:
                self._roles = {
                    (kind, group): role
                    for kind, sql in ROLES.items()
                    for group, role in await self._connection.fetch(sql, self.actor.user_id)
                }
        rows = [Row(type_name, dict(record), as_admin) for record in found]
        return [row for row in rows if as_admin or await self._is_own(model, row.values)]

    async def _is_own(self, model: type[Base], values: Mapping[str, Any]) -> bool:
        for rule in parts(model.access.read):
            if await self._is_met(model, rule, values):
                return True
        return False

    async def _is_met(self, model: type[Base], rule: Rule, values: Mapping[str, Any]) -> bool:
        match rule:
            case Owner(column):
                return bool(values[column] == self.actor.user_id)
            case Member(column, roles, kind):
                assert self._roles is not None
                role = self._roles.get((kind, values[column]))
                return role is not None and (not roles or role in roles)
            case Shared(column, kind):
                assert self._roles is not None
                return (kind, values[column]) in self._roles
            case Public(only_if):
                return not only_if or bool(values[only_if])
            case Through(column, None):
                parent, key = led_to(model, column)
                return bool(await self.rows(parent, parent.__name__, key, values[column]))
            case Through(column, inner) if inner is not None:
                parent, key = led_to(model, column)
                found = await self._row(parent, key, values[column])
                return found is not None and await self._is_met(parent, inner, found)
            case LikeOwn(column, owner):
                own = f"select {column} from {model.__tablename__} where {owner} = $1"
                async with self._one_at_a_time:
                    found = await self._connection.fetch(own, self.actor.user_id)
                return values[column] in {row[0] for row in found} - {None}
            case AllOf(rules):
                return all([await self._is_met(model, one, values) for one in rules])
        return False

    async def _row(self, model: type[Base], key: str, value: object) -> Mapping[str, Any] | None:
        """The row that somebody's rows lead to, as row-level security shows it."""
        async with self._one_at_a_time:
            return await self._connection.fetchrow(
                f"select * from {model.__tablename__} where {key} = $1", value
            )

    async def row(
        self,
        model: type[Base],
        type_name: str,
        column: str,
        value: object,
        *,
        as_admin: bool = False,
    ) -> Row | None:
        """The only row whose `column` is `value`, or nothing."""
        found = await self.rows(model, type_name, column, value, as_admin=as_admin)
        assert len(found) <= 1, found
        return found[0] if found else None


def led_to(model: type[Base], column: str) -> tuple[type[Base], str]:
    """The table that a foreign key leads to, and the column there."""
    (key,) = model.__table__.columns[column].foreign_keys
    (parent,) = (
        mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is key.column.table
    )
    return parent, key.column.name


def key_from_text(text: str, model: type[Base]) -> Any:
    """A primary key from its text; nothing when no row could have it."""
    table = model.__table__
    assert isinstance(table, Table)
    (column,) = table.primary_key.columns
    if column.type.python_type is int:
        is_key = text.isascii() and text.isdigit() and str(int(text)) == text
        return int(text) if is_key and int(text) < 2**63 else None
    if column.type.python_type is not UUID:
        return text
    try:
        return UUID(text)
    except ValueError:
        return None
