"""A bare ASGI application over asyncpg that runs the same statement for each request.

What a careful author would write by hand for exactly these operations: no GraphQL, no signatures
to check, statements prepared once on connections that are handed out last in, first out. Its
sign-in is argon2 alone: it compares the password with a fixed hash and touches no database.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn
import uvloop

from auth.passwords import PasswordHasher
from db.core.codecs import set_codecs
from db.core.pool import role_url

HEADERS = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-request-id", b"0123456789abcdef"),
]
Argument = Callable[[UUID, dict[str, Any]], Any]


def reader(argument: list[Any]) -> Argument:
    """How one argument of a statement is computed from the user and the request's variables."""
    match argument:
        case ["constant", value]:
            return lambda _user, _variables: value
        case ["input", name]:
            return lambda _user, variables: variables["input"][name]
        case ["key", name]:
            return lambda _user, variables: UUID(variables["input"][name].partition("_")[2])
        case ["user id"]:
            return lambda user, _variables: user
        case ["user claim"]:
            return lambda user, _variables: str(user)
    raise ValueError(argument)


class Connection:
    """A connection on which every statement is prepared once."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self._raw = raw
        self._prepared: dict[str, Any] = {}

    @classmethod
    async def open(cls, place: str) -> Connection:
        """Connects."""
        raw = await asyncpg.connect(place)
        await set_codecs(raw)
        return cls(raw)

    async def fetch_value(self, sql: str, arguments: list[Any]) -> bytes:
        """The first column of the first row."""
        statement = self._prepared.get(sql)
        if statement is None:
            # Not sooner: the server's clock for a statement starts when it is prepared.
            statement = self._prepared[sql] = await self._raw.prepare(sql)
        value: bytes = await statement.fetchval(*arguments)
        return value


class Pool:
    """Connections that are handed out last in, first out."""

    def __init__(self) -> None:
        self._free: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()

    async def open(self, config: dict[str, Any], role: str, password: str) -> None:
        """Opens all of them."""
        url = role_url(config["url"], role, password)
        for _ in range(config["pool_size"]):
            self._free.append(await Connection.open(url))

    async def fetch_value(self, sql: str, arguments: list[Any]) -> bytes:
        """The first column of the first row."""
        connection = await self._acquire()
        try:
            return await connection.fetch_value(sql, arguments)
        finally:
            self._release(connection)

    async def _acquire(self) -> Connection:
        if self._free:
            return self._free.pop()
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return await waiter

    def _release(self, connection: Connection) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(connection)
        else:
            self._free.append(connection)


class Bare:
    """The application."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._users = {
            f"Bearer {token}".encode(): UUID(user) for token, user in config["users"].items()
        }
        self._statements = config["statements"]
        self._readers = {
            document: [reader(argument) for argument in statement["arguments"]]
            for document, statement in config["statements"].items()
        }
        self._sign_in = config["sign_in"]
        self._password_hash = config["password_hash"]
        self._passwords = PasswordHasher()
        self._pool = Pool()

    async def start(self) -> None:
        """Opens all connections."""
        await self._pool.open(self._config, "authenticated", self._config["password"])

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers one request."""
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        request = orjson.loads(body)
        document, variables = request["query"], request.get("variables")
        answer = await self.answer(document, variables, scope)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    async def answer(
        self, document: str, variables: dict[str, Any] | None, scope: dict[str, Any]
    ) -> bytes:
        """The body of an answer."""
        if document == self._sign_in:
            assert variables is not None
            return await self._verify(variables["input"]["password"])
        user = self._users[dict(scope["headers"])[b"authorization"]]
        return await self._run(document, variables, user)

    async def _verify(self, password: str) -> bytes:
        verified = await self._passwords.verify(self._password_hash, password)
        return b'{"data":{"signIn":%s}}' % (b"true" if verified.ok else b"null")

    async def _run(self, document: str, variables: dict[str, Any] | None, user: UUID) -> bytes:
        arguments = [read(user, variables or {}) for read in self._readers[document]]
        answer = await self._pool.fetch_value(self._statements[document]["sql"], arguments)
        if variables is None:
            return b'{"data":' + answer + b"}"
        return b'{"data":{"spendCredits":' + answer + b"}}"


async def serve(application: Any, port: int) -> None:
    """Serves an application the way our own server is served."""
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            port=port,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=65,
        )
    )
    await server.serve()


async def main(application: Bare, config: dict[str, Any]) -> None:
    """Serves until it is told to stop."""
    await application.start()
    await serve(application, config["port"])


def run(application: type[Bare]) -> None:
    """Serves with the configuration that the command names."""
    config = orjson.loads(Path(sys.argv[1]).read_bytes())
    asyncio.run(main(application(config), config), loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    run(Bare)
