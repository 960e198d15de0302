"""Where the prototype is read: its database in one snapshot, and a backup of its tables."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from db.core.errors import DomainError, ErrorCode
from db.imports.sources import source_refusals

BATCH_ROWS = 500
MANIFEST = "SHA256SUMS"
# Of all of them a backup is made. What an older prototype has not is passed over.
TABLES = (
    "users",
    "survey_questions",
    "survey_progress",
    "survey_submissions",
    "survey_baseline",
    "profiles",
    "partner_connections",
    "remembered_partners",
    "push_notification_tokens",
    "notifications",
    "activities",
    "sessions",
    "session_activities",
    "user_activity_history",
    "ai_generation_logs",
    "subscription_transactions",
    "anonymous_sessions",
    "compatibility_results",
    "app_config",
)
# Whole rows, since a column that an older prototype lacks is only missing in them.
_PEOPLE = "select to_jsonb(u) as row from users u order by u.id"
_ACTIVITIES = "select to_jsonb(a) as row from activities a order by a.activity_id"
# The newest first: of an anonymous session that has several it is the one that is taken.
_PROFILES = """
select to_jsonb(p) || jsonb_build_object('submission', to_jsonb(s)) as row
from profiles p left join survey_submissions s on s.submission_id = p.submission_id
order by p.id desc
"""
_PROGRESS = """
select to_jsonb(r) as row from survey_progress r where r.status = 'in_progress' order by r.id
"""
# Two people once, whoever remembers whom, with what each shows.
_PARTNERS = """
select jsonb_build_object('one', one, 'other', other, 'connected_at', min(connected_at),
    'last_played_at', max(last_played_at), 'one_shares', min(u.row ->> 'profile_sharing_setting'),
    'other_shares', min(v.row ->> 'profile_sharing_setting')) as row
from (
    select least(r.user_id, r.partner_user_id) as one,
        greatest(r.user_id, r.partner_user_id) as other,
        to_jsonb(r) ->> 'created_at' as connected_at,
        to_jsonb(r) ->> 'last_played_at' as last_played_at
    from remembered_partners r) p
left join lateral (select to_jsonb(u) as row from users u where u.id = p.one) u on true
left join lateral (select to_jsonb(u) as row from users u where u.id = p.other) v on true
group by one, other order by one, other
"""
_SESSIONS = """
select to_jsonb(s) || jsonb_build_object(
    'activities', coalesce((
        select jsonb_agg(to_jsonb(a) || jsonb_build_object(
            'script', coalesce(nullif(to_jsonb(a) -> 'script', 'null'), to_jsonb(b) -> 'script'),
            'tags', coalesce(nullif(to_jsonb(a) -> 'tags', 'null'), to_jsonb(b) -> 'tags'))
            order by a.seq)
        from session_activities a left join activities b on b.activity_id = a.activity_id
        where a.session_id = s.session_id), '[]'),
    'profiles', (
        select jsonb_object_agg(p.id, to_jsonb(p) - 'activities') from profiles p
        where p.id::text in (
            to_jsonb(s) ->> 'primary_profile_id', to_jsonb(s) ->> 'partner_profile_id',
            to_jsonb(s) ->> 'player_a_profile_id', to_jsonb(s) ->> 'player_b_profile_id'))
    ) as row
from sessions s order by s.session_id
"""
_HISTORY = """
select to_jsonb(h) || jsonb_build_object(
    'script', to_jsonb(a) -> 'script', 'type', to_jsonb(a) -> 'type', 'tags', to_jsonb(a) -> 'tags'
    ) as row
from user_activity_history h left join activities a on a.activity_id = h.activity_id order by h.id
"""
# How well two fitted there, with what both had answered.
_COMPATIBILITY = """
select to_jsonb(c) || jsonb_build_object(
    'one', to_jsonb(p) || jsonb_build_object('submission', to_jsonb(s)),
    'other', to_jsonb(q) || jsonb_build_object('submission', to_jsonb(t))) as row
from compatibility_results c
join profiles p on p.id = c.player_a_id join profiles q on q.id = c.player_b_id
left join survey_submissions s on s.submission_id = p.submission_id
left join survey_submissions t on t.submission_id = q.submission_id
order by c.player_a_id, c.player_b_id
"""
# What is read, in this order, and of which tables it is made.
STAGES = {
    "activities": (_ACTIVITIES, ("activities",)),
    "profiles": (_PROFILES, ("profiles", "survey_submissions")),
    "surveys in progress": (_PROGRESS, ("survey_progress",)),
    "demographics": (_PEOPLE, ("users",)),
    "partners": (_PARTNERS, ("remembered_partners", "users")),
    "sessions": (_SESSIONS, ("sessions", "session_activities", "activities", "profiles")),
    "history": (_HISTORY, ("user_activity_history", "activities")),
}
COMPATIBILITY = (_COMPATIBILITY, ("compatibility_results", "profiles", "survey_submissions"))
_THERE = "select t as name from unnest($1::text[]) t where to_regclass(t) is not null"
_NOT_THERE = (
    "This database has no table profiles: name one of Attuned's prototype. Of a schema that is not "
    "public, end the URL with ?search_path=NAME."
)
Row = dict[str, Any]
Stage = tuple[str, tuple[str, ...]]


class Prototype:
    """The source's tables as they are in one snapshot."""

    def __init__(self, connection: asyncpg.Connection, tables: frozenset[str]) -> None:
        self._connection = connection
        self.tables = [table for table in TABLES if table in tables]

    async def batches(self, stage: Stage) -> AsyncIterator[list[Row]]:
        """The rows of a stage, some at a time; none where a table of it is missing."""
        sql, needed = stage
        if not set(needed).issubset(self.tables):
            return
        with _refusals():
            cursor = await self._connection.cursor(sql)
            while found := await cursor.fetch(BATCH_ROWS):
                yield [orjson.loads(one["row"]) for one in found]

    async def back_up(self, folder: Path, tell: Callable[[str], None]) -> None:
        """Writes each table as CSV into a new folder, and the files' hashes beside them.

        They hold what people said of themselves: nobody but their owner reads them.
        """
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        with _refusals():
            for table in self.tables:
                tell(table)
                await self._connection.copy_from_table(
                    table, output=folder / f"{table}.csv", format="csv", header=True
                )
        await asyncio.to_thread(_write_manifest, folder)


def _write_manifest(folder: Path) -> None:
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.csv"))
    }
    lines = [f"{digest}  {name}\n" for name, digest in hashes.items()]
    (folder / MANIFEST).write_text("".join(lines))


def _refusals() -> AbstractContextManager[None]:
    return source_refusals("profiles", "database of Attuned's prototype")


async def _connected(url: str) -> asyncpg.Connection:
    with _refusals():
        return await asyncpg.connect(url)


@asynccontextmanager
async def prototype(url: str) -> AsyncIterator[Prototype]:
    """The prototype whose database `url` names, which is only read."""
    connection = await _connected(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # A large table is copied as a whole.
            await connection.execute("set local statement_timeout = 0")
            found = await connection.fetch(_THERE, TABLES)
            tables = frozenset(row["name"] for row in found)
            if "profiles" not in tables:
                raise DomainError(ErrorCode.BAD_USER_INPUT, _NOT_THERE)
            yield Prototype(connection, tables)
    finally:
        await connection.close()
