"""Whatever kills a connection, the pool has all its room back afterwards, and no claim is left."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import answered, cannot_serve, connection_lost
from db.core.pool import Database, UnreachableDatabaseError
from db.embedded.database import destroy_embedded
from db.files.storage import open_storage
from db.migrations.migrate import migrate
from graph.live.bus import WakeBus
from server.app import Server
from settings import Settings
from tests.graph.live.deployment import Deployment

BACKEND = "select pg_backend_pid()"
CLAIM = "select coalesce(current_setting('app.user_id', true), '')"
SLEEP = "select pg_sleep(30)::text"
ROOM = 3
SOMEBODY = Actor("authenticated", UUID(int=7))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cluster of these tests' own: they stop it, and end every connection it has."""
    folder = tmp_path_factory.mktemp("pool") / "data"
    place = Deployment(Settings(data_directory=folder, pool_size=ROOM))
    yield place
    place.cluster.stop()
    destroy_embedded(place.settings)


@pytest.fixture(scope="module")
async def migrated(place: Deployment) -> Deployment:
    await migrate(place.owner_url, place.settings)
    return place


@pytest.fixture
async def pools(migrated: Deployment) -> AsyncIterator[Database]:
    """Fresh pools; a test leaves them with all their room, or it fails here."""
    database = await Database.connect(migrated.owner_url, migrated.settings)
    yield database
    for role in database.pools:
        await assert_whole(database, role)
    await database.close()


async def assert_whole(database: Database, role: Any = "authenticated") -> None:
    """Every connection there is room for can be had at once, works, and carries no claim."""
    pool = database.pools[role]
    held = [await pool.acquire() for _ in range(ROOM)]
    try:
        for connection in held:
            assert await connection.fetch_value(CLAIM, []) == ""
            assert not connection.raw.is_in_transaction()
    finally:
        for connection in held:
            pool.release(connection)


@asynccontextmanager
async def superuser(place: Deployment) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(place.cluster.superuser_url)
    try:
        yield connection
    finally:
        await connection.close()


async def end_connections(place: Deployment, which: str = "true") -> None:
    async with superuser(place) as connection:
        await connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            f" where application_name = 'tallygraph' and {which}"
        )


async def run(database: Database, sql: str, *arguments: Any) -> Any:
    async with database.pools["authenticated"].connection() as connection:
        return await connection.fetch_value(sql, arguments)


async def in_transaction(database: Database, sql: str) -> Any:
    async with database.transaction(SOMEBODY) as transaction:
        return await transaction.fetch_value(text(sql))


def code_of(error: BaseException | None) -> ErrorCode | None:
    return error.code if isinstance(error, DomainError) else None


async def until_none_sleeps(place: Deployment) -> None:
    async with superuser(place) as connection, asyncio.timeout(10):
        sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        while await connection.fetchval(sleeping):  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.05)


async def until_asleep(place: Deployment, count: int = 1) -> None:
    async with superuser(place) as connection, asyncio.timeout(10):
        sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        while await connection.fetchval(sleeping) < count:  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.02)


async def test_the_connection_used_last_is_used_next(pools: Database) -> None:
    pool = pools.pools["authenticated"]
    first, second = await pool.acquire(), await pool.acquire()
    pool.release(first)
    pool.release(second)
    assert await pool.acquire() is second
    pool.release(second)


async def test_connections_that_died_idle_are_replaced(pools: Database, place: Deployment) -> None:
    for role in pools.pools:
        await assert_whole(pools, role)
    await end_connections(place)
    for role in pools.pools:
        async with pools.transaction(Actor(role)) as transaction:
            assert await transaction.fetch_value(text("select current_user")) == role


async def test_a_connection_that_dies_under_its_statement_is_replaced(
    pools: Database, place: Deployment
) -> None:
    work = [
        asyncio.create_task(run(pools, SLEEP)),
        asyncio.create_task(in_transaction(pools, SLEEP)),
    ]
    await until_asleep(place, len(work))
    await end_connections(place)
    for error in await asyncio.gather(*work, return_exceptions=True):
        assert isinstance(error, BaseException)
        assert connection_lost(error)
    assert await run(pools, "select 1") == 1


async def test_cancelled_work_ends_in_postgres_too(pools: Database, place: Deployment) -> None:
    work = [
        asyncio.create_task(run(pools, SLEEP)),
        asyncio.create_task(in_transaction(pools, SLEEP)),
    ]
    await until_asleep(place, len(work))
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    await until_none_sleeps(place)
    await assert_whole(pools)


