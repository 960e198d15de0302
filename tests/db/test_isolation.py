"""Every table, role and verb: exactly what the table's declaration allows happens, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from db.actor import NOBODY, SERVICE, Actor
from db.embedded import EmbeddedDatabase
from db.errors import DomainError, ErrorCode
from db.migrate import migrate
from db.pool import Database
from db.registry import models
from db.rls import Access, Internal, Owned, Public
from settings import Settings

from .rows import FIRST, NEWCOMER, SECOND, fill, insert_sql, literal, new_row, other_database
from .rows import scratch_database as scratch

ACTORS = {
    "anon": NOBODY,
    "first": FIRST,
    "second": SECOND,
    "without claims": Actor("authenticated"),
    "service": SERVICE,
}
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
       array_agg(a.attname::text) filter (where a.attidentity = 'a') as always_generated
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname in ('public', 'queue') and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by c.oid, n.nspname, c.relname order by name
"""
REFUSED = "no privilege"
FOREIGN = "no policy for this row"


@dataclass(frozen=True)
class Locked:
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
        if isinstance(ownership, Internal) or (isinstance(ownership, Owned) and actor is NOBODY):
            return ()
        return tuple(name for name in self.columns if name not in self.access.hidden)

    def writable(self, actor: Actor, verb: str) -> tuple[str, ...]:
        """The columns that the actor's role may write; for DELETE, all or none."""
        if actor.role == "service":
            return self.columns if verb in self.access.service else ()
        if actor.role == "anon":
            return ()
        deletable = self.columns if self.access.delete else ()
        return {"INSERT": self.access.insert, "UPDATE": self.access.update}.get(verb, deletable)

    def own(self, actor: Actor) -> str:
        """The condition on the rows that the actor may touch with a verb they may use at all."""
        ownership = self.access.ownership
        if actor.role == "service":
            return "true"
        if isinstance(ownership, Public):
            return ownership.only_if or "true"
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

    async def tables(self) -> list[Locked]:
        """The catalog's tables; one that nobody declared is taken for the server's own."""
        declared = {f"public.{name}": model.access for name, model in models().items()} | UNDECLARED
        return [
            Locked(
                row["name"],
                declared.get(row["name"], Access(Internal(), service=())),
                tuple(row["columns"]),
                tuple(row["always_generated"] or ()),
            )
            for row in await self.trusted.fetch(TABLES_SQL)
        ]

    async def count(self, table: Locked, condition: str) -> int:
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


async def check_select(house: House, table: Locked, actor: Actor, found: Complaints) -> None:
    readable = table.readable(actor)
    for column in table.columns:
        if column not in readable:
            sql = f"select {column}::text from {table.name}"
            found.expect(REFUSED, await house.attempt(actor, sql), sql)
    if readable:
        sql = f"select row({', '.join(readable)})::text from {table.name}"
        real = await house.trusted.fetch(f"{sql} where {table.own(actor)}")
        found.expect(sorted(row[0] for row in real), await house.attempt(actor, sql), sql)
    else:
        sql = f"select count(*) from {table.name}"
        found.expect(REFUSED, await house.attempt(actor, sql), sql)


async def check_insert(house: House, table: Locked, actor: Actor, found: Complaints) -> None:
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


async def check_update(house: House, table: Locked, actor: Actor, found: Complaints) -> None:
    writable = table.writable(actor, "UPDATE")
    own = table.own(actor)
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


async def check_delete(house: House, table: Locked, actor: Actor, found: Complaints) -> None:
    sql = f"delete from {table.name}"
    outcome = await house.attempt(actor, sql)
    if actor is SERVICE and str(outcome).startswith("23"):
        # Only a foreign key kept the rows: the table's lock was open.
        outcome = await house.count(table, "true")
    allowed = table.writable(actor, "DELETE")
    found.expect(await house.count(table, table.own(actor)) if allowed else REFUSED, outcome, sql)


async def check_truncate(house: House, table: Locked, actor: Actor, found: Complaints) -> None:
    sql = f"truncate {table.name} cascade"
    found.expect(REFUSED, await house.attempt(actor, sql), sql)


CHECKS = {
    "SELECT": check_select,
    "INSERT": check_insert,
    "UPDATE": check_update,
    "DELETE": check_delete,
    "TRUNCATE": check_truncate,
}


async def complaints(house: House, verb: str, actor: Actor) -> Complaints:
    """Tries a verb as an actor on every table of the catalog."""
    found = Complaints()
    for table in await house.tables():
        await CHECKS[verb](house, table, actor, found)
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


@pytest.fixture(scope="module")
async def filled(
    cluster: EmbeddedDatabase, settings: Settings
) -> AsyncIterator[tuple[Database, asyncpg.Connection]]:
    """A scratch database with rows of two users, its pools, and a superuser's connection."""
    async with scratch(cluster, "isolation") as owner_url:
        await migrate(owner_url, settings)
        owner = await asyncpg.connect(owner_url)
        await fill(owner)
        await owner.close()
        # One connection for each role, so that every transaction meets the traces of the last.
        logins = await Database.connect(owner_url, settings.model_copy(update={"pool_size": 1}))
        superuser = await asyncpg.connect(other_database(cluster.superuser_url, "isolation"))
        yield logins, superuser
        await superuser.close()
        await logins.close()


@pytest.fixture
def house(filled: tuple[Database, asyncpg.Connection]) -> House:
    """The filled database, statements tried as real logins."""
    return House(filled[1], filled[0])


async def test_every_table_is_declared_and_holds_rows_of_both_users(house: House) -> None:
    assert await untaught(house) == []


