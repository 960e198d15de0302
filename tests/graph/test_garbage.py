"""A request leaves nothing behind that only the garbage collector could find."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import uvicorn

from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server
from server.uvicorn_protocol import DeadlineHttpProtocol
from settings import Settings
from tests.graph.live.websocket_server import run_uvicorn

# So many that what the process does beside them, some dozens of objects a round, stays far below.
REQUESTS = 100
HEAD = (
    b"POST /graphql HTTP/1.1\r\nhost: tallygraph\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
READ = "{ viewer { id credits { balance } } }"
SPEND = """mutation ($key: String!) {
    spendCredits(input: {amount: 1, reason: "test", idempotencyKey: $key}) { errors { code } }
}"""


@pytest.fixture
async def connection(database: Database, settings: Settings) -> AsyncIterator[Connection]:
    """To the application, which runs in this process behind our protocol.

    A bare one: clients for people leave garbage of their own.
    """
    server = Server(settings, database, open_storage(settings), WakeBus.memory())
    config = uvicorn.Config(
        server.app,
        interface="asgi3",
        http=DeadlineHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
    )
    async with run_uvicorn(config) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()
    server.services.passwords.close()


async def left_behind(connection: Connection, text: str) -> Counter[str]:
    """What `REQUESTS` requests leave in circles of references, by type."""
    reader, writer = connection

    async def ask(number: int) -> None:
        variables = {"key": f"key {number}"} if "$key" in text else {}
        body = json.dumps({"query": text, "variables": variables})
        writer.write(HEAD % len(body) + body.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(int(head.rpartition(b"content-length: ")[2].split()[0]))

    await ask(-1)
    gc.collect()
    gc.disable()
    try:
        for number in range(REQUESTS):
            await ask(number)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(found).__name__ for found in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("text", [READ, SPEND])
async def test_requests_leave_no_garbage(connection: Connection, text: str) -> None:
    # What an earlier test let go of meanwhile is found once; what requests leave, each time.
    left = await left_behind(connection, text)
    for _ in range(2):
        left &= await left_behind(connection, text)
    often = {name: count for name, count in left.items() if count >= REQUESTS}
    assert not often, "found once a request or more, by the collector alone"
