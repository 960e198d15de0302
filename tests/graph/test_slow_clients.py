"""Clients that send slowly are closed, those that leave are forgotten, and others do not notice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
import uvicorn

from graph.engine.execution.engine import Engine
from server.http import GraphQLHttp
from server.services import Services
from server.uvicorn_protocol import (
    HEAD_LIMIT_BYTES,
    HEAD_SECONDS,
    HEADER_LIMIT,
    DeadlineHttpProtocol,
)

from ..running import RunningServer

SLOW_CLIENTS = 200
QUERY = '{"query":"{ tools { id } }"}'
WHOLE = (
    "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
    f"content-length: {len(QUERY)}\r\n\r\n{QUERY}"
).encode()
HASTE = 0.6  # seconds, where the real ones would be ten and thirty
HALF_A_HEAD = b"POST /graphql HTTP/1.1\r\nhost: te"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HastyProtocol(DeadlineHttpProtocol):
    """The same with shorter timeouts."""

    head_seconds = HASTE
    unread_body_seconds = HASTE


@pytest.fixture
async def hasty_url(
    engine: Engine, services: Services, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The GraphQL route behind that protocol, in this process."""
    monkeypatch.setattr("server.http.BODY_TIMEOUT_SECONDS", HASTE)
    app = GraphQLHttp(engine, services)
    config = uvicorn.Config(app, http=HastyProtocol, lifespan="off", log_config=None)  # type: ignore[arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


async def connect(url: str, first: bytes = b"") -> Connection:
    """A raw connection that has sent `first`."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(first)
    await writer.drain()
    return reader, writer


async def closed(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """What the server said before it closed; fails when it did not close."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), seconds)
    return b""


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer on a connection that stays open."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def latencies(url: str, until: float) -> list[float]:
    """How long ordinary queries take, one after the other, until a moment."""
    taken = []
    async with httpx.AsyncClient() as client:
        while time.monotonic() < until:
            started = time.monotonic()
            response = await client.post(
                url + "/graphql", content=QUERY, headers={"content-type": "application/json"}
            )
            taken.append(time.monotonic() - started)
            assert response.status_code == 200, response.text
            assert "errors" not in response.json()
            await asyncio.sleep(0.02)
    return sorted(taken)


