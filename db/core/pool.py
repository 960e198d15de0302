"""Connections to Postgres: one pool per LOGIN role, and transactions that carry their actor."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import structlog
from sqlalchemy import Executable
from sqlalchemy.sql.elements import ClauseElement

from db.core.actor import Actor, Role
from db.core.codecs import set_codecs
from db.core.compiling import compiled
from db.core.errors import DomainError
from db.core.outages import answered, cannot_serve, connection_lost, passes_soon, unavailable
from db.core.roles import check_role
from settings import Settings, SettingsError

ACQUIRE_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0
# How long an answer may stay out after the statement timeout before its connection is given up:
# a machine that vanished says nothing, not even that it is gone.
SILENCE_SECONDS = 2.0
START_TIMEOUT_SECONDS = 30.0
START_RETRY_SECONDS = 0.5
PREPARED_LIMIT = 500
PROBE_NAME = "tallygraph_probe"

log = structlog.get_logger("tallygraph.db")
# Like no other process's: a name that means another statement elsewhere could set a wrong claim.
_STATEMENT_PREFIX = f"tallygraph_{secrets.token_hex(8)}_"
_statement_numbers = count(1)


class UnreachableDatabaseError(Exception):
    """The server could not log in to its database when it started; the message says why."""


class PooledConnection:
    """One asyncpg connection with the statements prepared on it.

    Not `named`, a statement is parsed anew each time it runs, in the same message that runs it: a
    pooler may have moved the connection to another server process. What asyncpg learned of its
    parameters stays known, so it is still one round trip.
    """

    def __init__(self, raw: asyncpg.Connection, *, named: bool = True) -> None:
        self.raw = raw
        self._named = named
        self._prepared: dict[str, Any] = {}

    async def fetch_value(self, sql: str, arguments: list[Any] | tuple[Any, ...]) -> Any:
        """The first column of the first row of a statement that is prepared once."""
        statement = self._prepared.get(sql) or await self._prepare(sql)
        return await statement.fetchval(*arguments)

    async def fetch_rows(
        self, sql: str, arguments: tuple[Any, ...], timeout_seconds: float
    ) -> list[asyncpg.Record]:
        """Every row of a statement that is prepared once."""
        statement = self._prepared.get(sql) or await self._prepare(sql, timeout_seconds)
        rows: list[asyncpg.Record] = await statement.fetch(*arguments, timeout=timeout_seconds)
        return rows

    async def _prepare(self, sql: str, timeout_seconds: float | None = None) -> Any:
        if len(self._prepared) >= PREPARED_LIMIT:
            self._prepared.pop(next(iter(self._prepared)))
        name = f"{_STATEMENT_PREFIX}{next(_statement_numbers)}" if self._named else ""
        statement = await self.raw.prepare(sql, name=name, timeout=timeout_seconds)
        self._prepared[sql] = statement
        return statement


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """Who waits for a connection, or for the room to open one, and until when."""

    deadline: float
    given: asyncio.Future[PooledConnection | None]


class Pool:
    """Connections of one role, the most recently used first so that few stay warm."""

    def __init__(self, connect: Callable[[], Awaitable[PooledConnection]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._free: list[PooledConnection] = []
        self._open = 0
        # In the order of their deadlines, which one timer watches: one each would cost every wait.
        self._waiting: deque[_Waiter] = deque()
        self._wait_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> PooledConnection | None:
        """A connection that is free now; nothing when one must be opened or waited for."""
        if not self._free or self._free[-1].raw.is_closed():
            return None
        return self._free.pop()

    async def acquire(self) -> PooledConnection:
        """A connection; `SERVICE_UNAVAILABLE` when none comes free within two seconds."""
        deadline = asyncio.get_running_loop().time() + ACQUIRE_TIMEOUT_SECONDS
        while not self._closed:
            while self._free:
                connection = self._free.pop()
                if not connection.raw.is_closed():
                    return connection
                self._open -= 1
            if self._open < self._size:
                return await self._opened()
            given = await self._wait_until(deadline)
            if given is not None:
                return given
        raise unavailable()

    async def _opened(self) -> PooledConnection:
        self._open += 1
        try:
            return await self._connect()
        except BaseException as error:
            self._open -= 1
            self._hand_over(None)
            if isinstance(error, OSError | asyncpg.PostgresError):
                log.warning("database.no_connection", error=error)
                raise unavailable() from error
            raise

    async def _wait_until(self, deadline: float) -> PooledConnection | None:
        """The next connection given back; nothing when there is only room to open one."""
        waiter = _Waiter(deadline, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if self._wait_timer is None:
            self._watch(deadline)
        try:
            return await waiter.given
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            given = waiter.given
            if given.done() and not given.cancelled() and given.exception() is None:
                self._pass_on(given.result())  # given to a task that was cancelled meanwhile
            raise

    def _watch(self, deadline: float) -> None:
        self._wait_timer = asyncio.get_running_loop().call_at(deadline, self._refuse_overdue)

    def _refuse_overdue(self) -> None:
        self._wait_timer = None
        now = asyncio.get_running_loop().time()
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.given.done():
                if waiter.deadline > now:
                    self._watch(waiter.deadline)
                    return
                waiter.given.set_exception(unavailable())
            self._waiting.popleft()

    def _pass_on(self, given: PooledConnection | None) -> None:
        if given is None:
            self._hand_over(None)
        else:
            self.release(given)

    def _hand_over(self, given: PooledConnection | None) -> bool:
        """Gives a connection, or the room for one, to who has waited longest."""
        while self._waiting:
            waiter = self._waiting.popleft().given
            if not waiter.done():
                waiter.set_result(given)
                return True
        return False

    def release(self, connection: PooledConnection, *, broken: bool = False) -> None:
        """Gives a connection back; a broken one, or one left inside a transaction, is dropped."""
        if (
            broken
            or self._closed
            or connection.raw.is_closed()
            or connection.raw.is_in_transaction()
        ):
            connection.raw.terminate()
            self._open -= 1
            self._hand_over(None)
        elif not self._hand_over(connection):
            self._free.append(connection)

    def drop_free(self) -> None:
        """When one connection died, those that lie idle most likely died with it."""
        while self._free:
            self._free.pop().raw.terminate()
            self._open -= 1

    def usage(self) -> tuple[int, int]:
        """How many connections are open, and how many of them are free."""
        return self._open, len(self._free)

    async def close(self) -> None:
        """Closes what is free; what is in use closes when it is released."""
        self._closed = True
        while self._free:
            connection = self._free.pop()
            self._open -= 1
            with suppress(Exception):
                await connection.raw.close(timeout=2)

    def connection(self) -> Lease:
        """A connection for a block; anything but an answer from Postgres makes it suspect."""
        return Lease(self)


class Lease:
    """A pool's connection for one block. A class, because a generator costs twice as much."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> PooledConnection:
        self._connection = self._pool.take() or await self._pool.acquire()
        return self._connection

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        lost = error is not None and connection_lost(error)
        clean = error is None or (answered(error) and not lost)
        self._pool.release(self._connection, broken=not clean)
        if lost:
            self._pool.drop_free()


