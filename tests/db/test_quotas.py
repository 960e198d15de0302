"""A user stores no more rows and bytes than they may, whoever counts them and however many at once."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command
from sqlalchemy import text

from db.core.access import Public, parts
from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.core.quotas import Limit, TableQuota
from db.core.registry import models
from db.embedded.database import EmbeddedDatabase
from db.migrations.migrate import alembic_config, migrate
from db.profiles.tables import Profile
from db.quotas.administration import declared, write_declared_limits
from settings import Settings

from ..conftest import MakeUser
from ..running import ROOT
from .rows import FIRST, fill, migrated_database

OPERATIONS = ROOT / "docs" / "operations.md"
CREATE = text("select app.insert_profiles(:given)")
UPDATE = text("select app.update_profiles(:id, :given)")
DELETE = text("delete from profiles where id = :id")
NOTIFY = """
insert into notifications (user_id, type, title_key, message_key, data, created_at)
select $1, 'GENERAL', 'title', 'message', '{}', now() + n * interval '1 second' from generate_series(1, $2) n
"""
COUNTED = """
select count(*) filter (where stored_bytes > 0) as rows, coalesce(sum(stored_bytes), 0)::bigint as bytes
from {table} where user_id = $1
"""
USED = """
select coalesce(sum(rows_used), 0)::bigint as rows, coalesce(sum(bytes_used), 0)::bigint as bytes
from quota_use where user_id = $1 and slice = $2
"""

# Not pg_stat_activity, which a transaction sees as it was when it first looked.
WAITING = "select count(*) from pg_locks where not granted"


def profile(size: int = 0) -> dict[str, Any]:
    return {"name": "x" * (size - 4) if 4 < size <= 259 else None, "analysis": {}}


async def doing(database: Database, actor: Actor, statement: Any, **given: Any) -> str | UUID:
    """What a statement of a client's returns, or the code and path that it is refused with."""
    try:
        async with database.transaction(actor) as transaction:
            return await transaction.fetch_value(statement, **given)  # type: ignore[no-any-return]
    except asyncpg.PostgresError as error:
        return f"{error.hint}: {error.args[0].splitlines()[0]}"


async def give_plan(
    owner: asyncpg.Connection, actor: Actor, slice_name: str, rows: int, stored_bytes: int
) -> None:
    """A plan of the user's own, with a limit for one slice."""
    plan = f"plan-{uuid4()}"
    await owner.execute("insert into plans values ($1, $1, 1, 1)", plan)
    await owner.execute(
        "insert into quota_limits values ($1, $2, $3, $4)", plan, slice_name, rows, stored_bytes
    )
    await owner.execute("update users set plan_id = $2 where id = $1", actor.user_id, plan)


async def guest(owner: asyncpg.Connection) -> Actor:
    user_id = await owner.fetchval("insert into users (is_anonymous) values (true) returning id")
    return Actor("authenticated", user_id, is_anonymous=True)


async def use_is_true(owner: asyncpg.Connection, actor: Actor, table: str) -> tuple[int, int]:
    """What is counted, which is what is there."""
    real = await owner.fetchrow(COUNTED.format(table=table), actor.user_id)
    assert await owner.fetchrow(USED, actor.user_id, table) == real
    return int(real["rows"]), int(real["bytes"])


async def test_a_guest_cannot_fill_the_disk(database: Database, owner: asyncpg.Connection) -> None:
    actor, limit = await guest(owner), declared()["profiles"].guests
    large = {"analysis": {}, "thumbnail": "A" * 500_000, "chat_history": ["b" * 250_000]}
    answers = [await doing(database, actor, CREATE, given=large) for _ in range(60)]
    refused = [answer for answer in answers if isinstance(answer, str)]
    _, stored = await use_is_true(owner, actor, "profiles")
    assert limit.stored_bytes - 800_000 < stored <= limit.stored_bytes
    assert len(refused) == 60 - stored // 750_006
    assert refused[0] == (
        "QUOTA_EXCEEDED: Your profiles take 24.8 MB of 25.0 MB, and this needs 0.75 MB more. "
        "Delete some with deleteProfile."
    )


