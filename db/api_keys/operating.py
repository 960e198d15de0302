"""What an operator sees of API keys and does to them, as the database's owner."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from db.accounts.operating import as_owner, find_user

_LIST = """
select k.id, u.email, k.name, k.prefix, k.scopes, k.created_at, k.last_used_at, k.expires_at,
       k.revoked_at, k.requests_per_minute
from api_keys k join users u on u.id = k.user_id
where ($1::uuid is null or u.id = $1) and ($2 or k.revoked_at is null)
order by k.created_at desc, k.id desc limit $3
"""
_REVOKE = """
with ended as (
    update api_keys k set revoked_at = clock_timestamp()
    where k.revoked_at is null and (k.id::text = $1 or $1 in (k.prefix, k.previous_prefix))
    returning k.id, k.user_id
), noted as (
    insert into audit_log (user_id, action, detail)
    select user_id, 'revoke_api_key',
           jsonb_build_object('api_key', 'apiKey_' || id, 'by', 'operator')
    from ended
)
select id from ended
"""
_LIMIT = """
update api_keys k set requests_per_minute = $2
where k.revoked_at is null and (k.id::text = $1 or $1 in (k.prefix, k.previous_prefix))
returning k.id
"""


async def list_keys(
    owner_url: str, who: str | None, limit: int, *, with_revoked: bool
) -> list[asyncpg.Record]:
    """API keys, newest first: of one user or of all."""
    async with as_owner(owner_url) as connection:
        wanted = None if who is None else await find_user(connection, who)
        found: list[asyncpg.Record] = await connection.fetch(_LIST, wanted, with_revoked, limit)
        return found


async def revoke_key(owner_url: str, key: str) -> UUID | None:
    """Ends a key, named by its id or a prefix; nothing when there is none that works."""
    return _first(await _fetch(owner_url, _REVOKE, key))


async def limit_key(owner_url: str, key: str, requests_per_minute: int | None) -> UUID | None:
    """Sets how many requests a key may make in a minute, or leaves it to the setting."""
    return _first(await _fetch(owner_url, _LIMIT, key, requests_per_minute))


def _first(rows: list[asyncpg.Record]) -> UUID | None:
    return rows[0]["id"] if rows else None


async def _fetch(owner_url: str, sql: str, *values: object) -> list[asyncpg.Record]:
    async with as_owner(owner_url) as connection:
        found: list[asyncpg.Record] = await connection.fetch(sql, *values)
        return found