async def test_an_exhausted_pool_says_so_and_recovers(pools: Database) -> None:
    pool = pools.pools["authenticated"]
    held = [await pool.acquire() for _ in range(ROOM)]
    started = time.monotonic()
    refused = await asyncio.gather(*(pool.acquire() for _ in range(20)), return_exceptions=True)
    print(f"\nan exhausted pool answered after {time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < 10
    assert {code_of(error) for error in refused} == {ErrorCode.SERVICE_UNAVAILABLE}  # type: ignore[arg-type]
    waiting = asyncio.create_task(run(pools, "select 1"))
    await asyncio.sleep(0)
    for connection in held:
        pool.release(connection)
    assert await waiting == 1


async def test_who_stops_waiting_leaves_no_hole(pools: Database) -> None:
    """Some are cancelled while they wait, some at the moment a connection is given to them."""
    pool = pools.pools["authenticated"]
    for _ in range(30):
        held = [await pool.acquire() for _ in range(ROOM)]
        waiting = [asyncio.create_task(run(pools, "select 1")) for _ in range(8)]
        await asyncio.sleep(0)
        waiting.pop(random.randrange(8)).cancel()
        for connection in held:
            pool.release(connection)
        waiting.pop(random.randrange(3)).cancel()
        assert await asyncio.gather(*waiting) == [1] * 6
        await assert_whole(pools)


async def test_a_statement_that_takes_too_long_leaves_its_connection_usable(
    pools: Database, place: Deployment
) -> None:
    async with superuser(place) as connection:
        await connection.execute("alter role authenticated set statement_timeout = '200ms'")
    try:
        await end_connections(place)
        backend = await run(pools, BACKEND)
        for attempt in (run, in_transaction):
            with pytest.raises(asyncpg.QueryCanceledError) as stopped:
                await attempt(pools, SLEEP)
            assert cannot_serve(stopped.value)
            assert await run(pools, BACKEND) == backend
            assert await run(pools, CLAIM) == ""
    finally:
        async with superuser(place) as connection:
            await connection.execute("alter role authenticated set statement_timeout = 10000")


async def test_a_statement_that_is_stopped_before_it_is_run_is_an_outage(pools: Database) -> None:
    """A timeout may strike after Postgres has described a statement: asyncpg expects nothing then."""
    fields = b"SERROR\0VERROR\0C57014\0Mcanceling statement due to statement timeout\0\0"
    stopped = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields

    async def interrupted() -> None:
        async with pools.pools["authenticated"].connection() as connection:
            used.append(await connection.fetch_value(BACKEND, []))
            connection.raw._protocol.data_received(stopped)
            await connection.fetch_value(BACKEND, [])

    used: list[int] = []
    with pytest.raises(asyncpg.InternalClientError) as unexpected:
        await interrupted()
    assert cannot_serve(unexpected.value)
    assert not answered(unexpected.value)
    assert await run(pools, BACKEND) not in used


async def test_a_server_that_falls_silent_is_given_up(
    migrated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process says nothing, as a machine that vanished does."""
    monkeypatch.setattr("db.core.pool.SILENCE_SECONDS", 0.2)
    hasty = migrated.settings.model_copy(update={"statement_timeout_seconds": 0.3})
    database = Database(migrated.owner_url, hasty)  # the role still has a longer timeout
    pool = database.pools["authenticated"]
    backend = await run(database, BACKEND)
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError) as silence:
            await run(database, "select 1")
        assert cannot_serve(silence.value)
        assert await run(database, "select 2") == 2
        held = [await pool.acquire() for _ in range(ROOM)]
        assert backend not in [await one.fetch_value(BACKEND, []) for one in held]
        for connection in held:
            pool.release(connection)
    finally:
        os.kill(backend, signal.SIGCONT)
        await database.close()


async def test_arguments_that_cannot_be_sent_leave_no_half_sent_statement(
    pools: Database, place: Deployment
) -> None:
    with pytest.raises(asyncpg.DataError) as refused:
        await run(pools, "select count(*) from tools where sort_order = $1::int", "no number")
    assert not answered(refused.value)
    async with superuser(place) as connection, asyncio.timeout(10):
        held = "select count(*) from pg_locks where relation = 'tools'::regclass"
        while await connection.fetchval(held):  # noqa: ASYNC110 -- only Postgres knows
            await asyncio.sleep(0.05)


async def test_a_refusal_by_postgres_keeps_the_connection(pools: Database) -> None:
    backend = await run(pools, BACKEND)
    with pytest.raises(asyncpg.DivisionByZeroError) as refused:
        await run(pools, "select 1 / $1::int", 0)
    assert answered(refused.value)
    assert not cannot_serve(refused.value)
    assert await run(pools, BACKEND) == backend


async def test_when_postgres_has_no_connection_to_spare(pools: Database, place: Deployment) -> None:
    await end_connections(place)
    async with superuser(place) as connection:
        await connection.execute("alter role authenticated connection limit 1")
    try:
        pool = pools.pools["authenticated"]
        only = await pool.acquire()
        with pytest.raises(DomainError) as refused:
            await pool.acquire()
        assert refused.value.code is ErrorCode.SERVICE_UNAVAILABLE
        assert isinstance(refused.value.__cause__, asyncpg.TooManyConnectionsError)
        pool.release(only)
        assert await run(pools, "select 1") == 1
    finally:
        async with superuser(place) as connection:
            await connection.execute("alter role authenticated connection limit -1")


@pytest.mark.parametrize("sqlstate", ["53100", "53200", "53400", "58030"])
async def test_a_shortage_passes_and_is_no_fault_of_the_request(
    pools: Database, place: Deployment, sqlstate: str
) -> None:
    backend = await run(pools, BACKEND)
    shortage = f"do $$ begin raise sqlstate '{sqlstate}' using message = 'short'; end $$"
    with pytest.raises(asyncpg.PostgresError) as short:
        await run(pools, shortage)
    assert short.value.sqlstate == sqlstate
    assert cannot_serve(short.value)
    assert await run(pools, BACKEND) == backend


async def test_a_restarted_database_is_found_again(pools: Database, place: Deployment) -> None:
    work = asyncio.create_task(in_transaction(pools, SLEEP))
    await until_asleep(place)
    await asyncio.to_thread(place.cluster.stop)
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)) as lost:
        await work
    assert connection_lost(lost.value)
    for _ in range(5):
        with pytest.raises(DomainError) as refused:
            await run(pools, "select 1")
        assert refused.value.code is ErrorCode.SERVICE_UNAVAILABLE
    await asyncio.to_thread(place.restart)
    assert await run(pools, "select 1") == 1


@pytest.mark.parametrize(
    "rounds", [20, pytest.param(3000, marks=[pytest.mark.nightly, pytest.mark.timeout(1200)])]
)
async def test_no_mixture_of_faults_costs_the_pool_any_room(
    pools: Database, place: Deployment, rounds: int
) -> None:
    chance = random.Random(rounds)
    ways = (
        lambda: run(pools, "select 1"),
        lambda: run(pools, "select 1 / 0"),
        lambda: run(pools, "select $1::int", "no number"),
        lambda: run(pools, "select pg_sleep(0.02)::text"),
        lambda: in_transaction(pools, "select 1"),
        lambda: in_transaction(pools, "select 1 / 0"),
        lambda: in_transaction(pools, "select pg_sleep(0.02)::text"),
    )
    outcomes = 0
    for _ in range(rounds):
        work = [asyncio.create_task(chance.choice(ways)()) for _ in range(12)]
        await asyncio.sleep(chance.random() * 0.02)
        for task in chance.sample(work, 3):
            task.cancel()
        if chance.random() < 0.2:
            await end_connections(place)
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            expected = (asyncio.CancelledError, asyncpg.DivisionByZeroError, asyncpg.DataError)
            assert (
                not isinstance(outcome, BaseException)
                or isinstance(outcome, expected)
                or cannot_serve(outcome)
                or code_of(outcome) is ErrorCode.SERVICE_UNAVAILABLE
            ), repr(outcome)
            outcomes += 1
        await assert_whole(pools)
    assert outcomes == rounds * 12


async def test_a_start_without_a_database_says_where_it_looked(migrated: Deployment) -> None:
    with pytest.raises(UnreachableDatabaseError, match=r"127\.0\.0\.1:1/nowhere as anon"):
        await Database.connect(
            "postgresql://127.0.0.1:1/nowhere", migrated.settings, timeout_seconds=0
        )


async def test_a_start_with_a_wrong_password_fails_at_once_and_hides_it(
    migrated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = uuid4().hex
    monkeypatch.setenv("DATABASE_ANON_PASSWORD", secret)
    with pytest.raises(UnreachableDatabaseError, match="as anon") as refused:
        await Database.connect(migrated.owner_url, migrated.settings)
    assert secret not in str(refused.value)


async def test_a_start_waits_for_a_database_that_is_starting(migrated: Deployment) -> None:
    await asyncio.to_thread(migrated.cluster.stop)
    connecting = asyncio.create_task(Database.connect(migrated.owner_url, migrated.settings))
    await asyncio.sleep(0.3)
    assert not connecting.done()
    await asyncio.to_thread(migrated.restart)
    database = await connecting
    async with database.transaction(SERVICE) as transaction:
        assert await transaction.fetch_value(text("select current_user")) == "service"
    await database.close()


async def test_a_start_goes_on_when_the_database_ends_its_connection(
    migrated: Deployment, pools: Database
) -> None:
    """A database may restart at any moment of a start, not only before the first connection."""
    bus = WakeBus.memory()
    server = Server(migrated.settings, pools, open_storage(migrated.settings), bus)
    async with superuser(migrated) as blocker:
        waits = blocker.transaction()
        await waits.start()
        await blocker.execute("lock upload_terms")
        start = asyncio.create_task(server.start())
        try:
            ended = await ended_waiting(migrated, blocker)
        finally:
            await waits.rollback()
    assert ended == 1
    await start
    await server.stop()


async def ended_waiting(place: Deployment, blocker: asyncpg.Connection) -> int:
    """Ends, once there is one, the backend that waits for the blocker; returns how many it ended."""
    async with superuser(place) as connection, asyncio.timeout(20):
        while True:
            ended: int = await connection.fetchval(
                "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
                " where $1 = any (pg_blocking_pids(pid))",
                blocker.get_server_pid(),
            )
            if ended:
                return ended
            await asyncio.sleep(0.02)
