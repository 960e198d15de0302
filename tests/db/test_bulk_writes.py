"""A statement that writes many rows records the same events as one for each row, and counts as much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.quotas import Limit, TableQuota, quota_statements
from db.core.rls import watch_statements
from db.generations.tables import Generation
from db.organizations.tables import Organization
from db.profiles.tables import Profile
from db.switches.tables import Switches

ONE_USER = "insert into users (email) values (gen_random_uuid() || '@example.test') returning id"
PROFILES = """
insert into profiles (id, user_id, name, analysis, created_at)
select o.id, o.user_id, 'n ' || o.n, '{"a": 1}', now()
from unnest($1::uuid[], $2::uuid[]) with ordinality as o (id, user_id, n)
"""
# Everybody's. The one row may be written again once it is gone, which no event tells of.
SWITCHES = "insert into switches (id) values (1)"
RENAME = "on conflict (id) do update set name = 'a longer one'"
EVENTS = """
select topic, change, user_id, audience_kind, audience_id, audience_roles, change_id, entity_id, snapshot
from events where xid = pg_current_xact_id() and topic = $1 order by id
"""
USED = "select user_id, rows_used, bytes_used from quota_use where user_id = any ($1) order by 1"
SIZES = """
select user_id, count(*) as rows_used, sum(stored_bytes)::bigint as bytes_used from profiles
where user_id = any ($1) group by 1 order by 1
"""


@pytest.fixture
async def undone(owner: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The owner, in a transaction that is taken back."""
    transaction = owner.transaction()
    await transaction.start()
    yield owner
    await transaction.rollback()


async def declare(connection: asyncpg.Connection, model: Any, *, in_bulk: bool) -> None:
    """Makes a table's triggers of events anew."""
    for name in ("record_event", "record_inserted"):
        await connection.execute(f"drop trigger if exists {name} on {model.__tablename__}")
    watch = replace(model.watch, inserts=True, in_bulk=in_bulk)
    for statement in watch_statements(model.__table__, watch, model.access):
        await connection.execute(statement)


@pytest.mark.parametrize(("model", "statement"), [(Profile, PROFILES), (Switches, SWITCHES)])
async def test_events_of_a_statement_are_those_of_its_rows_in_their_order(
    undone: asyncpg.Connection, model: Any, statement: str
) -> None:
    users = [await undone.fetchval(ONE_USER) for _ in range(2)]
    ids = [uuid4() for _ in range(5)]
    given = (ids, [users[n % 2] for n in range(5)]) if model is Profile else ()
    told = []
    for in_bulk in (False, True):
        around = undone.transaction()
        await around.start()
        await undone.execute("delete from switches")
        await declare(undone, model, in_bulk=in_bulk)
        await undone.execute(statement, *given)
        told.append([tuple(row) for row in await undone.fetch(EVENTS, model.watch.topic)])
        await around.rollback()
    by_row, at_once = told
    assert at_once == by_row
    assert len(at_once) == (5 if given else 1)
    if given:
        assert [event[-2] for event in at_once] == [str(one) for one in ids]


async def test_what_a_statement_inserts_is_counted_once_for_each_user(
    undone: asyncpg.Connection,
) -> None:
    users = [await undone.fetchval(ONE_USER) for _ in range(2)]
    for count in (5, 4):
        owners = [users[n % 2] for n in range(count)]
        await undone.execute(PROFILES, [uuid4() for _ in owners], owners)
    known = await undone.fetchval("select id from profiles where user_id = $1 limit 1", users[0])
    await undone.execute(f"{PROFILES} {RENAME}", [known, uuid4()], [users[0]] * 2)
    assert await undone.fetch(USED, users) == await undone.fetch(SIZES, users)


async def test_a_statement_that_exceeds_the_limit_is_refused_whole(
    undone: asyncpg.Connection,
) -> None:
    user = await undone.fetchval(ONE_USER)
    await undone.execute("update quota_limits set rows_limit = 4 where slice = 'profiles'")
    await undone.execute(PROFILES, [uuid4() for _ in range(3)], [user] * 3)
    await undone.execute("select set_config('app.user_id', $1, true)", str(user))
    before = await undone.fetch(USED, [user])
    with pytest.raises(asyncpg.PostgresError, match="You may have 4 profiles") as refused:
        async with undone.transaction():
            await undone.execute(PROFILES, [uuid4() for _ in range(2)], [user] * 2)
    assert refused.value.hint == "QUOTA_EXCEEDED"
    assert await undone.fetch(USED, [user]) == before
    await undone.execute(PROFILES, [uuid4()], [user])
    assert await undone.fetch(USED, [user]) == await undone.fetch(SIZES, [user])


def test_only_what_can_be_is_done_at_once() -> None:
    few = Limit(1, 1)
    with pytest.raises(ValueError, match="one row at a time"):
        TableQuota(few, few, excess="FORGET", in_bulk=True)
    statements = quota_statements(Profile.metadata.tables["profiles"], TableQuota(few, few))
    assert "for each row" in statements[0]
    table = Organization.metadata.tables["organizations"]
    assert Generation.watch is not None
    with pytest.raises(TypeError, match="one audience"):
        watch_statements(table, replace(Generation.watch, in_bulk=True), Organization.access)
