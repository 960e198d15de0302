"""A sync reads a user's rows a few times at most, also of tables that Postgres takes for empty.

A plan made while a table was empty may read all of a user's rows for each change: a sync of some
hundred changes then takes seconds. Nothing but the number of rows read tells so on any machine.
"""

from __future__ import annotations

import json
from uuid import UUID

import asyncpg
import pytest

from ..conftest import MakeUser

TABLES = ("profiles", "profile_tombstones", "sync_conflicts", "chat_messages")
# Fewer than the quota of any of these tables lets a member have.
ROWS, CHANGES = 1_000, 50
# A few scans of all of a user's rows, far from one for each change.
MOST_READ = 20 * ROWS
MANY = """
with made as (
    insert into profiles (user_id, name, analysis, origin_device_id, origin_local_id)
    select $1, 'Ada', '{}', 'phone', n from generate_series(1, $2::integer) n returning id
), buried as (
    insert into profile_tombstones (profile_id, user_id, origin_device_id, origin_local_id, device_id, clock, position)
    select gen_random_uuid(), $1, 'phone', $2 + n, 'phone', n, -n from generate_series(1, $2::integer) n
), lost as (
    insert into sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)
    select $1, id, 'NAME', 'CLIENT', 'laptop', row_number() over (), '"Eve"', 'SETTLED' from made
)
insert into chat_messages (user_id, profile_id, client_id, role, text, device_id)
select $1, id, 'said', 'USER', 'Hello', 'phone' from made
"""
READ = """
select relname::text, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_all_tables
where schemaname = 'public' and relname = any($1)
"""
SYNC = "select done from app.sync_changes('phone', $2, 'LAST_WRITE_WINS', $1, 1, 1000000, 0)"


async def read(owner: asyncpg.Connection) -> dict[str, int]:
    """How many rows of each table this transaction has read."""
    return dict(await owner.fetch(READ, list(TABLES)))


async def synced(owner: asyncpg.Connection, user: UUID) -> dict[str, int]:
    """How many rows of each table a sync of old and new profiles, deleted ones and messages reads."""
    await owner.execute("select set_config('app.user_id', $1, true)", str(user))
    cursor = json.loads(await owner.fetchval(SYNC, "[]", None))["cursor"]
    changes = [
        {
            "n": n,
            "local_id": 1 + n * 2 * ROWS // CHANGES,
            "clock": 1_700_000_000_000 << 16,
            "deleted": n % 5 == 0,
            "groups": {} if n % 5 == 0 else {"NAME": "Kim"},
            "messages": [] if n % 5 == 0 else [{"id": "said", "role": "USER", "text": "Other"}],
            "since": None,
        }
        for n in range(CHANGES)
    ]
    before = await read(owner)
    answer = json.loads(await owner.fetchval(SYNC, json.dumps(changes), cursor))
    assert len(answer["accepted"]) == CHANGES
    after = await read(owner)
    return {table: after[table] - before.get(table, 0) for table in TABLES}


@pytest.mark.parametrize("empty", [(), TABLES[:1], TABLES[1:]], ids="-".join)
async def test_a_sync_reads_what_it_names(
    owner: asyncpg.Connection, make_user: MakeUser, empty: tuple[str, ...]
) -> None:
    user, another = [(await make_user()).user_id for _ in range(2)]
    assert user is not None
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(MANY, another, ROWS)
        for table in TABLES:
            await owner.execute(f"analyze {table}")
        for table in empty:
            await owner.execute(f"truncate {table} cascade")
            await owner.execute(f"analyze {table}")
        await synced(owner, another)
        await owner.execute(MANY, user, ROWS)
        rows_read = await synced(owner, user)
    finally:
        await transaction.rollback()
        for table in TABLES:
            await owner.execute(f"analyze {table}")
    assert {table for table in TABLES if rows_read[table] > MOST_READ} == set(), rows_read
