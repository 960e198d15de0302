"""Texts written past ASGI: to all sockets of a commit, and never past who has to read first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from auth.tokens import AccessTokens
from db.core.actor import Actor
from db.core.pool import Database
from graph.live.bus import WakeBus
from graph.live.clients import ClientLimits, Clients
from server.app import Server
from server.serving import server_config
from server.uvicorn_websocket import HELD_LIMIT_SOCKETS, FlushOrAbortProtocol
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.websocket_server import run_uvicorn, say

WATCH = """subscription ($after: Cursor) {
  notificationAdded(after: $after) { cursor notification { data } }
}"""
# More than the system keeps for a socket, and more than the hub keeps for a subscription.
COMMITS, ROWS_EACH, ROW_CHARACTERS = 16, 50, 20_000
NOTIFY = """
insert into notifications (user_id, type, title_key, message_key, data)
select $1, 'GENERAL', 'slow.title', 'slow.message',
       jsonb_build_object('n', $2::int + i, 'filling', repeat('x', $3::int))
from generate_series(1, $4::int) i
"""
SEND_SECONDS = 0.3


class Writes:
    """What became of the texts that were to be written past ASGI."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = 0
        self.refused = asyncio.Event()
        write_text = FlushOrAbortProtocol.write_text

        def noted(protocol: FlushOrAbortProtocol, payload: bytes) -> bool:
            is_written = write_text(protocol, payload)
            self.written += is_written
            if not is_written:
                self.refused.set()
            return is_written

        monkeypatch.setattr(FlushOrAbortProtocol, "write_text", noted)


@asynccontextmanager
async def running(database: Database, settings: Settings) -> AsyncIterator[tuple[Server, int]]:
    """The application, which soon gives up who does not read, and its port."""
    server = Server(settings, database, None, WakeBus.memory())  # type: ignore[arg-type]
    limits = replace(ClientLimits(), send_seconds=SEND_SECONDS)
    server.clients = server.sockets._clients = Clients(limits, sweep_seconds=0.05)
    await server.start()
    async with run_uvicorn(server_config(server, settings)) as (port, _):
        yield server, port
        await server.drain()
    await server.stop()


@asynccontextmanager
async def subscribed(
    port: int, token: str, query: str = WATCH, **variables: Any
) -> AsyncIterator[ClientConnection]:
    """A subscriber on a socket that keeps next to nothing for it while it does not read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.connect(("127.0.0.1", port))
    async with connect(
        f"ws://127.0.0.1:{port}/graphql",
        sock=raw,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        max_queue=1,
        max_size=None,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        proxy=None,
    ) as client:
        await say(client, type="connection_init", payload={"Authorization": f"Bearer {token}"})
        assert orjson.loads(await client.recv())["type"] == "connection_ack"
        payload = {"query": query, "variables": variables}
        await say(client, id="1", type="subscribe", payload=payload)
        yield client


class Seen:
    """The numbers a client was shown, and the cursor behind the last of them."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.cursor: str | None = None

    async def take(self, client: ClientConnection) -> None:
        message = orjson.loads(await client.recv())
        if message["type"] == "ping":
            return
        assert message["type"] == "next", message
        item = message["payload"]["data"]["notificationAdded"]
        self.cursor = item["cursor"]
        if item["notification"] is not None:
            self.numbers.append(item["notification"]["data"]["n"])

    async def take_all(self, client: ClientConnection) -> None:
        while True:
            await self.take(client)


async def write(owner: asyncpg.Connection, server: Server, user_id: UUID | None) -> None:
    for commit in range(COMMITS):
        await owner.execute(NOTIFY, user_id, commit * ROWS_EACH, ROW_CHARACTERS, ROWS_EACH)
        server.services.hub.wake()
        await asyncio.sleep(0.01)


def token_of(tokens: AccessTokens, user: Actor) -> str:
    assert user.user_id
    return tokens.issue(user.user_id, uuid4(), is_anonymous=False, is_admin=False).token


async def test_who_stops_reading_is_closed_and_resumes_behind_what_it_read(
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, seen, writes = await make_user(), Seen(), Writes(monkeypatch)
    async with running(database, settings) as (server, port), asyncio.timeout(60):
        token = token_of(server.services.tokens, user)
        async with subscribed(port, token) as client:
            await seen.take(client)  # the state now: nothing
            await write(owner, server, user.user_id)
            await writes.refused.wait()
            assert writes.written > 0
            # Longer than a send may take; then it reads what had been sent until then.
            await asyncio.sleep(3 * SEND_SECONDS)
            with pytest.raises(ConnectionClosed) as closed:
                await seen.take_all(client)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4503
        everything = list(range(1, COMMITS * ROWS_EACH + 1))
        assert 0 < len(seen.numbers) < len(everything)
        async with subscribed(port, token, after=seen.cursor) as client:
            while seen.numbers[-1] != everything[-1]:
                await seen.take(client)
    assert seen.numbers == everything


async def test_every_socket_has_each_event_once_and_in_order(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, everybody = await make_user(), [Seen() for _ in range(HELD_LIMIT_SOCKETS + 5)]
    async with (
        running(database, settings) as (server, port),
        AsyncExitStack() as stack,
        asyncio.timeout(60),
    ):
        token = token_of(server.services.tokens, user)
        clients = [await stack.enter_async_context(subscribed(port, token)) for _ in everybody]
        for seen, client in zip(everybody, clients, strict=True):
            await seen.take(client)  # the state now: nothing
        for commit in range(5):
            await owner.execute(NOTIFY, user.user_id, commit * 3, 1, 3)
            server.services.hub.wake()
        # Sooner than the next ping, which would bring along what was forgotten.
        async with asyncio.timeout(10):
            for seen, client in zip(everybody, clients, strict=True):
                while len(seen.numbers) < 15:
                    await seen.take(client)
        assert all(seen.numbers == list(range(1, 16)) for seen in everybody)
