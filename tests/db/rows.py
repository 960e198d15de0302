"""Rows of two users in every table, and scratch databases to put them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg

from db.core.registry import metadata
from db.embedded.database import EmbeddedDatabase
from db.migrations.migrate import migrate
from settings import Settings

from ..rows import (
    ADMIN,
    EX_MEMBER,
    FIRST,
    GUEST,
    MANAGER,
    MEMBER,
    NEWCOMER,
    SECOND,
    VIEWER,
    Maker,
    Row,
    gathered,
    known_id,
)

USERS = (FIRST, SECOND, NEWCOMER, ADMIN)
MAKERS: dict[str, Maker] = gathered("ROWS")

# Each is merged into one of the two.
ADD_GUESTS = "insert into users (id, is_anonymous) select u, true from unnest($1::uuid[]) u"
# The ledger's rows come from its own functions: its entries must balance.
LEDGER = """
select app.grant_credits($1, 'ADMIN', 10), app.hold_credits($1, 2, 'test', interval '1 hour'),
       app.refund_credits(app.spend_credits(1, 'test', null, 'key'), null, 'test', 'key'),
       app.transfer_credits($1, $2, 1, 'test', 'key')
"""
# What a period gave is a movement of the ledger.
PLAN_CREDITS = """
insert into plan_credits (period_id, month_starts_at, amount, transaction_id)
select p.id, now(), 1, t.id from plan_periods p join credit_transactions t using (user_id)
where user_id = $1 limit 1
"""


def new_row(table: str, user_id: UUID, columns: tuple[str, ...] = ()) -> Row | None:
    """A row of the user that the table does not have yet; nothing when no maker knows the table."""
    maker = MAKERS.get(table)
    row = maker(user_id, uuid4()) if maker else None
    return {name: row[name] for name in columns if name in row} if row and columns else row


def literal(value: Any) -> str:
    """A value in SQL; Postgres gives it the type of the column that it is written to."""
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def insert_sql(table: str, row: Row) -> str:
    """The statement that inserts a row."""
    return (
        f"insert into {table} ({', '.join(row)}) values ({', '.join(map(literal, row.values()))})"
    )


async def _insert_known(owner: asyncpg.Connection, table: str, user_id: UUID) -> None:
    key = user_id if table == "public.users" else known_id(user_id, table)
    row = MAKERS[table](user_id, key)
    await owner.execute(insert_sql(table, row) + " on conflict do nothing")


async def fill(owner: asyncpg.Connection) -> None:
    """Gives the first and the second user a row in every table that a maker knows."""
    order = [f"public.{table.name}" for table in metadata.sorted_tables]
    order += [table for table in MAKERS if table not in order]
    for table in order:
        if table in MAKERS:
            for actor in USERS if table in ("public.users", "public.sessions") else USERS[:2]:
                assert actor.user_id
                await _insert_known(owner, table, actor.user_id)
        if table == "public.users":
            guests = [known_id(actor.user_id, "guest") for actor in USERS[:2] if actor.user_id]
            await owner.execute(ADD_GUESTS, guests)
    for actor in USERS[:2]:
        async with owner.transaction():
            await owner.execute("select set_config('app.user_id', $1, true)", actor.user_claim)
            await owner.execute(LEDGER, actor.user_id, NEWCOMER.user_id)
            await owner.execute(PLAN_CREDITS, actor.user_id)


async def add_members(owner: asyncpg.Connection) -> None:
    """Gives the first user's organization members of each role and one who has left; and a guest."""
    assert FIRST.user_id
    roles = {MANAGER: "ADMIN", MEMBER: "MEMBER", VIEWER: "VIEWER", EX_MEMBER: "ADMIN"}
    for actor, role in roles.items():
        assert actor.user_id
        await _insert_known(owner, "public.users", actor.user_id)
        made = MAKERS["public.organization_members"](FIRST.user_id, actor.user_id)
        row = made | {"user_id": actor.user_id, "role": role}
        await owner.execute(insert_sql("public.organization_members", row))
    left = "delete from organization_members where user_id = $1"
    await owner.execute(left, EX_MEMBER.user_id)
    await owner.execute("insert into users (id, is_anonymous) values ($1, true)", GUEST.user_id)


@asynccontextmanager
async def scratch_database(
    cluster: EmbeddedDatabase, name: str, template: str = "template1"
) -> AsyncIterator[str]:
    """An empty database beside the worker's own, for a block; yields its owner's URL."""
    owner = await asyncpg.connect(cluster.owner_url)
    # An owner may not end an autovacuum that is at work there.
    superuser = await asyncpg.connect(cluster.superuser_url)
    try:
        await owner.execute(f"create database {name} template {template}")
        try:
            yield other_database(cluster.owner_url, name)
        finally:
            await superuser.execute(f"drop database {name} with (force)")
    finally:
        await superuser.close()
        await owner.close()


@asynccontextmanager
async def migrated_database(
    cluster: EmbeddedDatabase, settings: Settings, name: str
) -> AsyncIterator[str]:
    """One at the newest revision and without rows; the fixture `database` makes what is copied."""
    async with scratch_database(cluster, name, "migrated") as owner_url:
        await migrate(owner_url, settings)
        yield owner_url


def other_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
