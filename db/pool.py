"""Connections to Postgres: one pool per LOGIN role, and transactions that carry their actor."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import asyncpg
import orjson
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.elements import ClauseElement

from db.actor import Actor, Role
from db.errors import DomainError, ErrorCode
from settings import ROLES, Settings

ACQUIRE_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0
PREPARED_LIMIT = 500
UNSAFE_ROLE_SQL = """
select r.rolname from pg_roles r
where r.rolname = current_user and (
    r.rolsuper or r.rolbypassrls
    or exists (select from pg_class c where c.relowner = r.oid)
    or exists (select from pg_auth_members m where m.member = r.oid))
"""

_dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]
_compiled: WeakKeyDictionary[ClauseElement, tuple[str, list[str], dict[str, Any]]] = (
    WeakKeyDictionary()
)


class UnsafeRoleError(Exception):
    """A role that the server logs in as could climb over row-level security."""


def connection_lost(error: BaseException) -> bool:
    """Whether the connection itself is gone: a dead backend, or a server that is shutting down."""
    if isinstance(error, asyncpg.PostgresError):
        # 08: connection exceptions; 57P: the server was told to stop (PostgreSQL, appendix A).
        return (error.sqlstate or "").startswith(("08", "57P"))
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)


def unavailable() -> DomainError:
    """The database cannot be reached or has no connection to spare."""
    return DomainError(
        ErrorCode.SERVICE_UNAVAILABLE, "The database is busy or restarting. Try again in a moment."
    )


def compiled(statement: ClauseElement) -> tuple[str, list[str], dict[str, Any]]:
    """A Core statement as Postgres text, its parameters' names in order, and their defaults."""
    found = _compiled.get(statement)
    if found is None:
        result = statement.compile(dialect=_dialect, compile_kwargs={"render_postcompile": True})
        names = list(result.positiontup or ())  # type: ignore[attr-defined]
        found = (str(result), names, dict(result.params))
        _compiled[statement] = found
    return found


class PooledConnection:
    """One asyncpg connection with the statements prepared on it."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self.raw = raw
        self._prepared: dict[str, Any] = {}

    async def fetch_value(self, sql: str, arguments: list[Any] | tuple[Any, ...]) -> Any:
        """The first column of the first row of a statement that is prepared once."""
        statement = self._prepared.get(sql)
        if statement is None:
            if len(self._prepared) >= PREPARED_LIMIT:
                self._prepared.pop(next(iter(self._prepared)))
            statement = self._prepared[sql] = await self.raw.prepare(sql)
        return await statement.fetchval(*arguments)


class Pool:
    """Connections of one role, the most recently used first so that few stay warm."""

    def __init__(self, connect: Callable[[], Any], size: int) -> None:
        self._connect = connect
        self._size = size
        self._free: list[PooledConnection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[PooledConnection | None]] = deque()
        self._closed = False

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
            return PooledConnection(await self._connect())
        except BaseException as error:
            self._open -= 1
            self._hand_over(None)
            if isinstance(error, OSError | asyncpg.PostgresError | TimeoutError):
                raise unavailable() from error
            raise

    async def _wait_until(self, deadline: float) -> PooledConnection | None:
        """The next connection given back; nothing when there is only room to open one."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[PooledConnection | None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_at(deadline, _give_up, waiter)
        try:
            return await waiter
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # given to a task that was cancelled meanwhile
            raise
        finally:
            timer.cancel()

    def _pass_on(self, given: PooledConnection | None) -> None:
        if given is None:
            self._hand_over(None)
        else:
            self.release(given)

    def _hand_over(self, given: PooledConnection | None) -> bool:
        """Gives a connection, or the room for one, to who has waited longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
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


def _give_up(waiter: asyncio.Future[PooledConnection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(unavailable())


class Lease:
    """A pool's connection for one block. A class, because a generator costs twice as much."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> PooledConnection:
        self._connection = await self._pool.acquire()
        return self._connection

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        lost = error is not None and connection_lost(error)
        answered = error is None or isinstance(error, asyncpg.PostgresError | DomainError)
        self._pool.release(self._connection, broken=lost or not answered)
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


async def set_codecs(raw: asyncpg.Connection) -> None:
    """Answers come as the bytes Postgres wrote; jsonb parameters and columns are Python values."""
    await raw.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )
    await raw.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
        format="text",
    )


def role_url(url: str, role: str, password: str) -> str:
    """The URL of a role at the place that `url` names, its options (such as TLS) kept."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{place}"))


class Database:
    """The pools of one process: `anon`, `authenticated` and `service`."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._settings = settings
        self._url = url
        self.pools: dict[Role, Pool] = {
            role: Pool(self._connector(role), settings.pool_size)
            for role in ("anon", "authenticated", "service")
        }

    def _connector(self, role: str) -> Callable[[], Any]:
        dsn = role_url(self._url, role, self._settings.secret(f"database-{role}-password"))

        async def connect() -> asyncpg.Connection:
            raw = await asyncpg.connect(
                dsn,
                timeout=CONNECT_TIMEOUT_SECONDS,
                statement_cache_size=PREPARED_LIMIT,
                server_settings={"application_name": "tallygraph"},
            )
            await set_codecs(raw)
            return raw

        return connect

    @classmethod
    async def connect(cls, url: str, settings: Settings) -> Self:
        """Opens the pools and refuses roles that could see past row-level security."""
        database = cls(url, settings)
        try:
            for role in ROLES:
                async with database.pools[role].connection() as connection:  # type: ignore[index]
                    unsafe = await connection.raw.fetchval(UNSAFE_ROLE_SQL)
                if unsafe:
                    raise UnsafeRoleError(
                        f"The role {unsafe} owns tables, bypasses row-level security, is a "
                        "superuser or is a member of another role. Make it a plain LOGIN role."
                    )
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Closes all pools."""
        for pool in self.pools.values():
            await pool.close()

    @asynccontextmanager
    async def transaction(self, actor: Actor) -> AsyncIterator[Transaction]:
        """One transaction as the actor's role, with their claims, committed when the block ends."""
        async with self.pools[actor.role].connection() as connection, connection.raw.transaction():
            await connection.fetch_value(
                "select set_config('app.user_id', $1, true)", (actor.user_claim,)
            )
            yield Transaction(connection)
