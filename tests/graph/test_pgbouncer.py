"""Through PgBouncer in transaction mode, with and without prepared statements of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import cannot_serve
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from graph.engine.execution.engine import Engine
from graph.live.bus import WakeBus
from graph.schema import build_schema
from graph.shared.context import Context
from server.app import make_services
from settings import ROLES, Settings, SettingsError

from ..bouncer import Bouncer, running_bouncer, userlist
from ..conftest import MakeUser
from .conftest import Ask
from .tenants import CREATE, LIST, NODE, SPEND, foreign, hostile_rounds, with_profile

# Fewer than the clients' connections, so that statements and transactions really change servers.
SERVERS = 3
CLIENTS = 8
ROLE_SETTINGS = """select json_build_object('user', current_user, 'zone', current_setting('TimeZone'),
  'path', current_setting('search_path'), 'timeout', current_setting('statement_timeout'),
  'check', current_setting('client_connection_check_interval'))"""
BACKEND = "select pg_backend_pid()"


@pytest.fixture(scope="module", params=[False, True], ids=["unprepared", "prepared"])
async def bouncer(
    request: pytest.FixtureRequest, cluster: EmbeddedDatabase, database: Database
) -> AsyncIterator[Bouncer]:
    """A PgBouncer before the migrated database: one that keeps no prepared statements, one that does."""
    users = await userlist(cluster)
    with running_bouncer(
        cluster, users, preparing=request.param, default_pool_size=str(SERVERS)
    ) as bouncer:
        yield bouncer


@pytest.fixture
async def through(bouncer: Bouncer, settings: Settings) -> AsyncIterator[Database]:
    """Pools whose connections lead through it, and which it gets its servers back from."""
    changes = {"pool_size": CLIENTS, "database_prepared_statements": bouncer.preparing}
    database = await Database.connect(bouncer.url, settings.model_copy(update=changes))
    yield database
    await work_at_once(database)
    await database.close()


async def work_at_once(database: Database) -> set[int]:
    """Uses every connection at once, three times; the server processes that answered."""

    async def use() -> int:
        async with database.pools["authenticated"].connection() as connection:
            backend: int = await connection.fetch_value(BACKEND, [])
            assert await connection.fetch_value("select $1::text", ["x"]) == "x"
            return backend

    async with asyncio.timeout(20):
        return {
            one for _ in range(3) for one in await asyncio.gather(*[use() for _ in range(CLIENTS)])
        }


@pytest.fixture
async def ask_through(through: Database, settings: Settings) -> AsyncIterator[Ask]:
    """Asks an engine whose every statement goes through PgBouncer."""
    services = make_services(settings, through, open_storage(settings), WakeBus.memory())
    engine = Engine(build_schema(), through, introspection=False)

    async def run(
        document: str, variables: dict[str, Any] | None = None, *, actor: Actor
    ) -> dict[str, Any]:
        context = Context(actor, services, "test")
        answer: dict[str, Any] = orjson.loads(
            await engine.run(document, variables or {}, None, context)
        )
        return answer

    yield run
    services.passwords.close()


@pytest.fixture
async def superuser(cluster: EmbeddedDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A connection past PgBouncer that sees what every session does."""
    connection = await asyncpg.connect(cluster.superuser_url)
    yield connection
    await connection.close()


async def test_roles_keep_their_settings(through: Database, database: Database) -> None:
    for role in ROLES:
        found = []
        for pools in (through, database):
            async with pools.pools[role].connection() as connection:  # type: ignore[index]
                found.append(orjson.loads(await connection.fetch_value(ROLE_SETTINGS, [])))
        assert found[0] == found[1]
        assert (found[0]["user"], found[0]["zone"]) == (role, "UTC")
        assert found[0]["timeout"] != "0"


async def test_many_users_at_once_each_get_their_own(
    through: Database, ask_through: Ask, make_user: MakeUser
) -> None:
    users = [await with_profile(ask_through, make_user) for _ in range(12)]

    async def life(number: int) -> None:
        actor, profile = users[number]
        other, other_profile = users[number - 1]
        for turn in range(4):
            for document, variables in (
                (LIST, {}),
                (NODE, {"id": profile}),
                (SPEND, {"key": str(turn)}),
                (CREATE, {}),
                (NODE, {"id": other_profile}),
            ):
                answer = await ask_through(document, variables, actor=actor)
                assert "errors" not in answer, answer
                assert not foreign(answer, other, other_profile)
        seen = (await ask_through(LIST, actor=actor))["data"]["viewer"]
        assert seen["credits"]["balance"] == 20 - 4
        assert len(seen["profiles"]["nodes"]) == 5

    await asyncio.gather(*(life(number) for number in range(len(users))))
    assert 1 < len(await work_at_once(through)) <= SERVERS


