"""Every table, role and command: exactly what the table's declaration allows happens, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from db.core.access import Owner
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from settings import Settings

from ..rows import EX_MEMBER, GUEST, MANAGER, MEMBER, VIEWER
from .isolation import CHECKS, FOREIGN, FilledDatabase, complaints, untaught
from .rows import ADMIN, FIRST, SECOND, add_members, fill, migrated_database, other_database

ACTORS = {
    "anon": NOBODY,
    "first": FIRST,
    "second": SECOND,
    "admin": ADMIN,
    "without claims": Actor("authenticated"),
    "service": SERVICE,
}
# To tables that name no group they are strangers like the second user, and not tried again.
ACTORS_OF_GROUPS = {
    "manager": MANAGER,
    "member": MEMBER,
    "viewer": VIEWER,
    "ex-member": EX_MEMBER,
    "guest": GUEST,
}


@pytest.fixture(scope="module")
async def filled(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[tuple[Database, asyncpg.Connection]]:
    """A scratch database with rows of two users, its pools, and a superuser's connection."""
    async with migrated_database(cluster, settings, "isolation") as owner_url:
        owner = await asyncpg.connect(owner_url)
        await fill(owner)
        await add_members(owner)
        await owner.close()
        # One connection for each role, so that every transaction meets the traces of the last.
        logins = await Database.connect(owner_url, settings.model_copy(update={"pool_size": 1}))
        superuser = await asyncpg.connect(other_database(cluster.superuser_url, "isolation"))
        yield logins, superuser
        await superuser.close()
        await logins.close()


@pytest.fixture
def filled_database(filled: tuple[Database, asyncpg.Connection]) -> FilledDatabase:
    """The filled database, statements tried as real logins."""
    return FilledDatabase(filled[1], filled[0])


async def test_every_table_is_declared_and_holds_rows_of_both_users(
    filled_database: FilledDatabase,
) -> None:
    assert await untaught(filled_database) == []


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("name", ACTORS)
async def test_what_is_declared_is_what_happens(
    filled_database: FilledDatabase, name: str, command: str
) -> None:
    assert await complaints(filled_database, command, ACTORS[name]) == []


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("name", ACTORS_OF_GROUPS)
async def test_members_do_what_their_role_may_and_who_has_left_nothing(
    filled_database: FilledDatabase, name: str, command: str
) -> None:
    actor = ACTORS_OF_GROUPS[name]
    assert await complaints(filled_database, command, actor, of_groups=True) == []


async def test_no_row_moves_to_another_owner_even_where_the_column_may_be_written(
    filled_database: FilledDatabase,
) -> None:
    tried = 0
    for table in await filled_database.tables():
        if not (table.access.find(Owner) is not None and table.access.update):
            continue
        column = table.owner_column
        transaction = filled_database.trusted.transaction()
        await transaction.start()
        await filled_database.trusted.execute(
            f"grant update ({column}) on {table.name} to authenticated"
        )
        sql = f"update {table.name} set {column} = '{SECOND.user_id}'"
        assert await replace(filled_database, logins=None).attempt(FIRST, sql) == FOREIGN, (
            table.name
        )
        await transaction.rollback()
        tried += 1
    assert tried >= 3


MUTATIONS = [
    ("SELECT", FIRST, "drop policy owner_select on profiles"),
    ("SELECT", FIRST, "create policy leak on wallets for select to authenticated using (true)"),
    ("SELECT", FIRST, "alter table generations disable row level security"),
    ("SELECT", FIRST, "alter policy admin_select on dead_jobs using (true)"),
    ("SELECT", ADMIN, "drop policy admin_select on ai_generation_logs"),
    ("SELECT", ADMIN, "drop policy admin_select on tools"),
    (
        "SELECT",
        FIRST,
        "alter policy owner_select on users using (id = app.user_id() or not app.is_admin())",
    ),
    ("SELECT", ADMIN, "alter policy owner_select on wallets using (user_id = app.user_id())"),
    ("SELECT", NOBODY, "drop policy public_select on tools"),
    ("SELECT", NOBODY, "create policy leak on tools for select to anon using (true)"),
    ("SELECT", NOBODY, "grant select (password_hash) on credentials to anon"),
    ("SELECT", SERVICE, "drop policy service_all on queue.pgqueuer"),
    ("SELECT", VIEWER, "drop policy member_select on organizations"),
    (
        "SELECT",
        MEMBER,
        "alter policy member_select on organization_invitations"
        " using (organization_id = any ((select app.organization_ids('{}'))::uuid[]))",
    ),
    ("SELECT", EX_MEMBER, "create policy leak on organizations for select using (true)"),
    ("SELECT", GUEST, "alter table organization_members disable row level security"),
    ("INSERT", FIRST, "alter policy owner_insert on profiles with check (true)"),
    ("INSERT", FIRST, "drop policy owner_insert on profiles"),
    ("INSERT", FIRST, "grant insert (user_id) on uploads to authenticated"),
    ("INSERT", SERVICE, "grant insert (user_id) on wallets to service"),
    ("UPDATE", FIRST, "create policy leak on profiles for update to authenticated using (true)"),
    ("UPDATE", FIRST, "grant update (balance) on wallets to authenticated"),
    ("UPDATE", MANAGER, "drop policy member_update on organizations"),
    (
        "UPDATE",
        MEMBER,
        "alter policy member_update on organizations"
        " using (id = any ((select app.organization_ids('{}'))::uuid[]))",
    ),
    ("UPDATE", SERVICE, "revoke update on sessions from service"),
    ("DELETE", FIRST, "create policy leak on profiles for delete to authenticated using (true)"),
    ("DELETE", FIRST, "drop policy owner_delete on notifications"),
    ("DELETE", SERVICE, "grant delete on audit_log to service"),
    ("TRUNCATE", SERVICE, "grant truncate on skin_colors to service"),
]


@pytest.mark.parametrize(("command", "actor", "mutation"), MUTATIONS)
async def test_the_checks_notice_a_broken_policy(
    filled_database: FilledDatabase, command: str, actor: Actor, mutation: str
) -> None:
    by_role = replace(filled_database, logins=None)
    transaction = filled_database.trusted.transaction()
    await transaction.start()
    try:
        await filled_database.trusted.execute(mutation)
        assert await complaints(by_role, command, actor, named=mutation)
    finally:
        await transaction.rollback()
    assert await complaints(by_role, command, actor, named=mutation) == []


@pytest.mark.parametrize(
    "mutation",
    [
        "create table queue.unheard_of (id integer)",
        "create view unheard_of as select 1 as one",
        "delete from skin_colors",
        f"delete from profiles where user_id = '{SECOND.user_id}'",
    ],
)
async def test_a_new_or_an_empty_table_is_noticed(
    filled_database: FilledDatabase, mutation: str
) -> None:
    transaction = filled_database.trusted.transaction()
    await transaction.start()
    try:
        await filled_database.trusted.execute(mutation)
        assert await untaught(filled_database)
    finally:
        await transaction.rollback()


PROFILE_OWNERS = text("select user_id from profiles")
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
