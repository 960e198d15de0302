"""An event stream carries what a socket carries: answers, resumption, limits and ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import uvicorn

from auth.tokens import AccessTokens
from db.core.actor import Actor
from db.core.pool import Database
from graph.live import clients as clients_module
from graph.live import streams
from graph.live.bus import WakeBus
from graph.live.clients import ClientLimits, Clients
from server.app import Server
from server.uvicorn_protocol import DeadlineHttpProtocol
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.websocket_server import run_uvicorn

CREDITS = "subscription { creditsChanged { credits { balance } } }"
SPEND = 'mutation { spendCredits(input: {amount: 1, idempotencyKey: "%s"}) { errors { code } } }'
STREAM = {"accept": "text/event-stream"}


@dataclass
class Running:
    """A server with its live side in this process, and ways to ask it."""

    server: Server
    http: httpx.AsyncClient
    tokens: AccessTokens
    connections: Collection[Any]

    def authorization(self, user: Actor) -> dict[str, str]:
        assert user.user_id
        session = uuid4()
        issued = self.tokens.issue(user.user_id, session, is_anonymous=False, is_admin=False)
        return {"authorization": f"Bearer {issued.token}"}

    @contextlib.asynccontextmanager
    async def stream(
        self, query: str, user: Actor | None = None, method: str = "POST", **headers: str
    ) -> AsyncIterator[Events]:
        sent = STREAM | (self.authorization(user) if user else {}) | headers
        content: Any = (
            {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}
        )
        async with self.http.stream(method, "/graphql", headers=sent, **content) as response:
            yield Events(response)

    async def spend(self, user: Actor, key: str) -> None:
        answer = await self.http.post(
            "/graphql", json={"query": SPEND % key}, headers=self.authorization(user)
        )
        assert answer.json()["data"]["spendCredits"]["errors"] == []


class Events:
    """The events of one response, parsed as the HTML standard says; comments apart."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments: list[str] = []
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments.append(line[1:].strip())
                elif line:
                    name, _, value = line.partition(":")
                    found[name] = value.removeprefix(" ")
                elif found:
                    return found
        return {"event": "the end"}

    async def balance(self) -> tuple[int, str]:
        event = await self.next()
        assert event["event"] == "next"
        data = orjson.loads(event["data"])["data"]
        return data["creditsChanged"]["credits"]["balance"], event["id"]


@contextlib.asynccontextmanager
async def running(database: Database, settings: Settings, **limits: Any) -> AsyncIterator[Running]:
    """The whole application on a port of its own; its limits may be other ones."""
    server = Server(settings, database, None, WakeBus.memory())  # type: ignore[arg-type]
    clients = Clients(replace(ClientLimits(), **limits), sweep_seconds=0.05)
    server.clients = server._streams._clients = clients
    await server.start()
    config = uvicorn.Config(
        server.app,
        interface="asgi3",
        lifespan="off",
        log_level="warning",
        http=DeadlineHttpProtocol,
        ws="none",
        proxy_headers=False,
    )
    try:
        async with (
            run_uvicorn(config) as (port, connections),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
        ):
            yield Running(server, http, server.services.tokens, connections)
            await clients.shutdown()
    finally:
        await server.stop()


@pytest.fixture(scope="module")
async def live(database: Database, settings: Settings) -> AsyncIterator[Running]:
    async with running(database, settings) as started:
        yield started


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_query_is_one_event_then_complete(live: Running, method: str) -> None:
    async with live.stream("{ __typename }", method=method) as events:
        headers = events.response.headers
        assert (events.response.status_code, headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        first, second, third = [await events.next() for _ in range(3)]
    assert (first["event"], orjson.loads(first["data"])) == (
        "next",
        {"data": {"__typename": "Query"}},
    )
    assert (second, third["event"]) == ({"event": "complete", "data": ""}, "the end")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nothing }", "BAD_USER_INPUT"),
        ("{", "BAD_USER_INPUT"),
        (CREDITS, "UNAUTHENTICATED"),
        ('subscription { creditsChanged(after: "x") { cursor } }', "UNAUTHENTICATED"),
        ("mutation { signInAnonymously { errors { code } } }", "BAD_USER_INPUT"),
    ],
)
async def test_what_cannot_run_is_told_in_the_stream(live: Running, query: str, code: str) -> None:
    async with live.stream(query, method="GET") as events:
        first, second = [await events.next() for _ in range(2)]
    [error] = orjson.loads(first["data"])["errors"]
    assert (error["extensions"]["code"], second["event"]) == (code, "complete")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"authorization": "Bearer nonsense"}, {"query": "{ __typename }"}, 401),
        ({"origin": "https://evil.example"}, {"query": "{ __typename }"}, 403),
        ({}, [{"query": "{ __typename }"}], 400),
        ({}, {}, 400),
    ],
)
async def test_what_is_no_request_is_refused_in_the_words_of_http(
    live: Running, headers: dict[str, str], body: Any, status: int
) -> None:
    answer = await live.http.post("/graphql", json=body, headers=STREAM | headers)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["extensions"]["code"]


