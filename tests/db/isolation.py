"""The isolation checks: tries every command on every table, and says where declarations are broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from db.core.actor import NOBODY, SERVICE, Actor
from db.core.pool import Database
from db.core.registry import models
from db.core.rls import Access, AdminOnly, Internal, Owned, Public

from .rows import FIRST, NEWCOMER, SECOND, insert_sql, literal, new_row

# Tables that no class declares: those of the queue are the server's, alembic's is the owner's.
UNDECLARED = {
    "public.alembic_version": Access(Internal(), service=()),
    "queue.pgqueuer": Access(Internal()),
    "queue.pgqueuer_log": Access(Internal()),
    "queue.pgqueuer_schedules": Access(Internal()),
    "queue.pgqueuer_statistics": Access(Internal()),
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


@dataclass(frozen=True)
class DeclaredTable:
    """A table of the catalog with what was declared about it."""

    name: str
    access: Access
    columns: tuple[str, ...]
    always_generated: tuple[str, ...]

    @property
    def owner_column(self) -> str | None:
        """The column that names the owner, also of internal tables that have one."""
        ownership = self.access.ownership
        if isinstance(ownership, Owned):
            return ownership.column
        return "user_id" if "user_id" in self.columns else None

    def readable(self, actor: Actor) -> tuple[str, ...]:
        """The columns that the actor's role may select."""
        if actor.role == "service":
            return self.columns if "SELECT" in self.access.service else ()
        ownership = self.access.ownership
        if isinstance(ownership, Internal):
            return ()
        if isinstance(ownership, Owned | AdminOnly) and actor is NOBODY:
            return ()
        return tuple(name for name in self.columns if name not in self.access.hidden)

    def writable(self, actor: Actor, command: str) -> tuple[str, ...]:
        """The columns that the actor's role may write; for DELETE, all or none."""
        if actor.role == "service":
            return self.columns if command in self.access.service else ()
        if actor.role == "anon":
            return ()
        deletable = self.columns if self.access.delete else ()
        return {"INSERT": self.access.insert, "UPDATE": self.access.update}.get(command, deletable)

    def own(self, actor: Actor, command: str) -> str:
        """The condition on the rows that the actor may touch with a command they may use at all."""
        ownership = self.access.ownership
        if command == "SELECT" and actor.is_admin and getattr(ownership, "admins", False):
            return "true"
        if actor.role == "service":
            return "true"
        if isinstance(ownership, Public):
            return ownership.only_if or "true"
        if isinstance(ownership, AdminOnly):
            return "true" if actor.is_admin else "false"
        return f"{self.owner_column} = '{actor.user_id}'" if actor.user_id else "false"


@dataclass(frozen=True)
class House:
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
                declared.get(row["name"], Access(Internal(), service=())),
                tuple(row["columns"]),
                tuple(row["always_generated"] or ()),
            )
            for row in await self.trusted.fetch(TABLES_SQL)
        ]

    async def count(self, table: DeclaredTable, condition: str) -> int:
        """How many rows there really are."""
        return int(
            await self.trusted.fetchval(f"select count(*) from {table.name} where {condition}")
        )


class Complaints(list[str]):
    """What happened otherwise than declared."""

    def expect(self, expected: Any, found: Any, *about: object) -> None:
        """Complains unless both are the same."""
        if expected != found:
            self.append(f"{' '.join(map(str, about))}: expected {expected!r}, found {found!r}")


async def check_select(house: House, table: DeclaredTable, actor: Actor, found: Complaints) -> None:
    readable = table.readable(actor)
    for column in table.columns:
        if column not in readable:
            sql = f"select {column}::text from {table.name}"
            found.expect(REFUSED, await house.attempt(actor, sql), sql)
    if readable:
        sql = f"select row({', '.join(readable)})::text from {table.name}"
        real = await house.trusted.fetch(f"{sql} where {table.own(actor, 'SELECT')}")
        found.expect(sorted(row[0] for row in real), await house.attempt(actor, sql), sql)
    else:
        sql = f"select count(*) from {table.name}"
        found.expect(REFUSED, await house.attempt(actor, sql), sql)


