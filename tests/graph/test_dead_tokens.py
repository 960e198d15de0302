"""What renews a session or begins one runs as without a token when its token is dead; nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server
from server.serving import listen, server_config
from settings import Settings
from tests.graph.live.websocket_server import run_uvicorn

from .over_http import GUEST, assert_refused

DEAD = ["expired", "revoked", "Bearer a.b.c", "Bearer", "Basic eDp5", ""]
SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { user { email isAnonymous } } viewer { id } errors { code } } }"""
SIGN_IN = """mutation { signIn(input: {email: "nobody@a.example", password: "correct horse"}) {
  session { expiresAt } errors { code } } }"""
REFRESH = """mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {
  session { refreshToken user { id } } errors { code } } }"""
SPREAD = """mutation Begin($no: Boolean = false) { ...F __typename }
fragment F on Mutation { ... on Mutation { signInAnonymously { session { expiresAt } } }
  refreshSession(input: {refreshToken: "x"}) @include(if: $no) { errors { code } } }"""
STREAM = {"accept": "text/event-stream"}
# Each needs whom the token names, or is public and served to who sends none.
STOPPED = [
    "{ __typename }",
    "{ tools { id } }",
    "{ viewer { id } }",
    "{ nothing }",
    "{",
    "",
    "mutation { signOut { signedOut } }",
    "mutation { signInAnonymously { session { expiresAt } } signOut { signedOut } }",
    "mutation($no: Boolean = false) { signInAnonymously { session { expiresAt } } ...F }"
    " fragment F on Mutation { signOut @include(if: $no) { signedOut } }",
    "subscription { creditsChanged { cursor } }",
]


@dataclass
class Node:
    """A server on a port, and the headers of tokens that are dead there."""

    http: httpx.AsyncClient
    refresh_token: str
    headers: dict[str, str]

    async def ask(self, text: str, dead: str, *, stream: bool = False, **variables: Any) -> Any:
        return await self.http.post(
            "/graphql",
            json={"query": text, "variables": variables},
            headers={"authorization": self.headers.get(dead, dead)} | (STREAM if stream else {}),
        )


@pytest.fixture
async def node(database: Database, settings: Settings) -> AsyncIterator[Node]:
    server = Server(settings, database, open_storage(settings), WakeBus.memory())
    accounts, tokens = server.services.accounts, server.services.tokens
    revoked, alive = await accounts.sign_in_anonymously(), await accounts.sign_in_anonymously()
    await accounts.sign_out(revoked.actor)
    expired = tokens.issue(
        alive.user_id,
        alive.session_id,
        is_anonymous=True,
        is_admin=False,
        now=datetime.now(UTC) - timedelta(days=1),
    )
    headers = {"expired": expired.token, "revoked": revoked.access_token}
    async with (
        run_uvicorn(server_config(server, settings), listen("127.0.0.1", 0, "{}")) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        bearers = {name: f"Bearer {token}" for name, token in headers.items()}
        yield Node(http, alive.refresh_token, bearers)
    server.services.passwords.close()


async def test_sessions_begin_and_go_on_whatever_token_is_sent_beside(node: Node) -> None:
    for dead in DEAD:
        email = f"{uuid4()}@a.example"
        made = (await node.ask(SIGN_UP, dead, email=email)).json()["data"]["signUp"]
        user = {"email": email, "isAnonymous": False}
        assert made == {"session": {"user": user}, "viewer": made["viewer"], "errors": []}
        refused = (await node.ask(SIGN_IN, dead)).json()["data"]["signIn"]
        assert refused == {"session": None, "errors": [{"code": "INVALID_CREDENTIALS"}]}
        for document in (GUEST, GUEST, SPREAD):
            guest = (await node.ask(document, dead)).json()["data"]["signInAnonymously"]
            assert guest["session"]
        answer = await node.ask(REFRESH, dead, token=node.refresh_token)
        renewed = answer.json()["data"]["refreshSession"]
        assert renewed["errors"] == []
        node.refresh_token = renewed["session"]["refreshToken"]
        streamed = await node.ask(GUEST, dead, stream=True)
        assert (streamed.status_code, "accessToken" in streamed.text) == (200, True)


@pytest.mark.parametrize("text", STOPPED)
async def test_all_else_is_401_and_does_nothing(node: Node, text: str) -> None:
    for dead in DEAD:
        for stream in (False, True):
            answer = await node.ask(text, dead, stream=stream)
            assert (answer.status_code, "data" in answer.json()) == (401, False)
            assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    get = await node.http.get(
        "/graphql", params={"query": GUEST}, headers={"authorization": node.headers["expired"]}
    )
    assert_refused(get, 401, "UNAUTHENTICATED")


async def test_a_guests_token_that_is_good_is_used(node: Node) -> None:
    guest = (await node.http.post("/graphql", json={"query": GUEST})).json()["data"]
    bearer = f"Bearer {guest['signInAnonymously']['session']['accessToken']}"
    whose = (await node.ask("{ viewer { id } }", bearer)).json()["data"]["viewer"]
    made = await node.ask(SIGN_UP, bearer, email=f"{uuid4()}@a.example")
    assert made.json()["data"]["signUp"]["viewer"] == whose
