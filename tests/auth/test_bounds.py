"""A user has only so many sessions open, and a session keeps only so many refresh tokens."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from db.accounts import bounds
from db.accounts.assurance import SignInMethod
from db.accounts.sessions import SessionLife, open_session, rotate_refresh_token
from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.core.retention import purge

from ..conftest import MakeUser

LIFE = SessionLife(unused=timedelta(days=30), proven=timedelta(days=90))


async def opened(database: Database, actor: Actor, token: bytes | None = None) -> object:
    assert actor.user_id is not None
    async with database.transaction(SERVICE) as transaction:
        session_id, _ = await open_session(
            transaction,
            actor.user_id,
            token or uuid4().bytes,
            session_life=LIFE,
            user_agent=None,
            methods=(SignInMethod.PASSWORD,),
        )
        return session_id


async def test_the_session_used_longest_ago_ends(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "SESSIONS_PER_USER", 3)
    actor, other = await make_user(), await make_user()
    sessions = [await opened(database, actor) for _ in range(3)]
    kept = await opened(database, other)
    await owner.execute("update sessions set last_used_at = now() where id = $1", sessions[0])
    newest = await opened(database, actor)
    ended = "select id from sessions where user_id = $1 and revoked_reason = 'too_many_sessions'"
    assert [row["id"] for row in await owner.fetch(ended, actor.user_id)] == [sessions[1]]
    assert newest != sessions[1]
    assert await owner.fetchval("select revoked_at from sessions where id = $1", kept) is None


async def test_two_who_sign_in_at_once_end_a_session_once(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "SESSIONS_PER_USER", 2)
    actor = await make_user()
    assert actor.user_id is not None
    sessions = [await opened(database, actor) for _ in range(2)]
    async with database.transaction(SERVICE) as first:
        await open_session(
            first,
            actor.user_id,
            b"1",
            session_life=LIFE,
            user_agent=None,
            methods=(SignInMethod.PASSWORD,),
        )
        second = asyncio.create_task(opened(database, actor, b"2"))
        waits = "select exists (select from pg_locks where not granted)"
        while not await owner.fetchval(waits):  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.01)
    await second
    ended = "select id from sessions where user_id = $1 and revoked_at is not null"
    assert [row["id"] for row in await owner.fetch(ended, actor.user_id)] == sessions[:1]


async def test_a_session_forgets_its_oldest_tokens(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "TOKENS_PER_SESSION", 4)
    tokens = [uuid4().bytes for _ in range(9)]
    session_id = await opened(database, await make_user(), tokens[0])
    for used, successor in itertools.pairwise(tokens):
        async with database.transaction(SERVICE) as transaction:
            await rotate_refresh_token(
                transaction, used, successor, session_life=LIFE, reuse_window=timedelta(0)
            )
    rows = await owner.fetch(
        "select token_hash from refresh_tokens where session_id = $1", session_id
    )
    assert {row["token_hash"] for row in rows} == set(tokens[-4:])


async def test_sessions_are_purged_a_week_after_they_ended(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    for ends in (
        "revoked_at = now() - interval '8 days'",
        "expires_at = now() - interval '8 days'",
    ):
        session_id = await opened(database, actor)
        await owner.execute(f"update sessions set {ends} where id = $1", session_id)
    kept = await opened(database, actor)
    await owner.execute("update sessions set revoked_at = now() where id = $1", kept)
    assert [name async for name, _ in purge(database)]
    left = await owner.fetch("select id from sessions where user_id = $1", actor.user_id)
    assert [row["id"] for row in left] == [kept]
