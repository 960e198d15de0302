"""The isolation checks: tries every command on every table, and says where declarations are broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Table

from db.core.access import (
    WRITES,
    Access,
    Admin,
    AllOf,
    LikeOwn,
    Member,
    Nobody,
    Owner,
    Public,
    Rule,
    Shared,
    SqlCommand,
    Through,
    groups,
    is_public,
    parent_of,
    parts,
)
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.pool import Database
from db.core.registry import metadata, models

from .rows import FIRST, NEWCOMER, SECOND, insert_sql, literal, new_row

# Tables that no class declares: those of the queue are the server's, alembic's is the owner's.
UNDECLARED = {
    "public.alembic_version": Access(read=Nobody(), service=()),
    "queue.pgqueuer": Access(read=Nobody()),
    "queue.pgqueuer_log": Access(read=Nobody()),
    "queue.pgqueuer_schedules": Access(read=Nobody()),
    "queue.pgqueuer_statistics": Access(read=Nobody()),
}
TABLES_SQL = """
select c.oid::regclass::text as short_name, n.nspname || '.' || c.relname as name,
       array_agg(a.attname::text order by a.attnum) as columns,
       array_agg(a.attname::text) filter (where a.attidentity = 'a' or a.attgenerated <> '') as always_generated
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname in ('public', 'queue') and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by c.oid, n.nspname, c.relname order by name
"""
REFUSED = "no privilege"
FOREIGN = "no policy for this row"


def met(table: Table, rule: Rule, actor: Actor, command: SqlCommand, row: str) -> str:
    """What a rule demands of a row called `row`, told by what is in the tables.

    It knows no policy and no claim: who asks stands in it as a literal.
    """
    return " or ".join(f"({_met(table, part, actor, command, row)})" for part in parts(rule))


def _met(table: Table, part: Rule, actor: Actor, command: SqlCommand, row: str) -> str:
    match part:
        case Public(only_if):
            return f"{row}.{only_if}" if only_if else "true"
        case Admin():
            return "true" if actor.is_admin else "false"
        case Owner(column):
            return f"{row}.{column} = {_literal_id(actor)}"
        case Member(column, roles, kind):
            return f"{row}.{column} in ({_group_ids(table, kind, roles, actor)})"
        case Shared(column, kind):
            return f"{row}.{column} in ({_group_ids(table, kind, (), actor)})"
        case Through(column, _):
            parent = parent_of(table, part, command)
            inner = f"p{len(row)}"
            wanted = met(parent.table, parent.rule, actor, command, inner)
            return (
                f"exists (select from {parent.table.name} {inner}"
                f" where {inner}.{parent.key} = {row}.{column} and ({wanted}))"
            )
        case LikeOwn(column, owner):
            own = f"select {column} from {table.name} where {owner} = {_literal_id(actor)}"
            return f"{row}.{column} in ({own} and {column} is not null)"
        case AllOf(rules):
            return " and ".join(f"({_met(table, one, actor, command, row)})" for one in rules)
    return "false"


def _literal_id(actor: Actor) -> str:
    return f"'{actor.user_id}'" if actor.user_id else "null"


def _group_ids(table: Table, kind: str, roles: tuple[str, ...], actor: Actor) -> str:
    memberships, group = groups(table.metadata)[kind]
    counted = [f"{name} in {_texts(values)}" for name, values in group.counts.items()]
    counted += [f"{group.role} in {_texts(roles)}"] if roles else []
    is_member = " or ".join(f"{column} = {_literal_id(actor)}" for column in group.users)
    return f"select {group.key} from {memberships.name} where {' and '.join([f'({is_member})', *counted])}"


def _texts(values: tuple[str, ...]) -> str:
    return f"({', '.join(map(literal, values))})"


@dataclass(frozen=True)
class DeclaredTable:
    """A table of the catalog with what was declared about it."""

    name: str
    access: Access
    columns: tuple[str, ...]
    always_generated: tuple[str, ...]
    table: Table | None = None

    @property
    def owner_column(self) -> str | None:
        """The column that names the owner, also of internal tables that have one."""
        owner = self.access.find(Owner)
        if owner is not None:
            return owner.column
        return "user_id" if "user_id" in self.columns else None

    @property
    def names_group(self) -> bool:
        """Whether what somebody may do with its rows depends on what groups they are in."""
        return self.table is not None and any(
            isinstance(part, Member | Shared | Through | AllOf)
            for command in (*WRITES, "SELECT")
            for part in parts(self.access.rule(command))
        )

    def readable(self, actor: Actor) -> tuple[str, ...]:
        """The columns that the actor's role may select."""
        if actor.role == "service":
            return self.columns if "SELECT" in self.access.service else ()
        if self.table is None or self.access.is_internal:
            return ()
        if actor is NOBODY and not is_public(self.table):
            return ()
        return tuple(name for name in self.columns if name not in self.access.hidden)

    def writable(self, actor: Actor, command: SqlCommand) -> tuple[str, ...]:
        """The columns that the actor's role may write; for DELETE, all or none."""
        if actor.role == "service":
            return self.columns if command in self.access.service else ()
        if actor.role == "anon" or not self.access.offers(command):
            return ()
        listed = {"INSERT": self.access.insert, "UPDATE": self.access.update}
        return listed.get(command, self.columns)

    def own(self, actor: Actor, command: SqlCommand, row: str = "t") -> str:
        """The condition on the rows that the actor may touch with a command they may use at all."""
        if actor.role == "service":
            return "true"
        if self.table is None:
            return "false"
        return met(self.table, self.access.rule(command), actor, command, row)