async def test_a_stream_resumes_behind_its_last_event_id(
    live: Running, make_user: MakeUser
) -> None:
    user = await make_user(credits=10)
    async with live.stream(CREDITS, user) as events:
        assert (await events.balance())[0] == 10
        await live.spend(user, "a")
        balance, last_id = await events.balance()
        assert balance == 9
    for key in ("b", "c"):
        await live.spend(user, key)
    async with live.stream(CREDITS, user, **{"last-event-id": last_id}) as events:
        assert [(await events.balance())[0] for _ in range(2)] == [8, 7]
    async with live.stream(CREDITS, user, **{"last-event-id": "nonsense"}) as events:
        [error] = orjson.loads((await events.next())["data"])["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_quiet_stream_is_kept_alive_by_comments(
    database: Database, settings: Settings, make_user: MakeUser
) -> None:
    user = await make_user()
    async with running(database, settings, comment_seconds=0.1) as live:
        async with live.stream(CREDITS, user) as events:
            await events.balance()
            await asyncio.sleep(0.5)
            await live.spend(user, "a")
            await events.balance()
        assert len(events.comments) >= 3


async def test_streams_of_one_user_and_address_are_capped(
    database: Database, settings: Settings, make_user: MakeUser
) -> None:
    user = await make_user()
    async with running(
        database, settings, connections_per_user=1, connections_per_address=2
    ) as live:
        forged = {"x-forwarded-for": "203.0.113.9"}
        async with live.stream(CREDITS, user) as first:
            await first.balance()
            async with live.stream(CREDITS, user, **forged) as second:
                await second.response.aread()
                assert second.response.status_code == 429
                assert second.response.headers["retry-after"] == "5"
            async with live.stream("subscription { toolsChanged { cursor } }") as stranger:
                await stranger.next()
                async with live.stream("{ __typename }", **forged) as third:
                    body = orjson.loads(await third.response.aread())
        assert body["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        async with asyncio.timeout(5):
            while len(live.server.clients.networks):  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.01)


async def test_a_revoked_session_and_an_expired_token_end_the_stream(
    live: Running, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await make_user()
    hour_later = time.time() + 3600
    ends = {
        "revoked": (live.server.services.revocations, "is_revoked", lambda _: True),
        "expired": (clients_module.time, "time", lambda: hour_later),
    }
    for reason, (place, name, replacement) in ends.items():
        async with live.stream(CREDITS, user) as events:
            await events.balance()
            with monkeypatch.context() as patch:
                patch.setattr(place, name, replacement)
                assert (await events.next())["event"] == "the end"
        assert reason in events.comments[-1]


async def test_leaving_ends_the_subscription_and_a_restart_the_stream(
    database: Database, settings: Settings, make_user: MakeUser
) -> None:
    user = await make_user()
    async with running(database, settings) as live:
        async with live.stream(CREDITS, user) as left:
            await left.balance()
        async with asyncio.timeout(5):
            while len(live.server.clients):  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.01)
        async with live.stream(CREDITS, user) as events:
            await events.balance()
            await live.server.clients.shutdown()
            assert (await events.next())["event"] == "the end"
        assert "1012" in events.comments[-1]


async def test_who_does_not_read_is_dropped(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = b"data: " + b"x" * 1_000_000 + b"\n\n"
    monkeypatch.setattr(streams, "next_event", lambda _: huge * 30)
    monkeypatch.setattr(DeadlineHttpProtocol, "reader_seconds", 0.3)
    async with running(database, settings, close_seconds=0.2) as live:
        port = live.http.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        body = b'{"query":"{ __typename }"}'
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        await reader.readline()
        async with asyncio.timeout(5):
            while not len(live.server.clients):  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.01)
            while len(live.server.clients):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # What it did not read is not kept for it either: the connection itself is gone.
            while live.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        writer.transport.abort()
