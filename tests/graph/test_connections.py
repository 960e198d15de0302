"""One address holds its share of a process's connections, and leaves the others theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server
from server.serving import server_config
from settings import Settings
from tests.graph.live.websocket_server import run_uvicorn

from .over_http import ask

LIMIT = 5


async def listening(
    database: Database, settings: Settings, **changed: Any
) -> AsyncIterator[tuple[Server, int]]:
    chosen = settings.model_copy(update={"connections_per_address": LIMIT, **changed})
    server = Server(chosen, database, open_storage(settings), WakeBus.memory())
    async with run_uvicorn(server_config(server, chosen)) as (port, _):
        yield server, port
    server.services.passwords.close()


@pytest.fixture
async def small(database: Database, settings: Settings) -> AsyncIterator[tuple[Server, int]]:
    """A server whose addresses hold few connections."""
    async for found in listening(database, settings):
        yield found


@pytest.fixture
async def behind_a_proxy(
    database: Database, settings: Settings
) -> AsyncIterator[tuple[Server, int]]:
    """One that trusts whoever calls from this machine."""
    async for found in listening(database, settings, trusted_proxies=["127.0.0.0/8"]):
        yield found


async def connect(port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def test_what_is_beyond_a_share_is_429_and_others_are_served(
    small: tuple[Server, int],
) -> None:
    server, port = small
    held = [await connect(port, "127.0.0.66") for _ in range(LIMIT)]
    waiting = [await connect(port, "127.0.0.66") for _ in range(LIMIT)]
    reader, dropped = await connect(port, "127.0.0.66")
    async with asyncio.timeout(10):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        for reader, _ in waiting:
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 5" in head
            (error,) = json.loads(body)["errors"]
            assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfterSeconds": 5}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await ask(http, "{ __typename }")).status_code == 200
        figures = (await http.get("/metrics")).text
    assert 'tallygraph_http_connections_refused_total{process="0"} 6.0' in figures
    for _, writer in [*held, *waiting]:
        writer.close()
    dropped.close()
    async with asyncio.timeout(10):
        while len(server.shares.held) + len(server.shares.waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.66")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport) as http:
        assert (await ask(http, "{ __typename }")).status_code == 200


async def test_a_trusted_proxy_holds_as_many_as_it_likes(
    behind_a_proxy: tuple[Server, int],
) -> None:
    _, port = behind_a_proxy
    held = [await connect(port, "127.0.0.1") for _ in range(3 * LIMIT)]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await ask(http, "{ __typename }")).status_code == 200
    for _, writer in held:
        writer.close()