@dataclass(frozen=True)
class FilledDatabase:
    """A filled database, and how statements are tried in it: as real logins, or by SET ROLE."""

    trusted: asyncpg.Connection
    logins: Database | None = None

    async def attempt(self, actor: Actor, sql: str) -> Any:
        """What a statement does for the actor, undone: rows, a count, or the error's SQLSTATE."""
        if self.logins is None:
            return await self._attempt_on(self.trusted, actor, f"set local role {actor.role}", sql)
        async with self.logins.pools[actor.role].connection() as connection:
            return await self._attempt_on(connection.raw, actor, "select 1", sql)

    @staticmethod
    async def _attempt_on(
        connection: asyncpg.Connection, actor: Actor, become: str, sql: str
    ) -> Any:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(
                f"{become}; select set_config('app.user_id', '{actor.user_claim}', true)"
            )
            if sql.startswith("select"):
                return sorted(row[0] for row in await connection.fetch(sql))
            status = await connection.execute(sql)
            return int(status.split()[-1]) if status[-1].isdigit() else status
        except asyncpg.InsufficientPrivilegeError as error:
            return FOREIGN if "row-level security policy" in str(error) else REFUSED
        except asyncpg.PostgresError as error:
            return f"{error.sqlstate}: {error}"
        finally:
            await transaction.rollback()

    async def tables(self) -> list[DeclaredTable]:
        """The catalog's tables; one that nobody declared is taken for the server's own."""
        declared = {f"public.{name}": model.access for name, model in models().items()} | UNDECLARED
        return [
            DeclaredTable(
                row["name"],
                declared.get(row["name"], Access(read=Nobody(), service=())),
                tuple(row["columns"]),
                tuple(row["always_generated"] or ()),
                metadata.tables.get(row["short_name"]),
            )
            for row in await self.trusted.fetch(TABLES_SQL)
        ]

    async def count(self, table: DeclaredTable, condition: str) -> int:
        """How many rows there really are."""
        return int(
            await self.trusted.fetchval(f"select count(*) from {table.name} t where {condition}")
        )

    async def allows(self, table: DeclaredTable, actor: Actor, row: dict[str, Any]) -> bool:
        """Whether the actor may insert a row."""
        named = ", ".join(f"{literal(value)} as {name}" for name, value in row.items())
        typed = f"(select (jsonb_populate_record(null::{table.name}, to_jsonb(given))).* from (select {named}) given)"
        return bool(
            await self.trusted.fetchval(
                f"select coalesce({table.own(actor, 'INSERT')}, false) from {typed} t"
            )
        )


class Complaints(list[str]):
    """What happened otherwise than declared."""

    def expect(self, expected: Any, found: Any, *about: object) -> None:
        """Complains unless both are the same."""
        if expected != found:
            self.append(f"{' '.join(map(str, about))}: expected {expected!r}, found {found!r}")