async def check_insert(house: House, table: DeclaredTable, actor: Actor, found: Complaints) -> None:
    writable = table.writable(actor, "INSERT")
    for column in table.columns:
        if column not in writable:
            sql = f"insert into {table.name} ({column}) values (default)"
            found.expect(REFUSED, await house.attempt(actor, sql), sql)
    if not writable:
        sql = f"insert into {table.name} default values"
        found.expect(REFUSED, await house.attempt(actor, sql), sql)
        return
    for user in (FIRST, SECOND, NEWCOMER):
        assert user.user_id
        columns = () if actor is SERVICE else writable
        row = new_row(table.name, user.user_id, columns)
        if row is None:
            found.append(f"{table.name}: tests/db/rows.py knows no row of it")
            continue
        allowed = user is NEWCOMER if actor is SERVICE else user.user_id == actor.user_id
        if allowed or actor is not SERVICE:
            sql = insert_sql(table.name, row)
            if table.name == "public.sign_up_terms":
                sql += " on conflict (id) do update set bonus_credits = excluded.bonus_credits"
            found.expect(1 if allowed else FOREIGN, await house.attempt(actor, sql), sql)


async def check_update(house: House, table: DeclaredTable, actor: Actor, found: Complaints) -> None:
    writable = table.writable(actor, "UPDATE")
    own = table.own(actor, "UPDATE")
    for column in table.columns:
        if column not in writable:
            sql = f"update {table.name} set {column} = default"
            found.expect(REFUSED, await house.attempt(actor, sql), sql)
        elif column not in table.always_generated:
            # A client's update reads nothing, so that only the policy for UPDATE guards it.
            known = await house.trusted.fetchval(f"select {column}::text from {table.name}")
            value = column if actor is SERVICE else literal(known)
            sql = f"update {table.name} set {column} = {value}"
            found.expect(await house.count(table, own), await house.attempt(actor, sql), sql)


async def check_delete(house: House, table: DeclaredTable, actor: Actor, found: Complaints) -> None:
    sql = f"delete from {table.name}"
    outcome = await house.attempt(actor, sql)
    if actor is SERVICE and str(outcome).startswith("23"):
        # Only a foreign key kept the rows: the policy let the command through.
        outcome = await house.count(table, "true")
    allowed = table.writable(actor, "DELETE")
    found.expect(
        await house.count(table, table.own(actor, "DELETE")) if allowed else REFUSED, outcome, sql
    )


async def check_truncate(
    house: House, table: DeclaredTable, actor: Actor, found: Complaints
) -> None:
    sql = f"truncate {table.name} cascade"
    found.expect(REFUSED, await house.attempt(actor, sql), sql)


CHECKS = {
    "SELECT": check_select,
    "INSERT": check_insert,
    "UPDATE": check_update,
    "DELETE": check_delete,
    "TRUNCATE": check_truncate,
}


async def complaints(house: House, command: str, actor: Actor) -> Complaints:
    """Tries a command as an actor on every table of the catalog."""
    found = Complaints()
    for table in await house.tables():
        await CHECKS[command](house, table, actor, found)
    return found


async def untaught(house: House) -> Complaints:
    """Tables without a declaration, or without rows of both users to try."""
    found = Complaints()
    declared = {f"public.{name}" for name in models()} | UNDECLARED.keys()
    tables = await house.tables()
    found.expect(sorted(declared), [table.name for table in tables], "the tables")
    for table in tables:
        column = table.owner_column
        for user in (FIRST, SECOND) if column else ():
            if not await house.count(table, f"{column} = '{user.user_id}'"):
                found.append(f"{table.name} has no row of {user.user_id}")
        if not await house.count(table, "true"):
            found.append(f"{table.name} is empty")
    return found