async def test_a_stale_claim_on_a_server_connection_shows_no_foreign_row(
    through: Database, ask_through: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(through, ask_through, make_user, rounds=30)).assert_hostile(30)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_ten_thousand_stale_claims_show_no_foreign_row(
    through: Database, ask_through: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(through, ask_through, make_user, rounds=10_000)).assert_hostile(10_000)


async def test_cancelled_work_gives_its_server_connection_back(
    through: Database, superuser: asyncpg.Connection
) -> None:
    async def sleep() -> None:
        async with through.pools["authenticated"].connection() as connection:
            await connection.fetch_value("select pg_sleep(60)::text", [])

    sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    work = [asyncio.create_task(sleep()) for _ in range(SERVERS)]
    async with asyncio.timeout(15):
        while await superuser.fetchval(sleeping) < SERVERS:  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.02)
        for task in work:
            task.cancel()
        while await superuser.fetchval(sleeping):  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.02)
    await asyncio.gather(*work, return_exceptions=True)
    await work_at_once(through)


async def test_without_a_server_to_spare_it_says_so_and_recovers(
    bouncer: Bouncer, through: Database, ask_through: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    before = bouncer.log.count("pooler error: query_wait_timeout")
    async with holding(through, SERVERS):
        started = time.monotonic()
        answer = await ask_through("{ viewer { id } }", actor=actor)
        print(f"\nan exhausted PgBouncer answered after {time.monotonic() - started:.2f} s")
        assert answer["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
        assert time.monotonic() - started < 10
        assert bouncer.log.count("pooler error: query_wait_timeout") == before + 1, (
            "it waited more than once"
        )
    answer = await ask_through("{ viewer { id } }", actor=actor)
    assert answer["data"]["viewer"]["id"] == f"user_{actor.user_id}"


@asynccontextmanager
async def holding(database: Database, count: int) -> AsyncIterator[None]:
    """Transactions that hold every server connection."""
    pool = database.pools["authenticated"]
    held = [await pool.acquire() for _ in range(count)]
    for connection in held:
        await connection.raw.execute("begin")
    try:
        yield
    finally:
        for connection in held:
            await connection.raw.execute("rollback")
            pool.release(connection)


async def test_dead_servers_behind_it_are_replaced(
    through: Database, superuser: asyncpg.Connection
) -> None:
    before = await work_at_once(through)
    await superuser.execute(
        "select pg_terminate_backend(pid, 5000) from unnest($1::int[]) as pid", sorted(before)
    )
    after = None
    async with asyncio.timeout(20):
        while after is None:
            after = await unless_away(work_at_once(through))
    assert after.isdisjoint(before)


async def unless_away[Answer](work: Awaitable[Answer]) -> Answer | None:
    """What the work gives; nothing when the database is away, which alone is forgiven."""
    try:
        return await work
    except Exception as error:
        code = error.code if isinstance(error, DomainError) else None
        if code is not ErrorCode.SERVICE_UNAVAILABLE and not cannot_serve(error):
            raise
        await asyncio.sleep(0.1)
    return None


async def test_its_own_crash_is_survived(
    bouncer: Bouncer, through: Database, ask_through: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    bouncer.kill()
    away = await ask_through("{ viewer { id } }", actor=actor)
    assert away["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    bouncer.start()
    back = await ask_through("{ viewer { id } }", actor=actor)
    assert back["data"]["viewer"]["id"] == f"user_{actor.user_id}"


async def test_a_pooler_that_mixes_up_statements_is_refused(
    bouncer: Bouncer, settings: Settings
) -> None:
    """One process's statement must never run in place of another's, however it is configured."""
    if bouncer.preparing:
        await (await Database.connect(bouncer.url, settings)).close()
        return
    for _ in range(3):
        with pytest.raises(SettingsError, match="DATABASE_PREPARED_STATEMENTS=false"):
            await Database.connect(bouncer.url, settings)
