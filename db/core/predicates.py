"""Conditions that keep a statement to the rows its actor may touch, beside row-level security."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    FromClause,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql import ColumnElement

from db.core.access import (
    Admin,
    AllOf,
    AnyOf,
    Group,
    LikeOwn,
    Member,
    Nobody,
    Owner,
    Public,
    Rule,
    Shared,
    SqlCommand,
    Through,
    access_of,
    groups,
    parent_of,
    parts,
)
from db.core.actor import Actor
from db.core.base import Base
from db.core.groups import reread_ids_name


def is_admin(metadata: MetaData, actor_user_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the actor is an admin, as the database knows it."""
    admins = metadata.tables["users"].alias("admins")
    role = literal_column("'admin'", Text())
    found = select(admins.c.id).where(admins.c.id == actor_user_id, admins.c.role == role)
    return found.correlate(None).exists()


def came_with_less() -> ColumnElement[bool]:
    """Whether the actor came with an API key or a foreign token: they pass for no admin then.

    By the claim, as `app.is_admin()` reads it. It only ever takes away what `is_admin()` gives.
    """
    claim = func.current_setting(literal_column("'app.user_id'"), literal_column("true"))
    return func.starts_with(func.coalesce(claim, literal_column("''")), literal_column("'{'"))


@dataclass(frozen=True)
class Asking:
    """Who a statement is for, and how it reads what it depends on.

    `user_id` is a bound value, or one of the statement's own, never `app.user_id()`: a statement
    must not depend on when its own claims are set. With `as_admin` it shows what admins may read
    beside their own; all others stay as simple as they are. One that `rereads` what it has just
    written reads memberships again too.
    """

    user_id: ColumnElement[Any]
    command: SqlCommand = "SELECT"
    as_admin: bool = False
    rereads: bool = False

    def condition(self, table: Table, source: FromClause, rule: Rule) -> ColumnElement[bool]:
        """What a rule demands of the rows of `source`, which are those of `table`."""
        found = [
            self._condition(table, source, part)
            for part in parts(rule)
            if self.as_admin or rule == Admin() or not isinstance(part, Admin)
        ]
        return found[0] if len(found) == 1 else or_(*found)

    def _condition(self, table: Table, source: FromClause, part: Rule) -> ColumnElement[bool]:
        match part:
            case Owner(column):
                return source.c[column] == self.user_id
            case Member(column, roles, group):
                return source.c[column] == any_(self._group_ids(table, group, roles))
            case Shared(column, group):
                return source.c[column] == any_(self._group_ids(table, group, ()))
            case Public(only_if):
                return source.c[only_if].is_(True) if only_if else true()
            case Through(column, _):
                parent = parent_of(table, part, self.command)
                row = parent.table.alias()
                met = self.condition(parent.table, row, parent.rule)
                leads_to = row.c[parent.key] == source.c[column]
                found: Select[Any] = select(row.c[parent.key]).where(leads_to, met)
                return found.correlate_except(row).exists()
            case Admin():
                return is_admin(table.metadata, self.user_id)
            case LikeOwn(column, owner):
                own = table.alias()
                value = own.c[column]
                values = select(value).where(own.c[owner] == self.user_id, value.is_not(None))
                asked = func.array(values.correlate_except(own).scalar_subquery())
                return source.c[column] == any_(asked)
            case AllOf(rules):
                return and_(*(self._condition(table, source, one) for one in rules))
            case Nobody() | AnyOf():
                raise TypeError(f"{table.name}: {part} lets nobody in")

    def _group_ids(self, table: Table, kind: str, roles: tuple[str, ...]) -> ColumnElement[Any]:
        """The groups in which the actor has one of the roles, evaluated once a statement."""
        memberships, group = groups(table.metadata)[kind]
        if self.rereads:
            texts = ", ".join(f"'{role}'" for role in roles)
            wanted: ColumnElement[Any] = literal_column(f"array[{texts}]::text[]")
            return getattr(func.app, reread_ids_name(kind))(self.user_id, wanted)  # type: ignore[no-any-return]
        selects = [self._memberships(memberships, group, column, roles) for column in group.users]
        whole = selects[0] if len(selects) == 1 else union_all(*selects)
        return func.array(whole.scalar_subquery())

    def _memberships(
        self, table: Table, group: Group, column: str, roles: tuple[str, ...]
    ) -> Select[Any]:
        row = table.alias()
        found = select(row.c[group.key]).where(row.c[column] == self.user_id)
        if roles:
            found = found.where(_is_one_of(row.c[group.role], roles))
        for name, values in group.counts.items():
            found = found.where(_is_one_of(row.c[name], values))
        return found.correlate_except(row)


def _is_one_of(column: ColumnElement[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    return column.in_([literal_column(f"'{value}'", Text()) for value in values])


def ownership_predicate(
    model: type[Base],
    source: FromClause,
    actor_user_id: ColumnElement[Any],
    *,
    command: SqlCommand = "SELECT",
    as_admin: bool = False,
    rereads: bool = False,
) -> ColumnElement[bool]:
    """The rows of `source` on which the actor may run the command, as their table declares."""
    table = model.__table__
    assert isinstance(table, Table)
    rule = access_of(table).rule(command)
    return Asking(actor_user_id, command, as_admin, rereads).condition(table, source, rule)


def own_rows(
    model: type[Base], actor: Actor, command: SqlCommand = "SELECT"
) -> ColumnElement[bool]:
    """The same for an operation that writes: only rows on which the actor may run the command."""
    actor_user_id = literal(actor.user_id, Uuid())
    return ownership_predicate(model, model.__table__, actor_user_id, command=command)
