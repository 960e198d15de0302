"""What the roles that the server logs in as cannot reach, whatever SQL they come to run."""

from __future__ import annotations

import re

import asyncpg
import pytest

from db.core.pool import Database, role_url
from db.core.roles import UnsafeRoleError, write_role_settings
from db.embedded.database import EmbeddedDatabase
from db.migrations.migrate import migrate
from settings import ROLES, Settings

# Storage outside of tables, files, programs, and what belongs to the whole server.
OUT_OF_REACH = (
    "select lo_create(0)",
    "select lo_creat(-1)",
    "select lo_from_bytea(0, 'bytes')",
    "select lo_import('/etc/hostname')",
    "select lo_open(1, 131072)",
    "select pg_logical_emit_message(false, 'prefix', 'text')",
    "select pg_logical_emit_message(true, 'prefix', 'bytes'::bytea)",
    "create temporary table mine (id integer)",
    "create table mine (id integer)",
    "create table app.mine (id integer)",
    "create schema mine",
    "create function mine() returns integer language sql as 'select 1'",
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/never'",
    "create extension dblink",
    "create extension file_fdw",
    "select pg_read_file('/etc/hostname')",
    "select pg_ls_dir('/')",
    "alter system set work_mem = '1GB'",
    "set session_replication_role = 'replica'",
    "set log_min_messages = 'panic'",
    "set role postgres",
    "alter role {other} set statement_timeout = 0",
    "alter role {role} superuser",
    "alter role {role} set app.user_id = '00000000-0000-7000-8000-00000000000a'",
    "alter role {role} connection limit 100",
    "alter database tallygraph set statement_timeout = 0",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user",
)
CLIENTS_ALONE = (
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_advisory_xact_lock(1)",
    "select pg_notify('anything', 'text')",
    "truncate events",
    "listen anything; select * from events",
)


# What a role may change of itself, and the setting that is then not as it should be.
OWN_CHANGES = {
    "set statement_timeout = 0": "statement_timeout",
    "reset transaction_timeout": "transaction_timeout",
    "in database tallygraph set statement_timeout = 0": "statement_timeout",
    "set search_path = 'pg_temp'": "search_path",
    "set work_mem = '1GB'": "work_mem",
}


async def logged_in(cluster: EmbeddedDatabase, settings: Settings, role: str) -> asyncpg.Connection:
    password = settings.secret(f"database-{role}-password")
    return await asyncpg.connect(role_url(cluster.owner_url, role, password))


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_out_of_a_roles_reach(
    cluster: EmbeddedDatabase, database: Database, settings: Settings, role: str
) -> None:
    connection = await logged_in(cluster, settings, role)
    reached = []
    try:
        for sql in OUT_OF_REACH + (CLIENTS_ALONE if role != "service" else ()):
            other = "anon" if role == "service" else "service"
            try:
                await connection.execute(sql.format(role=role, other=other))
                reached.append(sql)
            except asyncpg.PostgresError as refusal:
                if refusal.sqlstate not in {"42501", "42704", "0A000"}:  # no privilege, none such
                    reached.append(f"{sql}: {refusal}")
    finally:
        await connection.close()
    assert reached == []


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_that_changed_its_own_settings_keeps_the_server_from_starting(
    cluster: EmbeddedDatabase,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
    role: str,
) -> None:
    connection = await logged_in(cluster, settings, role)
    try:
        for change, named in OWN_CHANGES.items():
            await connection.execute(f"alter role {role} {change}")
            with pytest.raises(UnsafeRoleError, match=f"{role} has other .*: {named}.*migrate"):
                await Database.connect(cluster.owner_url, settings)
            await write_role_settings(owner, role, settings)
            await (await Database.connect(cluster.owner_url, settings)).close()
    finally:
        await connection.close()
        await write_role_settings(owner, role, settings)


async def test_migrating_repairs_a_roles_settings(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    connection = await logged_in(cluster, settings, "anon")
    await connection.execute("alter role anon reset all; alter role anon set work_mem = '1GB'")
    await connection.close()
    await migrate(cluster.owner_url, settings)
    await (await Database.connect(cluster.owner_url, settings)).close()


# What a function that clients may call never takes from them: how much, how long, until when. A spend's
# amount is what the client asks for. An admin's functions give what admins say.
LIMITS = re.compile(
    r"limit|quota|last|expir|until|lifetime|ttl|timeout|waiting|max|price|cost|bonus|plan|role"
)
# Which role a member gets: who may give it is looked up in the same function.
GIVEN_ROLES = {
    # Which plan is begun is said by who pays for it, and given once it is paid.
    "app.open_subscription(uuid,text,text,integer,text,text[],text): wanted_plan text",
    "app.invite_member(uuid,text,text,text): role text",
    "app.organization_ids(text[]): roles text[]",
    "app.sharing_ids(text[]): roles text[]",
    "app.play_session_ids(text[]): roles text[]",
    "app.set_member_role(uuid,uuid,text): role text",
    "app.create_organization_key(uuid,text,text,text,bytea,text[],timestamp with time zone,text,jsonb):"
    " key_role text",
}
# When a key of one's own ends, and how long its secret from before works, are its owner's to say, and
# until when their products may be used a developer's; of `delete_user` only admins can make use.
GIVEN_TIMES = {
    "app.create_licences(text,uuid,jsonb,integer,timestamp with time zone,integer,text):"
    " until timestamp with time zone",
    "app.extend_licence(uuid,integer,timestamp with time zone): until timestamp with time zone",
    "app.set_whitelist_entry(uuid,bigint,text,timestamp with time zone):"
    " until timestamp with time zone",
    "app.create_api_key(text,text,bytea,text[],timestamp with time zone,text,text,jsonb):"
    " ends_at timestamp with time zone",
    "app.create_organization_key(uuid,text,text,text,bytea,text[],timestamp with time zone,text,jsonb):"
    " ends_at timestamp with time zone",
    "app.delete_user(uuid,interval,text,text): grace interval",
    "app.rotate_api_key(uuid,text,bytea,interval,timestamp with time zone,text,jsonb):"
    " overlap interval",
    "app.rotate_api_key(uuid,text,bytea,interval,timestamp with time zone,text,jsonb):"
    " ends_at timestamp with time zone",
}
DURATIONS = {"interval", "timestamp with time zone", "timestamp without time zone"}
PARAMETERS = r"""
select p.oid::regprocedure::text as signature, coalesce(a.name, '') as name, format_type(a.type, null) as type
from pg_proc p,
     unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) as a (name, type)
where p.prosecdef and p.pronamespace = 'app'::regnamespace and p.prosrc !~ 'app.required_admin_id\(\)' and (
    has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))
"""


async def limits_from_callers(owner: asyncpg.Connection) -> list[str]:
    found = [
        f"{row['signature']}: {row['name']} {row['type']}"
        for row in await owner.fetch(PARAMETERS)
        if row["type"] in DURATIONS or LIMITS.search(row["name"])
    ]
    return [parameter for parameter in found if parameter not in GIVEN_ROLES | GIVEN_TIMES]


async def test_no_function_takes_its_limits_from_who_calls_it(
    database: Database, owner: asyncpg.Connection
) -> None:
    assert await limits_from_callers(owner) == []
    assert len(await owner.fetch(PARAMETERS)) > 10
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(
        "create function app.create_more(size bigint, quota_bytes bigint, lasts interval) returns void"
        " language sql security definer as 'select'; grant execute on function"
        " app.create_more(bigint, bigint, interval) to authenticated"
    )
    assert len(await limits_from_callers(owner)) == 2
    await transaction.rollback()
