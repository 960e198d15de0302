"""A table for each rule of access, and what each actor may do there by the predicate and policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import (
    Column,
    ForeignKey,
    MetaData,
    Table,
    Text,
    Uuid,
    delete,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ColumnElement, FromClause

from db.core.access import (
    Access,
    Admin,
    AllOf,
    AnyOf,
    Group,
    LikeOwn,
    Member,
    Nobody,
    Owner,
    PerCommand,
    Public,
    Shared,
    SqlCommand,
    Through,
    access_of,
)
from db.core.actor import Actor
from db.core.base import NAMING, Base, Declarations, UuidKey
from db.core.declarations import declared_statements
from db.core.groups import group_statements
from db.core.own_values import own_values_statements
from db.core.predicates import Asking

from .isolation import met

IN_TEAM = Member("team_id", group="team")
MANAGES = Member("team_id", roles=("owner", "admin"), group="team")
IN_PAIR = Shared("pair_id", "pair")
ALL: dict[str, Any] = {
    "insert": ("id", "user_id", "team_id", "pair_id", "is_shown", "parent_id"),
    "update": ("body",),
    "delete": True,
}


class Ruled(Declarations, DeclarativeBase):
    """The base of these tables, apart from those of the product."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = Base.type_annotation_map


# The product's own, of which the rule for admins reads the role.
USERS = Table("users", Ruled.metadata, Column("id", Uuid, primary_key=True), Column("role", Text))


class TeamMember(Ruled):
    __tablename__ = "team_members"

    id: Mapped[UuidKey]
    team_id: Mapped[UUID] = mapped_column(index=True)
    user_id: Mapped[UUID] = mapped_column(index=True)
    role: Mapped[str]
    status: Mapped[str]

    access = Access(read=AnyOf(Owner(), IN_TEAM))
    group = Group("team", key="team_id", role="role", counts={"status": ("ACTIVE",)})


class Pair(Ruled):
    __tablename__ = "pairs"

    id: Mapped[UuidKey]
    one_id: Mapped[UUID] = mapped_column(index=True)
    other_id: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]

    access = Access(read=Shared("id", "pair"))
    group = Group("pair", key="id", users=("one_id", "other_id"), counts={"status": ("ACCEPTED",)})


class Columns:
    """All that a rule may look at."""

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None]
    pair_id: Mapped[UUID | None]
    is_shown: Mapped[bool]
    body: Mapped[str | None]
    parent_id: Mapped[UUID | None]


class Owned(Columns, Ruled):
    __tablename__ = "owned"
    access = Access(Owner(), Owner(), **ALL)


class OfTeams(Columns, Ruled):
    __tablename__ = "of_teams"
    access = Access(IN_TEAM, IN_TEAM, **ALL)


class OfManagers(Columns, Ruled):
    __tablename__ = "of_managers"
    access = Access(IN_TEAM, MANAGES, **ALL)


class OfPairs(Columns, Ruled):
    __tablename__ = "of_pairs"
    access = Access(IN_PAIR, IN_PAIR, **ALL)


class Shown(Columns, Ruled):
    __tablename__ = "shown"
    access = Access(Public("is_shown"))


class ForAll(Columns, Ruled):
    __tablename__ = "for_all"
    access = Access(Public())


class OfAdmins(Columns, Ruled):
    __tablename__ = "of_admins"
    access = Access(Admin())


class Internal(Columns, Ruled):
    __tablename__ = "internal"
    access = Access(Nobody())


class Mixed(Columns, Ruled):
    __tablename__ = "mixed"
    access = Access(
        AnyOf(Owner(), AnyOf(MANAGES, IN_PAIR), Admin(), Public("is_shown")),
        AnyOf(Owner(), IN_PAIR),
        **ALL,
    )


class OwnedInTeams(Columns, Ruled):
    __tablename__ = "owned_in_teams"
    access = Access(Owner(), AllOf(Owner(), MANAGES), **ALL)


class Compared(Columns, Ruled):
    __tablename__ = "compared"
    like_own = LikeOwn("pair_id")
    access = Access(AllOf(IN_TEAM, like_own))


class ByCommand(Columns, Ruled):
    __tablename__ = "by_command"
    access = Access(
        AnyOf(Owner(), IN_TEAM, IN_PAIR), PerCommand(Owner(), MANAGES, delete=IN_PAIR), **ALL
    )


class UpdatedOnly(Columns, Ruled):
    __tablename__ = "updated_only"
    access = Access(IN_TEAM, PerCommand(update=MANAGES), update=("body",))


def _leads_to(model: type[Columns]) -> Any:
    return mapped_column(ForeignKey(model.id, ondelete="CASCADE"))


