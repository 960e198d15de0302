"""Somebody who is in every table, under their own name, and a look for them in every column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from .rows import FIRST, SECOND, add_members, fill

LEAVING, STAYING = SECOND, FIRST
NAME, EMAIL, USERNAME = "Zenobia Quillfeather", "zenobia@quillfeather.example", "zenobia_q"
ID = str(LEAVING.user_id)
NEEDLES = (ID, ID.replace("-", ""), NAME, EMAIL, USERNAME)

COLUMNS = """
select n.nspname || '.' || c.relname as table_name, a.attname as column_name,
       a.atttypid = 'bytea'::regtype as is_bytes
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'queue') and c.relkind in ('r', 'p') and a.attnum > 0
  and not a.attisdropped order by 1, a.attnum
"""
# Invitations from one to the other, what was noted of both, and a movement with words of their own.
PERSONAL = f"""
update users set display_name = '{NAME}', email = '{EMAIL}', email_key = '{EMAIL}',
    username = '{USERNAME}' where id = $1;
update user_identities set email = '{EMAIL}', name = '{NAME}' where user_id = $1;
update imported_users set metadata = '{json.dumps({"full_name": NAME})}' where user_id = $1;
update one_time_codes set email = '{EMAIL}', email_key = '{EMAIL}' where user_id = $1;
update emails set recipient = '{EMAIL}', parameters = '{json.dumps({"name": NAME})}' where user_id = $1;
update api_keys set name = '{NAME}' where user_id = $1;
insert into pending_sign_ups (email, email_key, network_hash, password_hash, expires_at)
    values ('{EMAIL}', '{EMAIL}', 'somewhere', 'a hash', now() + interval '1 hour');
update profiles set name = '{NAME}', analysis = '{json.dumps({"of": NAME})}' where user_id = $1;
update notifications set data = '{json.dumps({"name": NAME})}' where user_id = $1;
insert into organization_invitations (organization_id, email, email_key, role, expires_at, invited_by)
select organization_id, '{EMAIL}', '{EMAIL}', 'MEMBER', now() + interval '1 day', user_id
from organization_members where user_id = $2;
insert into organization_invitations (organization_id, email, email_key, role, expires_at, invited_by)
select organization_id, 'other@example.test', 'other@example.test', 'MEMBER', now() + interval '1 day', $1
from organization_members where user_id = $2;
insert into audit_log (user_id, action, detail) values
    ($2, 'set_member_role', jsonb_build_object('member', 'user_' || $1, 'role', 'ADMIN')),
    ($2, 'email_shared_with_older_account', jsonb_build_object('older_account', $1)),
    ($1, 'grant_credits', jsonb_build_object('by', 'user_' || $2, 'reason', 'for {NAME}'));
select set_config('app.user_id', $1::text, true);
select app.spend_credits(1, '{NAME}', '{EMAIL}', 'named');
delete from account_deletions;
"""


@dataclass(frozen=True, order=True)
class Place:
    """A column in which something was found."""

    table: str
    column: str


async def fill_with_persons(owner: asyncpg.Connection) -> None:
    """Rows of two users in every table; who leaves stands in theirs by name and address."""
    await fill(owner)
    await add_members(owner)
    ids = {"$1": f"'{LEAVING.user_id}'::uuid", "$2": f"'{STAYING.user_id}'::uuid"}
    async with owner.transaction():
        sql = PERSONAL
        for parameter, value in ids.items():
            sql = sql.replace(parameter, value)
        await owner.execute(sql)


async def search(owner: asyncpg.Connection, *needles: str) -> dict[Place, int]:
    """Every column of every table in which one of the texts stands, and in how many rows."""
    found = {}
    for row in await owner.fetch(COLUMNS):
        column = f'"{row["column_name"]}"'
        text = f"encode({column}, 'escape')" if row["is_bytes"] else f"{column}::text"
        count = await owner.fetchval(
            f"select count(*) from {row['table_name']} where {text} ilike any ($1)",
            [f"%{needle}%" for needle in needles],
        )
        if count:
            found[Place(row["table_name"].removeprefix("public."), row["column_name"])] = count
    return found


async def rows_of(owner: asyncpg.Connection, user_id: UUID) -> dict[str, list[str]]:
    """All rows in which a user's id stands, by table."""
    found = {}
    for table in {row["table_name"] for row in await owner.fetch(COLUMNS)}:
        rows = await owner.fetch(
            f"select t::text as text from {table} t where t::text like $1 order by 1",
            f"%{user_id}%",
        )
        if rows:
            found[table] = [row["text"] for row in rows]
    return found
