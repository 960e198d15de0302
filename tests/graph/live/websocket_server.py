"""A real server on a free port that speaks for a source of operations made for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode, bad_input
from graph.engine.execution.subscriptions import Item, SendNow
from graph.live.clients import ClientLimits, Clients
from graph.live.subscriptions import SlowConsumer
from graph.live.transport import GraphQLWebSocket
from graph.live.websocket import RequestErrors
from server.uvicorn_protocol import DeadlineHttpProtocol
from server.uvicorn_websocket import FlushOrAbortProtocol

ALICE = Actor("authenticated", user_id=uuid4(), session_id=uuid4())
BOB = Actor("authenticated", user_id=uuid4(), session_id=uuid4())
SUBPROTOCOL = "graphql-transport-ws"


class Source:
    """Operations named by their document's text."""

    def __init__(self) -> None:
        self.tokens = {"Bearer alice": ALICE, "Bearer bob": BOB}
        self.revoked: set[UUID] = set()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.database_is_away = False
        self.sent_past = 0
        self.was_held_back = asyncio.Event()

    async def authenticate(self, authorization: str | None, address: str = "") -> Actor:
        if authorization is None:
            return NOBODY
        if self.database_is_away:
            raise DomainError(ErrorCode.SERVICE_UNAVAILABLE, "Try again soon.")
        if authorization not in self.tokens:
            raise DomainError(ErrorCode.UNAUTHENTICATED, "The access token is not valid.")
        return self.tokens[authorization]

    def admit(self, actor: Actor) -> None:
        """Nothing is counted."""

    def is_revoked(self, revocable_id: UUID) -> bool:
        return revocable_id in self.revoked

    async def execute(
        self,
        payload: dict[str, Any],
        actor: Callable[[], Actor],
        send_now: SendNow | None = None,
        **_options: Any,
    ) -> AsyncIterator[Item]:
        name = payload["query"]
        try:
            match name:
                case "whoami":
                    yield Item(orjson.dumps({"data": {"user": str(actor().user_id)}}))
                case "three":
                    for number in range(3):
                        yield Item(b'{"data": {"n":  %d}}' % number)
                case "refused":
                    raise RequestErrors([{"message": "no such field"}])
                case "domain":
                    raise bad_input("wrong", "after")
                case "crash":
                    raise ConnectionRefusedError("secret detail")
                case "slow":
                    yield Item(b'{"data":1}')
                    raise SlowConsumer("too slow")
                case "flood":
                    while True:
                        yield Item(b'{"data":"' + b"x" * 500_000 + b'"}')
                case "mixed":
                    assert send_now is not None
                    assert send_now(b'{"data":0}')
                    assert send_now(b'{"data":1}')
                    yield Item(b'{"data":2}')
                    assert send_now(b'{"data":3}')
                    raise SlowConsumer("enough")
                case "past":
                    assert send_now is not None
                    while send_now(b'{"data":%d}' % self.sent_past + b" " * 50_000):
                        self.sent_past += 1
                        await asyncio.sleep(0)
                    self.was_held_back.set()
                    yield Item(b'{"data":"rest"}')
                case _:
                    yield Item(b'{"data":"first"}')
                    await asyncio.Event().wait()
        finally:
            self.ended.put_nowait(name)


class Server:
    """The endpoint under test, and the ways to reach it."""

    def __init__(
        self, source: Source, clients: Clients, port: int, connections: Collection[Any]
    ) -> None:
        self.source = source
        self.clients = clients
        self.connections = connections
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/graphql"

    def connect(self, *subprotocols: str, **options: Any) -> connect:
        offered = [Subprotocol(name) for name in subprotocols or (SUBPROTOCOL,)]
        return connect(self.url, subprotocols=offered, proxy=None, **options)


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The test runner keeps its own signal handlers."""
        yield


@contextlib.asynccontextmanager
async def run_uvicorn(
    config: uvicorn.Config, listener: socket.socket | None = None
) -> AsyncIterator[tuple[int, Collection[Any]]]:
    """Its port, and the connections it holds."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = _Uvicorn(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def serving(
    limits: ClientLimits | None = None,
    is_origin_allowed: Callable[[str | None], bool] | None = None,
) -> AsyncIterator[Server]:
    source = Source()
    options: dict[str, Any] = {}
    if is_origin_allowed:
        options["is_origin_allowed"] = is_origin_allowed
    clients = Clients(limits or ClientLimits(), sweep_seconds=0.05)
    endpoint = GraphQLWebSocket(source, clients, **options)
    config = uvicorn.Config(
        endpoint,
        lifespan="off",
        log_level="warning",
        http=DeadlineHttpProtocol,
        ws=FlushOrAbortProtocol,
        ws_per_message_deflate=False,
        proxy_headers=False,
    )
    async with run_uvicorn(config) as (port, connections):
        yield Server(source, clients, port, connections)
        await clients.shutdown()


async def say(client: ClientConnection, **message: Any) -> None:
    await client.send(orjson.dumps(message).decode())


async def hear(client: ClientConnection) -> Any:
    async with asyncio.timeout(5):
        return orjson.loads(await client.recv())


async def initialise(client: ClientConnection, token: str | None = None) -> None:
    payload = {"Authorization": token} if token else None
    await say(client, type="connection_init", payload=payload)
    assert await hear(client) == {"type": "connection_ack"}


async def closing(client: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the server closes, whatever comes before."""
    async with asyncio.timeout(10):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""