class UnderOwned(Columns, Ruled):
    __tablename__ = "under_owned"
    parent_id: Mapped[UUID | None] = _leads_to(Owned)
    access = Access(Through("parent_id"), Through("parent_id"), **ALL)


class UnderUnderOwned(Columns, Ruled):
    __tablename__ = "under_under_owned"
    parent_id: Mapped[UUID | None] = _leads_to(UnderOwned)
    access = Access(Through("parent_id"), Through("parent_id"), **ALL)


class UnderManagers(Columns, Ruled):
    __tablename__ = "under_managers"
    parent_id: Mapped[UUID | None] = _leads_to(OfManagers)
    access = Access(Through("parent_id"), Through("parent_id"), **ALL)


class UnderUnderManagers(Columns, Ruled):
    __tablename__ = "under_under_managers"
    parent_id: Mapped[UUID | None] = _leads_to(UnderManagers)
    access = Access(Through("parent_id"), Through("parent_id"), **ALL)


class UnderMixed(Columns, Ruled):
    __tablename__ = "under_mixed"
    parent_id: Mapped[UUID | None] = _leads_to(Mixed)
    access = Access(Through("parent_id"), Through("parent_id", IN_PAIR), **ALL)


TABLES: tuple[Table, ...] = tuple(
    table for table in Ruled.metadata.sorted_tables if "is_shown" in table.c
)
# Who is asked for. The owner is an admin as well, so that a claim of theirs opens every row.
NAMES = [
    "stranger",
    "member",
    "manager",
    "viewer",
    "left",
    "removed",
    "partner",
    "former_partner",
    "guest",
    "admin",
]
OWNER = Actor("authenticated", uuid4(), is_admin=True)
PEOPLE = {"owner": OWNER} | {
    name: Actor("authenticated", uuid4(), is_admin=name == "admin") for name in NAMES
}
TEAM, OTHER_TEAM, PAIR, ENDED_PAIR = (uuid4() for _ in range(4))


def text_of(statement: Any) -> str:
    """A statement as SQL, its values in it."""
    compiled = statement.compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


async def make_ruled(owner: asyncpg.Connection) -> None:
    """Makes the tables as a migration would, people, what groups they are in, and rows."""
    models: dict[Any, Any] = {one.local_table: one.class_ for one in Ruled.registry.mappers}
    made = [table for table in Ruled.metadata.sorted_tables if table is not USERS]
    for table in made:
        await owner.execute(text_of(CreateTable(table)))
        if models[table].group:
            for statement in group_statements(table, models[table].group):
                await owner.execute(statement)
    for statement in own_values_statements(Ruled.metadata.tables["compared"], Compared.like_own):
        await owner.execute(statement)
    for table in made:
        for statement in declared_statements(table, models[table]):
            await owner.execute(statement)
    await _add_people(owner)
    for table in TABLES:
        await _add_rows(owner, table)


async def _add_people(owner: asyncpg.Connection) -> None:
    person = "insert into users (id, email, role, is_anonymous) values ($1, $2, $3, $4)"
    for name, actor in PEOPLE.items():
        email = None if name == "guest" else f"{name}@ruled.test"
        role = "admin" if actor.is_admin else "user"
        await owner.execute(person, actor.user_id, email, role, name == "guest")
    joins = "insert into team_members (team_id, user_id, role, status) values ($1, $2, $3, $4)"
    for name, role, status in (
        ("owner", "owner", "ACTIVE"),
        ("manager", "admin", "ACTIVE"),
        ("member", "member", "ACTIVE"),
        ("viewer", "viewer", "ACTIVE"),
        ("left", "owner", "LEFT"),
        ("removed", "owner", "ACTIVE"),
    ):
        await owner.execute(joins, TEAM, PEOPLE[name].user_id, role, status)
    await owner.execute(joins, OTHER_TEAM, PEOPLE["stranger"].user_id, "viewer", "ACTIVE")
    await owner.execute("delete from team_members where user_id = $1", PEOPLE["removed"].user_id)
    pairs = "insert into pairs (id, one_id, other_id, status) values ($1, $2, $3, $4)"
    await owner.execute(pairs, PAIR, OWNER.user_id, PEOPLE["partner"].user_id, "ACCEPTED")
    former = PEOPLE["former_partner"].user_id
    await owner.execute(pairs, ENDED_PAIR, former, OWNER.user_id, "ENDED")


