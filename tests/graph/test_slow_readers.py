"""A client that does not read what it asked for is dropped, however it asked."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest
import uvicorn

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import generation_path, open_storage
from graph.live.bus import WakeBus
from graph.uploads import links
from server.app import Server
from server.uvicorn_protocol import DeadlineHttpProtocol
from server.uvicorn_websocket import FlushOrAbortProtocol
from settings import Settings

from ..conftest import MakeUser
from .live.websocket_server import run_uvicorn

HASTE = 0.5  # seconds, where the real ones would be twenty
ROWS = 28
LARGE = "{ viewer { profiles(first: 100) { nodes { analysis } } } }"
# More than the buffers of both ends take.
FILE_BYTES = 12_000_000


class HastyProtocol(DeadlineHttpProtocol):
    """The same with shorter timeouts."""

    reader_seconds = HASTE


class HastySockets(FlushOrAbortProtocol):
    """The same with shorter timeouts."""

    reader_seconds = HASTE


@dataclass
class ServedUser:
    """A server in this process, and somebody who has much to read."""

    server: Server
    port: int
    connections: Collection[Any]
    user: Actor
    path: str

    @property
    def token(self) -> bytes:
        assert self.user.user_id
        tokens = self.server.services.tokens
        issued = tokens.issue(self.user.user_id, uuid4(), is_anonymous=False, is_admin=False)
        return issued.token.encode()


Request = Callable[[ServedUser], bytes]


@pytest.fixture
async def served(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[ServedUser]:
    user = await make_user()
    assert user.user_id
    await owner.execute(
        "insert into profiles (user_id, analysis) select $1, jsonb_build_object('a', repeat('x', 262000))"
        " from generate_series(1, $2)",
        user.user_id,
        ROWS,
    )
    storage = open_storage(settings)
    path = generation_path(user.user_id, uuid4(), "image/jpeg")
    await storage.put(path, bytes(FILE_BYTES))
    roomy = settings.model_copy(update={"answer_user_bytes": 32_000_000})
    server = Server(roomy, database, storage, WakeBus.memory())
    await server.start()
    config = uvicorn.Config(
        server.app,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        http=HastyProtocol,
        ws=HastySockets,
        ws_per_message_deflate=False,
        proxy_headers=False,
    )
    async with run_uvicorn(config) as (port, connections):
        yield ServedUser(server, port, connections, user, path)
        await server.clients.shutdown()
    await server.stop()


def posted(served: ServedUser, *more: bytes) -> bytes:
    body = orjson.dumps({"query": LARGE})
    head = [
        b"POST /graphql HTTP/1.1",
        b"host: test",
        b"authorization: Bearer " + served.token,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *more,
    ]
    return b"\r\n".join([*head, b"", body])


def streamed(served: ServedUser) -> bytes:
    return posted(served, b"accept: text/event-stream")


def closing(served: ServedUser) -> bytes:
    return posted(served, b"connection: close")


def downloaded(served: ServedUser) -> bytes:
    url = links().signer.sign_url("GET", served.path, time.time() + 600, "image/jpeg")
    target = url.partition("/files/")[2].encode()
    return b"GET /files/" + target + b" HTTP/1.1\r\nhost: test\r\n\r\n"


def over_a_socket(served: ServedUser) -> bytes:
    head = [
        b"GET /graphql HTTP/1.1",
        b"host: test",
        b"authorization: Bearer " + served.token,
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"sec-websocket-protocol: graphql-transport-ws",
    ]
    return b"\r\n".join([*head, b"", b""])


# What is said once a socket is open.
MESSAGES: list[Any] = [
    {"type": "connection_init"},
    {"type": "subscribe", "id": "1", "payload": {"query": LARGE}},
]


def masked(message: Any) -> bytes:
    """A client's text frame; its mask is zero."""
    payload = orjson.dumps(message)
    assert len(payload) < 126
    return b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload


def narrow_socket(port: int) -> socket.socket:
    """A connection that has little room for what was not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made


async def gone(connections: Collection[Any]) -> None:
    """Waits until the server has given its connections up."""
    async with asyncio.timeout(20):
        while connections:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("request_of", [posted, closing, streamed, over_a_socket, downloaded])
async def test_who_reads_nothing_is_dropped(served: ServedUser, request_of: Request) -> None:
    loop = asyncio.get_running_loop()
    clients = [narrow_socket(served.port) for _ in range(3)]
    for client in clients:
        await loop.sock_sendall(client, request_of(served))
    if request_of is over_a_socket:
        for client in clients:
            assert b" 101 " in await loop.sock_recv(client, 4096)
            await loop.sock_sendall(client, b"".join(masked(one) for one in MESSAGES))
    async with asyncio.timeout(20):
        while len(served.connections) < len(clients):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answers = served.server.services.answers
    if request_of is not downloaded:
        async with asyncio.timeout(20):
            while not answers.held_bytes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await gone(served.connections)
    async with asyncio.timeout(5):
        while answers.held_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for client in clients:
        received = 0
        with suppress(ConnectionResetError):
            while chunk := await loop.sock_recv(client, 1_000_000):
                received += len(chunk)
        assert received < ROWS * 262_000
        client.close()


async def test_who_has_not_read_gets_no_more_but_what_is_small(
    served: ServedUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.shared.answer_memory.WAIT_SECONDS", 0.05)
    answers = served.server.services.answers
    held = await answers.enter(served.user.user_id, "elsewhere", answers.user_bytes)
    headers = {"authorization": f"Bearer {served.token.decode()}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=20
    ) as http:
        refused = await http.post("/graphql", json={"query": LARGE})
        (error,) = refused.json()["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        small = await http.post("/graphql", json={"query": "{ viewer { id } }"})
        assert small.json()["data"]["viewer"]["id"]
        held.leave()
        whole = await http.post("/graphql", json={"query": LARGE})
        assert len(whole.json()["data"]["viewer"]["profiles"]["nodes"]) == ROWS
    assert answers.held_bytes == 0


@pytest.mark.parametrize("request_of", [closing, streamed])
async def test_who_reads_slowly_gets_all(served: ServedUser, request_of: Request) -> None:
    loop = asyncio.get_running_loop()
    client = narrow_socket(served.port)
    await loop.sock_sendall(client, request_of(served))
    received = 0
    started = loop.time()
    while chunk := await loop.sock_recv(client, 100_000):
        received += len(chunk)
        if loop.time() - started < 3 * HASTE:
            await asyncio.sleep(HASTE / 10)
    assert received > ROWS * 262_000
    client.close()
