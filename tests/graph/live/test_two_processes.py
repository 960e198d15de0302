"""What is revoked on one node is dead on another, open sockets and event streams included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.graph.live.deployment import Deployment
from tests.graph.live.fleet import running_fleet

PROMISED_SECONDS = 5.0
PASSWORD = "correct horse battery"
WATCH = "subscription { creditsChanged { credits { balance } } }"
SIGN_IN = """mutation($email: String!, $password: String!) {
  answer: %s(input: {email: $email, password: $password}) { session { accessToken refreshToken } } }"""
REFRESH = """mutation($token: String!) { answer: refreshSession(input: {refreshToken: $token}) {
  session { accessToken refreshToken } errors { code } } }"""
CREATE = """mutation { answer: createApiKey(input: {name: "bot", scopes: [READ]}) {
  secret apiKey { id } errors { code } } }"""
REVOKE_KEY = "mutation($id: ID!) { answer: revokeApiKey(input: {id: $id}) { errors { code } } }"
REVOKE = "mutation($id: ID!) { answer: revokeSession(input: {id: $id}) { errors { code } } }"
SIGN_OUT = """mutation { answer: signOutEverywhere(input: {keepCurrent: true}) {
  sessionsEnded errors { code } } }"""
SESSIONS = "{ answer: viewer { sessions { nodes { id isCurrent } } } }"


@dataclass
class Node:
    """One process, and asking it."""

    port: int
    http: httpx.AsyncClient

    async def post(
        self, text: str, token: str | None = None, /, **variables: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}/graphql"
        body = {"query": text, "variables": variables}
        return await self.http.post(url, json=body, headers=headers)

    async def ask(self, text: str, token: str | None = None, /, **variables: Any) -> Any:
        answer = (await self.post(text, token, **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"]["answer"]

    async def current(self, token: str) -> str:
        """The id of the session whose token this is."""
        nodes = (await self.ask(SESSIONS, token))["sessions"]["nodes"]
        (found,) = (node["id"] for node in nodes if node["isCurrent"])
        return str(found)


@dataclass
class Watching:
    """A socket and an event stream with one token, both behind their first item."""

    socket: ClientConnection
    lines: AsyncIterator[str]

    async def ended(self) -> tuple[int | None, str]:
        """How both end: the close code, and the last line."""
        last = ""
        async for line in self.lines:
            last = line or last
        while True:
            try:
                await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code, last


@asynccontextmanager
async def watching(node: Node, token: str) -> AsyncIterator[Watching]:
    bearer = f"Bearer {token}"
    headers = {"authorization": bearer, "accept": "text/event-stream"}
    url = f"http://127.0.0.1:{node.port}/graphql"
    async with (
        connect(
            f"ws://127.0.0.1:{node.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            proxy=None,
        ) as socket,
        node.http.stream("POST", url, json={"query": WATCH}, headers=headers) as response,
    ):
        for message in (
            {"type": "connection_init", "payload": {"Authorization": bearer}},
            {"id": "1", "type": "subscribe", "payload": {"query": WATCH}},
        ):
            await socket.send(orjson.dumps(message).decode())
        assert orjson.loads(await socket.recv())["type"] == "connection_ack"
        assert "balance" in str(await socket.recv())
        lines = response.aiter_lines()
        async for line in lines:
            if "balance" in line:
                break
        yield Watching(socket, lines)


async def test_revocation_reaches_the_other_node_within_the_promise(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with (
        running_fleet(deployment, tmp_path, [], []) as fleet,
        httpx.AsyncClient(timeout=30) as http,
        AsyncExitStack() as stack,
    ):
        here, there = (Node(node.port, http) for node in fleet.nodes)
        who = {"email": f"{uuid4()}@example.test", "password": PASSWORD}
        await here.ask(SIGN_IN % "signUp", **who)
        own, other, third = [
            (await node.ask(SIGN_IN % "signIn", **who))["session"] for node in (here, here, there)
        ]
        token, key = own["accessToken"], await here.ask(CREATE, own["accessToken"])
        watched = [
            await stack.enter_async_context(watching(there, secret))
            for secret in (other["accessToken"], key["secret"], third["accessToken"])
        ]
        session = await there.current(other["accessToken"])

        began = time.monotonic()
        assert (await here.ask(REVOKE, token, id=session))["errors"] == []
        assert (await here.ask(REVOKE_KEY, token, id=key["apiKey"]["id"]))["errors"] == []
        # Those of signing up and of the third way in.
        assert (await here.ask(SIGN_OUT, token))["sessionsEnded"] == 2
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*(one.ended() for one in watched))
        assert time.monotonic() - began <= PROMISED_SECONDS
        assert [code for code, _ in ends] == [4403] * 3
        assert all("revoked" in last for _, last in ends)
        for secret in (other["accessToken"], key["secret"], third["accessToken"]):
            for node in (here, there):
                assert (await node.post(WATCH, secret)).status_code == 401
        assert await there.current(token)

        for refused in (other, third):
            answer = await there.ask(REFRESH, token=refused["refreshToken"])
            assert answer["errors"] == [{"code": "UNAUTHENTICATED"}]
        renewed = await there.ask(REFRESH, token=own["refreshToken"])
        assert await here.current(renewed["session"]["accessToken"])

        # Two tabs at once, one on each node; then a tab whose answer was lost; then a thief.
        first = renewed["session"]["refreshToken"]
        tabs = await asyncio.gather(*(node.ask(REFRESH, token=first) for node in (here, there)))
        again = await there.ask(REFRESH, token=first)
        tokens = {tab["session"]["refreshToken"] for tab in (*tabs, again)}
        assert len(tokens) == 1
        for tab in tabs:
            for node in (here, there):
                assert await node.current(tab["session"]["accessToken"])
        winner = await here.ask(REFRESH, token=tokens.pop())
        stolen = await there.ask(REFRESH, token=first)
        assert stolen["errors"] == [{"code": "UNAUTHENTICATED"}]
        last = await here.ask(REFRESH, token=winner["session"]["refreshToken"])
        assert last["errors"] == [{"code": "UNAUTHENTICATED"}]