class Transaction:
    """A transaction under an actor's claims; it takes Core statements and `text()` alike."""

    def __init__(self, connection: PooledConnection) -> None:
        self.pooled = connection
        self.connection: asyncpg.Connection = connection.raw

    @staticmethod
    def _arguments(statement: Executable, given: dict[str, Any]) -> tuple[str, list[Any]]:
        assert isinstance(statement, ClauseElement)
        sql, names, defaults = compiled(statement)
        return sql, [given.get(name, defaults.get(name)) for name in names]

    async def fetch_all(self, statement: Executable, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        sql, arguments = self._arguments(statement, parameters)
        return list(await self.connection.fetch(sql, *arguments))

    async def fetch_one(self, statement: Executable, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or nothing."""
        sql, arguments = self._arguments(statement, parameters)
        return await self.connection.fetchrow(sql, *arguments)

    async def fetch_value(self, statement: Executable, **parameters: Any) -> Any:
        """The first column of the first row, or nothing."""
        sql, arguments = self._arguments(statement, parameters)
        return await self.connection.fetchval(sql, *arguments)

    async def execute(self, statement: Executable, **parameters: Any) -> None:
        """Runs a statement for its effect."""
        sql, arguments = self._arguments(statement, parameters)
        await self.connection.execute(sql, *arguments)


def role_url(url: str, role: str, password: str) -> str:
    """The URL of a role at the place that `url` names, its options (such as TLS) kept."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{place}"))


