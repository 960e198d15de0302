"""A foreign issuer's token opens sockets and event streams, and they close when it expires."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import orjson
import pytest
from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from db.core.pool import Database
from graph.live import clients as clients_module
from graph.live.bus import WakeBus
from graph.live.clients import ClientLimits, Clients
from server.app import Server
from server.serving import server_config
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.websocket_server import run_uvicorn, say

ISSUER = "https://project.example.test/auth/v1"
SECRET = "a secret of the project, and long enough for any of the hashes that there are"
WATCH = "subscription { creditsChanged { credits { balance } } }"


def token_of(user_id: UUID, secret: str = SECRET) -> str:
    """An access token as the issuer makes it."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "authenticated", "role": "authenticated", "sub": str(user_id)}
    said |= {"session_id": str(uuid4())}
    return jwt.encode({**said, "iat": now, "exp": now + 600}, secret, "HS256")


@dataclass
class Port:
    """A server that takes the issuer's tokens, and ways to it."""

    number: int

    @asynccontextmanager
    async def socket(self, token: str) -> AsyncIterator[ClientConnection]:
        async with connect(
            f"ws://127.0.0.1:{self.number}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            proxy=None,
        ) as client:
            await say(client, type="connection_init", payload={"Authorization": f"Bearer {token}"})
            yield client

    @asynccontextmanager
    async def stream(self, token: str) -> AsyncIterator[httpx.Response]:
        headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.number}", timeout=20) as http,
            http.stream("POST", "/graphql", json={"query": WATCH}, headers=headers) as response,
        ):
            yield response


@pytest.fixture
async def port(database: Database, settings: Settings) -> AsyncIterator[Port]:
    named = {"foreign_issuer": ISSUER, "foreign_issuer_secret": SECRET}
    named |= {"foreign_issuer_until": "2999-12-31"}
    own = Settings(data_directory=settings.data_directory, **named)  # type: ignore[arg-type]
    server = Server(own, database, None, WakeBus.memory())  # type: ignore[arg-type]
    clients = Clients(ClientLimits(), sweep_seconds=0.05)
    server.clients = server.sockets._clients = server._streams._clients = clients
    await server.start()
    async with run_uvicorn(server_config(server, own)) as (number, _):
        yield Port(number)
        await server.drain()
    await server.stop()


@pytest.fixture
async def imported(make_user: MakeUser, owner: asyncpg.Connection) -> UUID:
    user = await make_user(credits=7)
    assert user.user_id is not None
    await owner.execute(
        "insert into imported_users (user_id, source, metadata) values ($1, 'supabase', '{}')",
        user.user_id,
    )
    return user.user_id


async def test_it_serves_its_user_until_it_expires(
    port: Port, imported: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(imported)
    async with port.socket(token) as client, port.stream(token) as response:
        assert orjson.loads(await client.recv())["type"] == "connection_ack"
        await say(client, id="1", type="subscribe", payload={"query": WATCH})
        assert '"balance":7' in str(await client.recv()).replace(" ", "")
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                assert '"balance":7' in line.replace(" ", "")
                break
        later = time.time() + 700
        monkeypatch.setattr(clients_module.time, "time", lambda: later)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "expired" in closed.value.rcvd.reason) == (4403, True)
        assert "expired" in "".join([line async for line in lines])


async def test_a_forged_one_and_a_strangers_open_nothing(port: Port, imported: UUID) -> None:
    for token in (token_of(imported, SECRET + "!"), token_of(uuid4())):
        async with port.socket(token) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4403
        async with port.stream(token) as response:
            body = await response.aread()
        assert (response.status_code, b"UNAUTHENTICATED" in body) == (401, True)