async def test_of_fifty_at_once_one_takes_the_last_place(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await give_plan(owner, actor, "profiles", 4, 1_000)
    for _ in range(3):
        await doing(database, actor, CREATE, given=profile())
    async with owner.transaction():  # all that have a connection wait, then go at once
        await owner.execute("select from quota_use where user_id = $1 for update", actor.user_id)
        waiting = [
            asyncio.create_task(doing(database, actor, CREATE, given=profile())) for _ in range(50)
        ]
        async with asyncio.timeout(10):
            while await owner.fetchval(WAITING) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    answers = await asyncio.gather(*waiting)
    assert sum(isinstance(answer, UUID) for answer in answers) == 1
    assert (
        answers.count("QUOTA_EXCEEDED: You may have 4 profiles. Delete some with deleteProfile.")
        == 49
    )
    assert await use_is_true(owner, actor, "profiles") == (4, 16)


async def test_bytes_are_counted_as_they_grow_and_come_back(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await give_plan(owner, actor, "profiles", 10, 300)
    one, two = [await doing(database, actor, CREATE, given=profile(100)) for _ in range(2)]
    assert await use_is_true(owner, actor, "profiles") == (2, 200)
    assert "QUOTA_EXCEEDED" in str(
        await doing(database, actor, UPDATE, id=one, given={"name": "x" * 201})
    )
    assert await doing(database, actor, UPDATE, id=one, given={"name": "x" * 196}) == one
    assert await use_is_true(owner, actor, "profiles") == (2, 300)
    assert "QUOTA_EXCEEDED" in str(await doing(database, actor, CREATE, given=profile()))
    await doing(database, actor, DELETE, id=two)
    assert await use_is_true(owner, actor, "profiles") == (1, 200)
    assert isinstance(await doing(database, actor, CREATE, given=profile(100)), UUID)


async def test_who_has_more_than_the_limit_may_still_make_it_less(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    one, two = [await doing(database, actor, CREATE, given=profile(200)) for _ in range(2)]
    await give_plan(owner, actor, "profiles", 1, 100)
    assert await doing(database, actor, UPDATE, id=one, given={"name": "shorter"}) == one
    assert "QUOTA_EXCEEDED" in str(
        await doing(database, actor, UPDATE, id=one, given={"name": "longer again"})
    )
    await doing(database, actor, DELETE, id=two)
    assert await use_is_true(owner, actor, "profiles") == (1, 11)


async def test_the_count_is_true_whatever_happens(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, other, chance = await make_user(), await make_user(), random.Random(7)
    for _ in range(60):
        whose = chance.choice((actor, other)).user_id
        size = chance.randrange(5, 200)
        sql = chance.choice(
            (
                "insert into profiles (user_id, name, analysis) select $1, repeat('x', $2), '{}'"
                " from generate_series(1, 3)",
                "update profiles set name = repeat('y', $2) where user_id = $1 and random() < 0.5",
                "delete from profiles where user_id = $1 and length(name) < $2 and random() < 0.3",
                "insert into profiles (user_id, name, analysis, local_id) values"
                " ($1, repeat('z', $2), '{}', 1) on conflict (user_id, local_id) do update"
                " set name = excluded.name",
            )
        )
        async with database.transaction(SERVICE) as transaction:
            await transaction.connection.execute(sql, whose, size)
    for whose in (actor, other):
        rows, stored = await use_is_true(owner, whose, "profiles")
        assert rows > 0
        assert stored > 0
    await owner.execute("delete from profiles")
    assert await use_is_true(owner, actor, "profiles") == (0, 0)


async def test_an_account_goes_with_its_count(
    database: Database, owner: asyncpg.Connection
) -> None:
    actor = await guest(owner)
    await doing(database, actor, CREATE, given=profile(100))
    await owner.execute(NOTIFY, actor.user_id, 3)
    await owner.execute("delete from users where id = $1", actor.user_id)
    for table in ("profiles", "notifications", "quota_use"):
        left = f"select count(*) from {table} where user_id = $1"
        assert await owner.fetchval(left, actor.user_id) == 0, table


async def test_the_server_itself_is_counted_and_not_refused(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await give_plan(owner, actor, "profiles", 1, 10)
    insert = "insert into profiles (user_id, analysis) select $1, '{}' from generate_series(1, 5)"
    async with database.transaction(SERVICE) as transaction:
        await transaction.connection.execute(insert, actor.user_id)
    assert await use_is_true(owner, actor, "profiles") == (5, 20)
    assert "QUOTA_EXCEEDED" in str(await doing(database, actor, CREATE, given=profile()))


async def test_the_oldest_notifications_are_forgotten(
    make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await give_plan(owner, actor, "notifications", 4, 1_000)
    await owner.execute(NOTIFY, actor.user_id, 3)
    newest = await owner.fetchval(
        "select max(created_at) from notifications where user_id = $1", actor.user_id
    )
    await owner.execute(NOTIFY, actor.user_id, 6)
    assert await use_is_true(owner, actor, "notifications") == (4, 8)
    assert (
        await owner.fetchval(
            "select count(*) from notifications where user_id = $1 and created_at >= $2",
            actor.user_id,
            newest,
        )
        == 4
    )


@pytest.mark.parametrize(
    ("announced", "code"), [((100, 100), None), ((100, 100, 1), "You may have 2 uploads")]
)
async def test_uploads_are_counted_in_number_too(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    announced: tuple[int, ...],
    code: str | None,
) -> None:
    actor = await make_user()
    await give_plan(owner, actor, "uploads", 2, 1_000)
    create = text("select app.create_upload('image/jpeg', :size)")
    answers = [await doing(database, actor, create, size=size) for size in announced]
    assert (code is None) == isinstance(answers[-1], UUID)
    assert code is None or code in str(answers[-1])
    assert await use_is_true(owner, actor, "uploads") == (2, 200)


async def test_limits_follow_the_declaration_until_an_operator_says_otherwise(
    owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(
            "update quota_limits set is_custom = true, rows_limit = 7"
            " where slice = 'profiles' and audience = 'GUEST'"
        )
        changed = declared()["profiles"].__class__(Limit(1, 2), Limit(3, 4))
        monkeypatch.setattr(Profile, "quota", changed)
        await write_declared_limits(owner)
        found = await owner.fetch(
            "select audience, rows_limit from quota_limits where slice = 'profiles'"
            " and audience in ('GUEST', 'MEMBER')"
        )
        assert dict(found) == {"GUEST": 7, "MEMBER": 3}
    finally:
        await transaction.rollback()


# A table is filled by clients through an insert of their own, through functions that they may call and
# what those call, through triggers on what those write, or through the server that acts for them.
CALLED = """
select p.oid::regprocedure::text as signature, p.proname as name, p.prosrc as source,
       has_function_privilege('authenticated', p.oid, 'execute')
       or has_function_privilege('anon', p.oid, 'execute') as callable
from pg_proc p where p.pronamespace = 'app'::regnamespace
"""
TRIGGERED = """
select c.relname as table_name, p.proname as name
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
where p.pronamespace = 'app'::regnamespace
"""
INSERTABLE = """
select c.relname as table_name, r as role from pg_class c, unnest(array['anon', 'authenticated', 'service']) r
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and has_any_column_privilege(r, c.oid, 'insert')
"""
WRITES = re.compile(r"insert into public\.(\w+)")
CALLS = re.compile(r"app\.(\w+)\(")


async def filled_by_clients(owner: asyncpg.Connection) -> set[str]:
    """Every table that requests fill, directly or through what they call."""
    functions = await owner.fetch(CALLED)
    sources: dict[str, str] = {}
    for row in functions:
        sources[row["name"]] = sources.get(row["name"], "") + row["source"]
    triggers = await owner.fetch(TRIGGERED)
    insertable = await owner.fetch(INSERTABLE)
    public = {
        name
        for name, model in models().items()
        if any(isinstance(rule, Public) for rule in parts(model.access.read))
    }
    tables = {
        row["table_name"]
        for row in insertable
        if row["role"] != "service" or row["table_name"] not in public
    }
    waiting = [row["name"] for row in functions if row["callable"]]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in sources:
            continue
        seen.add(name)
        written = set(WRITES.findall(sources[name]))
        tables |= written
        waiting += CALLS.findall(sources[name])
        waiting += [row["name"] for row in triggers if row["table_name"] in tables]
    return tables - {"alembic_version"}


def test_the_documented_limits_are_those_that_are_declared() -> None:
    found = re.findall(
        r"^\| [^|]+ \| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", OPERATIONS.read_text(), re.M
    )
    documented = {name: (guests, members) for name, guests, members in found}
    quotas = {name: model.quota for name, model in models().items()}
    counted = {name: one for name, one in quotas.items() if isinstance(one, TableQuota)}
    assert documented.keys() == counted.keys()
    # A setting says how much photos may take.
    for name in counted.keys() - {"uploads"}:
        limits = (counted[name].guests, counted[name].members)
        assert documented[name] == tuple(_written(one, counted[name]) for one in limits), name


def _written(limit: Limit, quota: TableQuota) -> str:
    """A limit as the document writes it."""
    if limit.stored_bytes < 2:
        return "none"
    newest = "the newest " if quota.excess == "FORGET" else ""
    return f"{newest}{limit.rows:,}, {limit.stored_bytes // 1_000_000:,} MB"


async def test_every_table_that_clients_fill_has_a_quota_or_says_what_bounds_it(
    database: Database, owner: asyncpg.Connection
) -> None:
    tables = await filled_by_clients(owner)
    assert {
        "profiles",
        "uploads",
        "generations",
        "idempotency_keys",
        "events",
        "sessions",
    } <= tables
    assert {name for name in tables if models()[name].quota is None} == set()


@pytest.mark.parametrize(
    "opened",
    [
        "grant insert (name) on plans to authenticated",
        "create function app.fill() returns void language sql security definer as"
        " 'insert into public.hair_colors values (''#000000'')'; grant execute on function app.fill() to anon",
    ],
)
async def test_a_table_that_is_opened_to_clients_is_noticed(
    database: Database, owner: asyncpg.Connection, opened: str
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(opened)
        assert [name for name in await filled_by_clients(owner) if models()[name].quota is None]
    finally:
        await transaction.rollback()


async def test_a_smaller_plan_or_limit_holds_at_once(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    for _ in range(3):  # the third is stored under a limit that is remembered
        assert isinstance(await doing(database, actor, CREATE, given=profile()), UUID)
    await give_plan(owner, actor, "profiles", 4, 1_000)
    assert isinstance(await doing(database, actor, CREATE, given=profile()), UUID)
    assert "QUOTA_EXCEEDED" in str(await doing(database, actor, CREATE, given=profile()))
    await owner.execute(
        "update quota_limits set rows_limit = $1 where audience ="
        " (select plan_id from users where id = $2)",
        6,
        actor.user_id,
    )
    answers = [await doing(database, actor, CREATE, given=profile()) for _ in range(3)]
    assert [isinstance(answer, UUID) for answer in answers] == [True, True, False]
    await owner.execute("update users set is_anonymous = true where id = $1", actor.user_id)
    assert isinstance(await doing(database, actor, CREATE, given=profile()), UUID)


async def test_what_was_stored_before_is_counted_when_migrating(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    async with migrated_database(cluster, settings, "counted") as owner_url:
        config = alembic_config(owner_url)
        connection = await asyncpg.connect(owner_url)
        await fill(connection)
        await connection.close()
        await asyncio.to_thread(command.downgrade, config, "0140")
        connection = await asyncpg.connect(owner_url)
        # What is newer than that has lost its rows.
        old = [t for t in declared() if await connection.fetchval("select to_regclass($1)", t)]
        await connection.close()
        await migrate(owner_url, settings)
        connection = await asyncpg.connect(owner_url)
        try:
            assert "profiles" in old
            for table in old:
                rows, stored = await use_is_true(connection, FIRST, table)
                assert rows == 1, table
                assert stored > 0, table
        finally:
            await connection.close()