async def _add_rows(owner: asyncpg.Connection, table: Table) -> None:
    """Rows of each kind, those of parents' for others to be under, and as many to be inserted."""
    candidates = f"candidates_{table.name}"
    await owner.execute(f"create table {candidates} (like {table.name})")
    await owner.execute(f"grant select on {candidates} to authenticated")
    columns = "id, user_id, team_id, pair_id, is_shown, parent_id"
    foreign_keys = table.c.parent_id.foreign_keys
    for name in (table.name, candidates):
        into = f"insert into {name} ({columns})"
        if foreign_keys:
            (parent,) = foreign_keys
            sql = f"{into} select gen_random_uuid(), null, null, null, false, id from {parent.column.table}"
            await owner.execute(sql)
            continue
        users, teams = (OWNER.user_id, PEOPLE["stranger"].user_id), (TEAM, OTHER_TEAM)
        for values in product(users, teams, (PAIR, ENDED_PAIR), (True, False)):
            sql = f"{into} values (gen_random_uuid(), $1, $2, $3, $4, null)"
            await owner.execute(sql, *values)


Predicate = Callable[[Table, FromClause, Actor, SqlCommand], ColumnElement[bool]]


def predicate(
    table: Table,
    source: FromClause,
    actor: Actor,
    command: SqlCommand,
    *,
    rereads: bool = False,
) -> ColumnElement[bool]:
    """The engine's, for an admin's list too: the database knows who is one."""
    asking = Asking(literal(actor.user_id, Uuid()), command, as_admin=True, rereads=rereads)
    return asking.condition(table, source, access_of(table).rule(command))


@dataclass(frozen=True)
class Guards:
    """What keeps the rows: the predicate, policies, or both."""

    predicate: Predicate | None = None
    policies: bool = True
    # A claim that the statement's transaction sets; without one there is the stale claim alone.
    claims: bool = True
    mutations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A command tried as somebody on every table, on a connection with somebody else's claim."""

    connection: asyncpg.Connection
    guards: Guards
    command: SqlCommand
    actor: Actor

    async def complaints(self) -> list[str]:
        stale = PEOPLE["stranger"] if self.actor is OWNER else OWNER
        claim = "select set_config('app.user_id', $1, $2)"
        await self.connection.execute(claim, stale.user_claim, False)
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await self._prepare()
            if self.guards.claims:
                await self.connection.execute(claim, self.actor.user_claim, True)
            # Children first: who deletes a row deletes what is under it.
            return [text for table in reversed(TABLES) for text in await self._differences(table)]
        finally:
            await transaction.rollback()
            await self.connection.execute(claim, "", False)

    async def _prepare(self) -> None:
        for sql in self.guards.mutations:
            await self.connection.execute(sql)
        for table in () if self.guards.policies else Ruled.metadata.sorted_tables:
            await self.connection.execute(f"alter table {table} disable row level security")

    async def _differences(self, table: Table) -> list[str]:
        access = access_of(table)
        if not access.offers(self.command):
            return []
        source = f"candidates_{table}" if self.command == "INSERT" else table.name
        wanted = met(table, access.rule(self.command), self.actor, self.command, "t")
        expected = await self._ids(f"select id from {source} t where {wanted}")
        found = await self._touched(table, source)
        return (
            [f"{table}: {len(expected)} rows expected, {len(found)} found"]
            if expected != found
            else []
        )

    async def _ids(self, sql: str) -> set[UUID]:
        return {row["id"] for row in await self.connection.fetch(sql)}

    async def _touched(self, table: Table, source: str) -> set[UUID]:
        before = f"select id from {table}"
        present = await self._ids(before)
        await self.connection.execute("set local role authenticated")
        if self.command == "SELECT":
            found = await self._ids(text_of(self._guarded(select(table.c.id), table)))
        else:
            await self.connection.execute(self._write(table, source))
        await self.connection.execute("reset role")
        match self.command:
            case "INSERT":
                return await self._ids(f"{before} where id in (select id from {source})")
            case "UPDATE":
                return await self._ids(f"{before} where body = 'updated'")
            case "DELETE":
                return present - await self._ids(before)
        return found

    def _write(self, table: Table, source: str) -> str:
        match self.command:
            case "UPDATE":
                return text_of(self._guarded(update(table).values(body="updated"), table))
            case "DELETE":
                return text_of(self._guarded(delete(table), table))
        columns = ALL["insert"]
        rows = Table(source, MetaData(), *(Column(c.name, c.type) for c in table.columns))
        wanted = self._guarded(select(*(rows.c[name] for name in columns)), rows, table)
        values = ", ".join(f"wanted.{name}" for name in columns)
        return _EACH.format(
            wanted=text_of(wanted), table=table, columns=", ".join(columns), values=values
        )

    def _guarded(self, statement: Any, source: FromClause, table: Table | None = None) -> Any:
        if self.guards.predicate is None:
            return statement
        of = table if table is not None else source
        return statement.where(self.guards.predicate(of, source, self.actor, self.command))  # type: ignore[arg-type]


# One row after the other: a policy refuses a statement whole.
_EACH = """do $do$ declare wanted record; begin
for wanted in {wanted} loop begin
    insert into {table} ({columns}) values ({values});
exception when insufficient_privilege then null; end; end loop; end $do$"""
