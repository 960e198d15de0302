"""What the owner writes of quotas: the declared limits when migrating, an operator's own."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from db.core.quotas import TableQuota
from db.core.registry import models

AUDIENCES = ("GUEST", "MEMBER")

_DECLARE = """
insert into quota_limits as l (audience, slice, rows_limit, bytes_limit, is_custom)
values ($1, $2, $3, $4, false)
on conflict (audience, slice) do update
set rows_limit = excluded.rows_limit, bytes_limit = excluded.bytes_limit
where not l.is_custom
  and (l.rows_limit, l.bytes_limit) <> (excluded.rows_limit, excluded.bytes_limit)
"""
_LIST = "select audience, slice, rows_limit, bytes_limit, is_custom from quota_limits order by 2, 1"
_SET = """
insert into quota_limits as l (audience, slice, rows_limit, bytes_limit)
select $1::text, $2::text, coalesce($3, d.rows_limit), coalesce($4, d.bytes_limit)
from quota_limits d where d.slice = $2 and d.audience in ($1, 'MEMBER')
order by d.audience = 'MEMBER' limit 1
on conflict (audience, slice) do update
set rows_limit = excluded.rows_limit, bytes_limit = excluded.bytes_limit, is_custom = true
returning *
"""
_RESET = "delete from quota_limits where audience = $1 and slice = $2 and is_custom returning 1"
_AUDIT = """
insert into audit_log (action, detail) values ('set_quota', jsonb_build_object(
    'audience', $1::text, 'slice', $2::text, 'rows', $3::bigint, 'bytes', $4::bigint))
"""


class UnknownQuotaError(Exception):
    """There is no such slice or audience; the message lists those there are."""


def declared() -> Mapping[str, TableQuota]:
    """The quotas that tables declare, by slice."""
    return {
        name: model.quota
        for name, model in sorted(models().items())
        if isinstance(model.quota, TableQuota)
    }


async def write_declared_limits(owner: asyncpg.Connection) -> None:
    """Brings the limits of guests and members up to their declarations, but for an operator's."""
    for slice_name, quota in declared().items():
        for audience, limit in zip(AUDIENCES, (quota.guests, quota.members), strict=True):
            await owner.execute(_DECLARE, audience, slice_name, limit.rows, limit.stored_bytes)


async def list_limits(owner_url: str) -> list[asyncpg.Record]:
    """Every limit, by slice and audience."""
    owner = await asyncpg.connect(owner_url)
    try:
        return list(await owner.fetch(_LIST))
    finally:
        await owner.close()


async def set_limit(
    owner_url: str, slice_name: str, audience: str, rows: int | None, stored_bytes: int | None
) -> asyncpg.Record:
    """Sets a limit, and notes it; what is None stays, or is what members have."""
    owner = await asyncpg.connect(owner_url)
    try:
        await _check_names(owner, slice_name, audience)
        async with owner.transaction():
            changed = await owner.fetchrow(_SET, audience, slice_name, rows, stored_bytes)
            assert changed is not None
            figures = changed["rows_limit"], changed["bytes_limit"]
            await owner.execute(_AUDIT, audience, slice_name, *figures)
        return changed
    finally:
        await owner.close()


async def reset_limit(owner_url: str, slice_name: str, audience: str) -> bool:
    """Takes an operator's limit back, to what is declared; false when there is none."""
    owner = await asyncpg.connect(owner_url)
    try:
        async with owner.transaction():
            if await owner.fetchval(_RESET, audience, slice_name) is None:
                return False
            await write_declared_limits(owner)
            await owner.execute(_AUDIT, audience, slice_name, None, None)
        return True
    finally:
        await owner.close()


async def _check_names(owner: asyncpg.Connection, slice_name: str, audience: str) -> None:
    if slice_name not in declared():
        raise UnknownQuotaError(
            f"There is no slice {slice_name}; there are: {', '.join(declared())}."
        )
    plans = [row["id"] for row in await owner.fetch("select id from plans order by id")]
    if audience not in (*AUDIENCES, *plans):
        known = ", ".join((*AUDIENCES, *plans))
        raise UnknownQuotaError(f"There is no audience {audience}; there are: {known}.")