@pytest.mark.parametrize("verb", CHECKS)
@pytest.mark.parametrize("name", ACTORS)
async def test_what_is_declared_is_what_happens(house: House, name: str, verb: str) -> None:
    assert await complaints(house, verb, ACTORS[name]) == []


async def test_no_row_moves_to_another_owner_even_where_the_column_may_be_written(
    house: House,
) -> None:
    tried = 0
    for table in await house.tables():
        if not (isinstance(table.access.ownership, Owned) and table.access.update):
            continue
        column = table.owner_column
        transaction = house.trusted.transaction()
        await transaction.start()
        await house.trusted.execute(f"grant update ({column}) on {table.name} to authenticated")
        sql = f"update {table.name} set {column} = '{SECOND.user_id}'"
        assert await replace(house, logins=None).attempt(FIRST, sql) == FOREIGN, table.name
        await transaction.rollback()
        tried += 1
    assert tried >= 3


MUTATIONS = [
    ("SELECT", FIRST, "drop policy owner_select on profiles"),
    ("SELECT", FIRST, "create policy leak on wallets for select to authenticated using (true)"),
    ("SELECT", FIRST, "alter table generations disable row level security"),
    ("SELECT", NOBODY, "drop policy public_select on tools"),
    ("SELECT", NOBODY, "create policy leak on tools for select to anon using (true)"),
    ("SELECT", NOBODY, "grant select (password_hash) on credentials to anon"),
    ("SELECT", SERVICE, "drop policy service_all on queue.pgqueuer"),
    ("INSERT", FIRST, "alter policy owner_insert on uploads with check (true)"),
    ("INSERT", FIRST, "drop policy owner_insert on profiles"),
    ("INSERT", FIRST, "grant insert (status) on uploads to authenticated"),
    ("INSERT", SERVICE, "grant insert (user_id) on wallets to service"),
    ("UPDATE", FIRST, "create policy leak on profiles for update to authenticated using (true)"),
    ("UPDATE", FIRST, "grant update (balance) on wallets to authenticated"),
    ("UPDATE", SERVICE, "revoke update on sessions from service"),
    ("DELETE", FIRST, "create policy leak on profiles for delete to authenticated using (true)"),
    ("DELETE", FIRST, "drop policy owner_delete on notifications"),
    ("DELETE", SERVICE, "grant delete on audit_log to service"),
    ("TRUNCATE", SERVICE, "grant truncate on skin_colors to service"),
]


@pytest.mark.parametrize(("verb", "actor", "mutation"), MUTATIONS)
async def test_the_checks_notice_a_broken_lock(
    house: House, verb: str, actor: Actor, mutation: str
) -> None:
    by_role = replace(house, logins=None)
    transaction = house.trusted.transaction()
    await transaction.start()
    try:
        await house.trusted.execute(mutation)
        assert await complaints(by_role, verb, actor)
    finally:
        await transaction.rollback()
    assert await complaints(by_role, verb, actor) == []


@pytest.mark.parametrize(
    "mutation",
    [
        "create table queue.unheard_of (id integer)",
        "create view unheard_of as select 1 as one",
        "delete from skin_colors",
        f"delete from profiles where user_id = '{SECOND.user_id}'",
    ],
)
async def test_a_new_or_an_empty_table_is_noticed(house: House, mutation: str) -> None:
    transaction = house.trusted.transaction()
    await transaction.start()
    try:
        await house.trusted.execute(mutation)
        assert await untaught(house)
    finally:
        await transaction.rollback()


PROFILE_OWNERS = text("select pg_backend_pid() as pid, user_id from profiles")
BACKEND = text("select pg_backend_pid()")


async def owners_seen(logins: Database, actor: Actor) -> set[UUID]:
    async with logins.transaction(actor) as transaction:
        return {row["user_id"] for row in await transaction.fetch_all(PROFILE_OWNERS)}


async def backend(logins: Database) -> int:
    async with logins.transaction(Actor("authenticated")) as transaction:
        return int(await transaction.fetch_value(BACKEND))


async def refuse_inside(logins: Database) -> None:
    async with logins.transaction(FIRST):
        raise DomainError(ErrorCode.NOT_FOUND, "There is no such thing.")


async def fail_inside(logins: Database) -> None:
    async with logins.transaction(FIRST) as transaction:
        await transaction.execute(text("select 1 / 0"))


async def time_out_inside(logins: Database) -> None:
    async with logins.transaction(FIRST) as transaction:
        await transaction.execute(text("set local statement_timeout = '30ms'"))
        await transaction.execute(text("select pg_sleep(5)"))


async def cancel_inside(logins: Database) -> None:
    async def wait() -> None:
        async with logins.transaction(FIRST) as transaction:
            await transaction.execute(text("select pg_sleep(5)"))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def stay_after_the_session(logins: Database) -> None:
    async with logins.pools["authenticated"].connection() as connection:
        await connection.raw.execute(f"select set_config('app.user_id', '{FIRST.user_id}', false)")


@pytest.mark.parametrize(
    ("leave_traces", "same_connection"),
    [
        (refuse_inside, True),
        (fail_inside, True),
        (time_out_inside, True),
        (cancel_inside, False),
        (stay_after_the_session, True),
    ],
)
async def test_the_next_tenant_of_a_connection_sees_only_its_own_rows(
    filled: tuple[Database, asyncpg.Connection], leave_traces: Any, same_connection: bool
) -> None:
    logins, _ = filled
    before = await backend(logins)
    with suppress(DomainError, asyncpg.PostgresError):
        await leave_traces(logins)
    assert await owners_seen(logins, Actor("authenticated")) == set()
    assert await owners_seen(logins, SECOND) == {SECOND.user_id}
    assert (await backend(logins) == before) is same_connection