async def test_slow_heads_are_closed_and_harm_nobody(server_url: str) -> None:
    before = await latencies(server_url, time.monotonic() + 1)
    started = time.monotonic()
    slow = [await connect(server_url, HALF_A_HEAD) for _ in range(SLOW_CLIENTS)]
    silent = [await connect(server_url) for _ in range(10)]

    async def drip(writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                await asyncio.sleep(1)
                writer.write(b"x")
                await writer.drain()

    dripping = asyncio.gather(*(drip(writer) for _, writer in slow[: SLOW_CLIENTS // 2]))
    during = await latencies(server_url, started + HEAD_SECONDS - 2)
    said = await asyncio.gather(*(closed(reader, HEAD_SECONDS) for reader, _ in slow + silent))
    seconds = time.monotonic() - started
    dripping.cancel()
    print(
        f"\n{SLOW_CLIENTS} slow heads closed after {seconds:.1f} s; "
        f"median {before[len(before) // 2] * 1000:.1f} ms before, "
        f"{during[len(during) // 2] * 1000:.1f} ms meanwhile"
    )
    assert all(b" 408 " in one or one == b"" for one in said)
    assert any(b" 408 " in one for one in said)
    assert HEAD_SECONDS - 1 < seconds < HEAD_SECONDS + 10
    for _, writer in slow + silent:
        writer.close()


async def test_a_kept_connection_owes_its_next_head_in_time(hasty_url: str) -> None:
    reader, writer = await connect(hasty_url, WHOLE)
    assert b" 200 " in await answer(reader)
    await asyncio.sleep(2 * HASTE)  # a pause between requests is allowed
    writer.write(WHOLE + HALF_A_HEAD)
    assert b" 200 " in await answer(reader)
    started = time.monotonic()
    await closed(reader, HASTE + 10)
    assert time.monotonic() - started > HASTE / 2
    writer.close()


async def test_a_head_in_pieces_is_read(hasty_url: str) -> None:
    reader, writer = await connect(hasty_url)
    for start in range(0, len(WHOLE), 25):
        writer.write(WHOLE[start : start + 25])
        await writer.drain()
        await asyncio.sleep(0.01)
    assert b'{"data":' in await answer(reader)
    await asyncio.sleep(2 * HASTE)  # the first head's deadline was for the first head
    writer.write(WHOLE)
    assert b'{"data":' in await answer(reader)
    writer.close()


async def test_a_slow_body_is_closed(hasty_url: str) -> None:
    reader, writer = await connect(hasty_url, WHOLE[:-5])
    started = time.monotonic()
    said = await closed(reader, HASTE * 2 + 10)
    assert b" 408 " in said
    assert time.monotonic() - started > HASTE / 2
    writer.close()


async def test_a_refused_body_does_not_keep_its_connection(hasty_url: str) -> None:
    head = (
        b"POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\n"
        b"content-length: 1000000\r\n\r\n"
    )
    reader, writer = await connect(hasty_url, head)
    assert b" 415 " in await answer(reader)

    async def drip() -> None:
        with suppress(OSError):
            while True:
                await asyncio.sleep(HASTE / 3)
                writer.write(b"x")
                await writer.drain()

    dripping = asyncio.create_task(drip())
    await closed(reader, HASTE + 10)
    dripping.cancel()
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n" + b"x-a: b\r\n" * (HEADER_LIMIT + 1) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nx-a: " + b"b" * (HEAD_LIMIT_BYTES + 1) + b"\r\n\r\n",
        b"GET /" + b"a" * (HEAD_LIMIT_BYTES + 1) + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx-a: " + b"b" * (HEAD_LIMIT_BYTES + 1),
    ],
    ids=["many headers", "a long header", "a long path", "a header without an end"],
)
async def test_a_long_head_is_refused(server_url: str, head: bytes) -> None:
    reader, writer = await connect(server_url)
    with suppress(OSError):
        writer.write(head)
        await writer.drain()
    said = await closed(reader, 5)
    assert b" 431 " in said or said == b""
    writer.close()


async def test_a_client_that_leaves_cancels_its_query(server: RunningServer) -> None:
    """The query waits for a lock; once the client has left, no session waits for it any more."""
    owner = await asyncpg.connect(server.owner_url)
    waiting = (
        "select count(*) from pg_locks where not granted and relation = 'public.tools'::regclass"
    )
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute("lock table tools in access exclusive mode")
        _, writer = await connect(server.url, WHOLE)
        await _until(owner, waiting, 1)
        started = time.monotonic()
        writer.close()
        await _until(owner, waiting, 0)
        print(f"\nleft query gone after {(time.monotonic() - started) * 1000:.0f} ms")
        assert time.monotonic() - started < 8  # the statement timeout comes later
    finally:
        await transaction.rollback()
        await owner.close()
    reader, writer = await connect(server.url, WHOLE)
    assert b'{"data":' in await answer(reader)
    writer.close()
    log = server.log.read_text()
    assert "client_left" in log
    assert "Exception in ASGI application" not in log


async def test_a_client_that_leaves_cancels_no_mutation(server: RunningServer) -> None:
    body = '{"query":"mutation { signInAnonymously { errors { code } } }"}'
    request = WHOLE.replace(QUERY.encode(), body.encode())
    request = request.replace(b"length: %d" % len(QUERY), b"length: %d" % len(body))
    owner = await asyncpg.connect(server.owner_url)
    users = "select count(*) from users"
    before = await owner.fetchval(users)
    waiting = "select count(*) from pg_locks where not granted and relation = 'users'::regclass"
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("lock table users in access exclusive mode")
    _, writer = await connect(server.url, request)
    await _until(owner, waiting, 1)
    writer.close()
    await asyncio.sleep(0.3)
    await transaction.rollback()
    await _until(owner, users, before + 1)
    await owner.close()


async def _until(owner: asyncpg.Connection, query: str, wanted: int) -> None:
    for _ in range(200):
        if await owner.fetchval(query) == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never became {wanted}: {query}")
