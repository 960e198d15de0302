"""Whoever may not watch any more is cut off within five seconds, on every node alike."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from auth.revocation_watch import LOOK_EVERY_SECONDS
from db.core.actor import Actor
from db.core.pool import Database
from graph.live.clients import SWEEP_SECONDS
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.test_access import make_upload
from tests.graph.live.test_streams import CREDITS, STREAM, Events, Running, running

PROMISED_SECONDS = 5.0
WATCH_UPLOAD = 'subscription { uploadUpdated(id: "upload_%s") { upload { status } } }'
SIGN_IN = "mutation { signInAnonymously { session { accessToken refreshToken } } }"
SIGN_OUT = "mutation { signOut { errors { code } } }"


def test_learning_of_a_revocation_and_the_next_sweep_fit_into_what_is_promised() -> None:
    assert LOOK_EVERY_SECONDS + SWEEP_SECONDS < PROMISED_SECONDS


@pytest.fixture
async def nodes(database: Database, settings: Settings) -> AsyncIterator[list[Running]]:
    """Two that share nothing but their database."""
    async with running(database, settings) as here, running(database, settings) as there:
        yield [here, there]


@contextlib.asynccontextmanager
async def watching(
    nodes: list[Running], query: str, user: Actor | None = None, **headers: str
) -> AsyncIterator[list[Events]]:
    """A stream on each node, behind its first item."""
    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(node.stream(query, user, **headers)) for node in nodes
        ]
        for stream in streams:
            assert "errors" not in orjson.loads((await stream.next())["data"])
        yield streams


async def ends_within_the_promise(streams: list[Events], began: float) -> list[dict[str, str]]:
    """What each stream says last."""
    last = await asyncio.gather(*(stream.next() for stream in streams))
    assert time.monotonic() - began <= PROMISED_SECONDS
    return last


def code_of(event: dict[str, str]) -> Any:
    return orjson.loads(event["data"])["errors"][0]["extensions"]["code"]


async def test_a_locked_user_is_cut_off_everywhere(
    nodes: list[Running], make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    async with watching(nodes, CREDITS, user) as streams:
        began = time.monotonic()
        await owner.execute("update users set status = 'locked' where id = $1", user.user_id)
        last = await ends_within_the_promise(streams, began)
    assert [code_of(event) for event in last] == ["UNAUTHENTICATED"] * 2


async def test_a_row_that_is_lost_ends_its_streams_everywhere(
    nodes: list[Running], make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    upload, kept = await make_upload(owner, user), await make_upload(owner, user)
    async with (
        watching(nodes, WATCH_UPLOAD % upload, user) as streams,
        watching(nodes[:1], WATCH_UPLOAD % kept, user) as others,
    ):
        began = time.monotonic()
        await owner.execute("delete from uploads where id = $1", upload)
        last = await ends_within_the_promise(streams, began)
        await owner.execute(
            "update uploads set status = 'REJECTED', rejected_code = 'EMPTY_FILE' where id = $1",
            kept,
        )
        assert "REJECTED" in (await others[0].next())["data"]
    assert [code_of(event) for event in last] == ["NOT_FOUND"] * 2


async def test_a_session_that_ends_on_one_node_ends_its_streams_everywhere(
    nodes: list[Running],
) -> None:
    here, _ = nodes
    answer = await here.http.post("/graphql", json={"query": SIGN_IN})
    session = answer.json()["data"]["signInAnonymously"]["session"]
    bearer = {"authorization": f"Bearer {session['accessToken']}"}
    async with watching(nodes, CREDITS, **bearer) as streams:
        began = time.monotonic()
        ended = await here.http.post("/graphql", json={"query": SIGN_OUT}, headers=bearer)
        assert ended.json()["data"]["signOut"]["errors"] == []
        last = await ends_within_the_promise(streams, began)
        assert [event["event"] for event in last] == ["the end"] * 2
        assert all("revoked" in stream.comments[-1] for stream in streams)
    refused = await here.http.post("/graphql", json={"query": CREDITS}, headers=STREAM | bearer)
    assert refused.status_code == 401
