"""What an operator reads in the audit log, as the database's owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from db.accounts.operating import as_owner, find_user

LOOK_EVERY_SECONDS = 1.0
# An entry has the time at which its transaction began, and is seen when that has committed: longer
# than any transaction may last.
LOOK_BACK = timedelta(minutes=5)

_READ = """
select l.id, l.created_at, l.action, l.subject, l.times, l.network, l.device, l.detail,
       l.user_id, u.email, u.is_anonymous
from audit_log l left join users u on u.id = l.user_id
where ($1::uuid is null or l.user_id = $1) and ($2::text is null or l.action = $2)
  and ($3::timestamptz is null or l.created_at >= $3)
order by l.created_at desc, l.id desc limit $4
"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for: of a user, of an action, since a time; all, when unsaid."""

    who: str | None = None
    action: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry with its account, as an operator reads it."""

    id: int
    created_at: datetime
    action: str
    subject: str | None
    times: int
    network: str | None
    device: str | None
    detail: dict[str, object]
    user_id: UUID | None
    email: str | None
    is_anonymous: bool | None


async def read_audit(owner_url: str, wanted: AuditFilter, limit: int) -> list[AuditLine]:
    """The newest entries, the oldest of them first."""
    async with as_owner(owner_url) as connection:
        user_id = await find_user(connection, wanted.who) if wanted.who else None
        return await _read(connection, user_id, wanted.action, wanted.since, limit)


async def follow_audit(owner_url: str, wanted: AuditFilter, limit: int) -> AsyncIterator[AuditLine]:
    """The same, and then every entry that is written, without an end."""
    async with as_owner(owner_url) as connection:
        user_id = await find_user(connection, wanted.who) if wanted.who else None
        now = await connection.fetchval("select now()")
        lines = await _read(connection, user_id, wanted.action, wanted.since, limit)
        recent = await _read(connection, user_id, wanted.action, now - LOOK_BACK, None)
        seen = {line.id: line.created_at for line in [*lines, *recent]}
        while True:
            for line in lines:
                yield line
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            since = await connection.fetchval("select now()") - LOOK_BACK
            seen = {key: at for key, at in seen.items() if at >= since}
            found = await _read(connection, user_id, wanted.action, since, None)
            lines = [line for line in found if line.id not in seen]
            seen |= {line.id: line.created_at for line in lines}


async def _read(
    connection: asyncpg.Connection,
    user_id: UUID | None,
    action: str | None,
    since: datetime | None,
    limit: int | None,
) -> list[AuditLine]:
    rows = await connection.fetch(_READ, user_id, action, since, limit)
    return [AuditLine(**{**row, "detail": orjson.loads(row["detail"])}) for row in reversed(rows)]