async def check_select(
    filled_database: FilledDatabase, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    readable = table.readable(actor)
    for column in table.columns:
        if column not in readable:
            sql = f"select {column}::text from {table.name}"
            found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)
    if readable:
        sql = f"select row({', '.join(readable)})::text from {table.name} t"
        real = await filled_database.trusted.fetch(f"{sql} where {table.own(actor, 'SELECT')}")
        found.expect(sorted(row[0] for row in real), await filled_database.attempt(actor, sql), sql)
    else:
        sql = f"select count(*) from {table.name}"
        found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)


async def check_insert(
    filled_database: FilledDatabase, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    writable = table.writable(actor, "INSERT")
    for column in table.columns:
        if column not in writable:
            sql = f"insert into {table.name} ({column}) values (default)"
            found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)
    if not writable:
        sql = f"insert into {table.name} default values"
        found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)
        return
    for user in (FIRST, SECOND, NEWCOMER):
        assert user.user_id
        columns = () if actor is SERVICE else writable
        row = new_row(table.name, user.user_id, columns)
        if row is None:
            found.append(f"{table.name}: tests/db/rows.py knows no row of it")
            continue
        allowed = (
            user is NEWCOMER
            if actor is SERVICE
            else await filled_database.allows(table, actor, row)
        )
        if allowed or actor is not SERVICE:
            sql = insert_sql(table.name, row)
            if table.name == "public.sign_up_terms":
                sql += " on conflict (id) do update set bonus_credits = excluded.bonus_credits"
            found.expect(1 if allowed else FOREIGN, await filled_database.attempt(actor, sql), sql)


async def check_update(
    filled_database: FilledDatabase, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    writable = table.writable(actor, "UPDATE")
    own = table.own(actor, "UPDATE")
    for column in table.columns:
        if column not in writable:
            sql = f"update {table.name} set {column} = default"
            found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)
        elif column not in table.always_generated:
            # A client's update reads nothing, so that only the policy for UPDATE guards it.
            # Their own value, if they have one, since it may be unique.
            known = await filled_database.trusted.fetchval(
                f"select {column}::text from {table.name} t order by ({own}) is true desc"
            )
            value = column if actor is SERVICE else literal(known)
            sql = f"update {table.name} set {column} = {value}"
            found.expect(
                await filled_database.count(table, own),
                await filled_database.attempt(actor, sql),
                sql,
            )


async def check_delete(
    filled_database: FilledDatabase, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    sql = f"delete from {table.name}"
    outcome = await filled_database.attempt(actor, sql)
    if actor is SERVICE and str(outcome).startswith("23"):
        # Only a foreign key kept the rows: the policy let the command through.
        outcome = await filled_database.count(table, "true")
    allowed = table.writable(actor, "DELETE")
    found.expect(
        await filled_database.count(table, table.own(actor, "DELETE")) if allowed else REFUSED,
        outcome,
        sql,
    )


async def check_truncate(
    filled_database: FilledDatabase, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    sql = f"truncate {table.name} cascade"
    found.expect(REFUSED, await filled_database.attempt(actor, sql), sql)


CHECKS = {
    "SELECT": check_select,
    "INSERT": check_insert,
    "UPDATE": check_update,
    "DELETE": check_delete,
    "TRUNCATE": check_truncate,
}


async def complaints(
    filled_database: FilledDatabase,
    command: str,
    actor: Actor,
    *,
    of_groups: bool = False,
    named: str = "",
) -> Complaints:
    """Tries a command as an actor on every table of the catalog, those of groups, or those named."""
    found = Complaints()
    tables = await filled_database.tables()
    words = set(named.split())
    for table in [each for each in tables if each.names_group or not of_groups]:
        if not words or table.name.removeprefix("public.") in words:
            await CHECKS[command](filled_database, table, actor, found)
    return found


async def untaught(filled_database: FilledDatabase) -> Complaints:
    """Tables without a declaration, or without rows of both users to try."""
    found = Complaints()
    declared = {f"public.{name}" for name in models()} | UNDECLARED.keys()
    tables = await filled_database.tables()
    found.expect(sorted(declared), [table.name for table in tables], "the tables")
    for table in tables:
        column = table.owner_column
        for user in (FIRST, SECOND) if column else ():
            if not await filled_database.count(table, f"{column} = '{user.user_id}'"):
                found.append(f"{table.name} has no row of {user.user_id}")
        if not await filled_database.count(table, "true"):
            found.append(f"{table.name} is empty")
    return found
