"""The roles that the server logs in as: their settings, and what is out of their reach.

A role may change its own settings (`ALTER ROLE … SET`), and with them what holds for its next
connections, such as the statement timeout. `tallygraph migrate` writes the settings anew, and the
server refuses to start when a role has others.
"""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from settings import Settings

TRANSACTION_TIMEOUT_SINCE = 17
# Owns or may become what row-level security does not bind.
UNSAFE_ROLE_SQL = """
select r.rolname from pg_roles r
where r.rolname = current_user and (
    r.rolsuper or r.rolbypassrls
    or exists (select from pg_class c where c.relowner = r.oid)
    or exists (select from pg_auth_members m where m.member = r.oid))
"""
SETTINGS_SQL = """
select split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value,
       s.setdatabase <> 0 as here_only
from pg_db_role_setting s, unnest(s.setconfig) entry
where s.setrole = (select oid from pg_roles where rolname = current_user)
  and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
"""
# Functions that store outside of tables, or hold or send what belongs to the whole server. Only a
# superuser can close them: the embedded database's does. Our own functions and the worker use some.
OWN_FUNCTIONS = "^pg_((try_)?advisory_|notify$)"
CLOSED_FUNCTIONS = f"^(lo_|lo(read|write)$|pg_logical_emit_message$)|{OWN_FUNCTIONS}"
REACH_SQL = f"""
select 'temporary tables' as reach where has_database_privilege(current_database(), 'temporary')
union all
select 'large objects, advisory locks and messages' where current_user <> 'service' and exists (
    select from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace
    and p.proname ~ '{CLOSED_FUNCTIONS}' and has_function_privilege(p.oid, 'execute'))
union all
select 'new tables in the schema ' || n.nspname from pg_namespace n
where n.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'create')
"""  # noqa: S608 - our own words only
# Closes the functions to everybody in the database that psql is connected to; the owner may open
# some for the worker's role.
CLOSE_FUNCTIONS_SQL = f"""
do $$
declare
    closed regprocedure;
begin
    for closed in select p.oid from pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '{CLOSED_FUNCTIONS}'
    loop
        execute format('revoke execute on function %s from public', closed);
        if (select p.proname from pg_proc p where p.oid = closed) ~ '{OWN_FUNCTIONS}' then
            execute format('grant execute on function %s to {{owner}} with grant option', closed);
        end if;
    end loop;
end
$$;
"""  # noqa: S608 - our own words only


class UnsafeRoleError(Exception):
    """A role that the server logs in as could climb over row-level security, or past its limits."""


def role_settings(settings: Settings, major_version: int) -> Mapping[str, str]:
    """The settings of each role, as the catalog keeps them."""
    longest = f"{settings.transaction_timeout_seconds:g}s"
    asked = {
        "statement_timeout": str(int(settings.statement_timeout_seconds * 1000)),
        # An open transaction that has written holds back every live update of the cluster.
        "idle_in_transaction_session_timeout": longest,
        "transaction_timeout": longest,
        # A connection that was dropped because its client left ends its statement, too.
        "client_connection_check_interval": "500ms",
        # To compile a statement takes longer than any of ours runs, and its plan only looks dear.
        "jit": "off",
        "TimeZone": "UTC",
    }
    if major_version < TRANSACTION_TIMEOUT_SINCE:
        del asked["transaction_timeout"]
    return asked


async def write_role_settings(owner: asyncpg.Connection, role: str, settings: Settings) -> None:
    """Gives a role exactly its settings, whatever it had."""
    database = await owner.fetchval("select quote_ident(current_database())")
    async with owner.transaction():
        await owner.execute(f"alter role {role} in database {database} reset all")
        await owner.execute(f"alter role {role} reset all")
        asked = role_settings(settings, owner.get_server_version().major)
        for name, value in asked.items():
            await owner.execute(f"alter role {role} set {name} = '{value}'")


async def narrow_reach(owner: asyncpg.Connection) -> None:
    """Takes from everybody what the owner can take: temporary tables, and others' functions."""
    if await owner.fetchval(
        "select pg_has_role(datdba, 'usage') from pg_database where datname = current_database()"
    ):
        database = await owner.fetchval("select quote_ident(current_database())")
        await owner.execute(f"revoke temporary, create on database {database} from public")
    grantable = await owner.fetch(
        "select p.oid::regprocedure::text as signature from pg_proc p"
        " where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ $1"
        " and has_function_privilege(p.oid, 'execute with grant option')",
        OWN_FUNCTIONS,
    )
    for row in grantable:
        await owner.execute(f"grant execute on function {row['signature']} to service")


async def check_role(connection: asyncpg.Connection, settings: Settings) -> list[str]:
    """Refuses a role that is more than a plain login; answers what else is in its reach.

    That is for the operator to know: on a server of somebody else's nobody may be able to close it.
    """
    if unsafe := await connection.fetchval(UNSAFE_ROLE_SQL):
        raise UnsafeRoleError(
            f"The role {unsafe} owns tables, bypasses row-level security, is a "
            "superuser or is a member of another role. Make it a plain LOGIN role."
        )
    asked = role_settings(settings, connection.get_server_version().major)
    found = await connection.fetch(SETTINGS_SQL)
    wrong = sorted(
        {row["name"] for row in found if row["here_only"] or asked.get(row["name"]) != row["value"]}
        | asked.keys() - {row["name"] for row in found}
    )
    if wrong:
        role = await connection.fetchval("select current_user")
        raise UnsafeRoleError(
            f"The role {role} has other settings than it is given: {', '.join(wrong)}. A role can "
            "change its own; find out who did. `tallygraph migrate` writes them anew, from the "
            "settings of the deployment; what you want for every role, set for the database "
            "(ALTER DATABASE … SET)."
        )
    return [row["reach"] for row in await connection.fetch(REACH_SQL)]