class Database:
    """The pools of one process: `anon`, `authenticated` and `service`."""

    raw_class: ClassVar[type[asyncpg.Connection]] = asyncpg.Connection
    pooled_class: ClassVar[type[PooledConnection]] = PooledConnection

    def __init__(self, url: str, settings: Settings) -> None:
        self._settings = settings
        self._url = url
        self.pools: dict[Role, Pool] = {
            role: Pool(self._connector(role, url, {}), settings.pool_size)
            for role in ("anon", "authenticated", "service")
        }

    def separate_pool(self, role: Role, size: int, **server_settings: str) -> Pool:
        """A pool apart from the requests' and past any PgBouncer; whoever asks for it closes it."""
        url = self._settings.database_direct_url or self._url
        return Pool(self._connector(role, url, server_settings), size)

    def _connector(
        self, role: str, url: str, server_settings: dict[str, str]
    ) -> Callable[[], Awaitable[PooledConnection]]:
        dsn = role_url(url, role, self._settings.secret(f"database-{role}-password"))
        named = self._settings.database_prepared_statements

        async def connect() -> PooledConnection:
            # Its own deadline is not enough: what is asked next has the timeout of statements.
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                raw = await asyncpg.connect(
                    dsn,
                    timeout=CONNECT_TIMEOUT_SECONDS,
                    command_timeout=self._settings.statement_timeout_seconds + SILENCE_SECONDS,
                    statement_cache_size=PREPARED_LIMIT if named else 0,
                    server_settings={"application_name": "tallygraph", **server_settings},
                    connection_class=self.raw_class,
                )
                await set_codecs(raw)
            return self.pooled_class(raw, named=named)

        return connect

    @classmethod
    async def connect(
        cls, url: str, settings: Settings, timeout_seconds: float = START_TIMEOUT_SECONDS
    ) -> Self:
        """Opens the pools, waiting for a database that is starting, and refuses unsafe roles."""
        database = cls(url, settings)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        try:
            for role in database.pools:
                await database._until_deadline(role, database._refuse_unsafe, deadline)
            if settings.database_prepared_statements:
                await database._until_deadline(
                    "service", database._refuse_forgetful_pooler, deadline
                )
        except BaseException:
            await database.close()
            raise
        return database

    async def at_start[Found](
        self,
        work: Callable[[], Awaitable[Found]],
        timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> Found:
        """What a process needs before it serves: done again while the database is away.

        A database may restart at any moment of a start, and not only before the first connection.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while True:
            try:
                return await work()
            except Exception as error:
                refused = isinstance(
                    error.__cause__ or error, asyncpg.InvalidAuthorizationSpecificationError
                )
                if refused or clock() > deadline or not passes_soon(error):
                    raise
            await asyncio.sleep(START_RETRY_SECONDS)

    async def _until_deadline(
        self, role: Role, check: Callable[[Role], Awaitable[None]], deadline: float
    ) -> None:
        try:
            await self.at_start(lambda: check(role), deadline - asyncio.get_running_loop().time())
        except Exception as error:
            if not isinstance(error, DomainError) and not cannot_serve(error):
                raise
            reason = error.__cause__ or error
            raise self._unreachable(role, reason) from reason

    async def _refuse_unsafe(self, role: Role) -> None:
        async with self.pools[role].connection() as connection:
            reach = await check_role(connection.raw, self._settings)
        if reach:
            log.warning("database.role_reaches_further", role=role, reaches=reach)

    async def _refuse_forgetful_pooler(self, role: Role) -> None:
        """A pooler that mixes up its clients' statements would run one of them for another."""
        probes = Pool(self._connector(role, self._url, {}), 2)
        try:
            async with probes.connection() as first, probes.connection() as second:
                one = await first.raw.prepare("select 1", name=PROBE_NAME)
                answers = [await one.fetchval()]
                two = await second.raw.prepare("select 2", name=PROBE_NAME)
                answers += [await two.fetchval(), await one.fetchval(), await two.fetchval()]
        except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
            answers = []
        finally:
            await probes.close()
        if answers != [1, 2, 1, 2]:
            raise SettingsError(
                "DATABASE_URL leads through a pooler that keeps no prepared statements. Set "
                "DATABASE_PREPARED_STATEMENTS=false, or max_prepared_statements in a PgBouncer "
                "1.21 or later."
            )

    def _unreachable(self, role: Role, reason: BaseException) -> UnreachableDatabaseError:
        place = urlsplit(self._url)
        return UnreachableDatabaseError(
            f"Cannot log in to {place.hostname}:{place.port or 5432}{place.path} as {role}: "
            f"{reason}. Check DATABASE_URL and that the database runs; `tallygraph migrate` makes "
            "the roles and sets their passwords."
        )

    async def close(self) -> None:
        """Closes all pools."""
        for pool in self.pools.values():
            await pool.close()

    @asynccontextmanager
    async def transaction(self, actor: Actor) -> AsyncIterator[Transaction]:
        """One transaction as the actor's role, with their claims, committed when the block ends."""
        async with self.pools[actor.role].connection() as connection:
            raw = connection.raw
            try:
                # One message, so one round trip; a claim is a UUID or nothing.
                await raw.execute(
                    f"begin; select set_config('app.user_id', '{actor.user_claim}', true)"
                )
                yield Transaction(connection)
            except BaseException:
                if not raw.is_closed() and raw.is_in_transaction():
                    await raw.execute("rollback")
                raise
            await raw.execute("commit")
