"""A chat's reply, followed while it is written: pieces once and in order, whoever loses the line."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor
from graph.engine.execution import subscriptions
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Item
from server.services import Services
from settings import Settings

from ...conftest import MakeUser
from ..chatting import WATCH, Chat
from ..conftest import Ask
from .test_topics import Stream


@pytest.fixture
def chat(ask: Ask, owner: asyncpg.Connection, services: Services, settings: Settings) -> Chat:
    return Chat(ask, owner, services, settings)


async def items_to_the_end(stream: Stream) -> list[tuple[dict[str, Any], Item]]:
    """Every item until the reply has ended."""
    items = [await stream.item()]
    while items[-1][0]["message"]["status"] in {"QUEUED", "RUNNING"}:
        items.append(await stream.item())
    return items


def joined(items: list[tuple[dict[str, Any], Item]]) -> str:
    return "".join(payload["delta"] for payload, _ in items)


async def test_a_reply_is_told_piece_by_piece_and_is_stored_when_it_is_done(
    chat: Chat,
    make_user: MakeUser,
    engine: Engine,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor: Actor = await make_user()
    reply = await chat.sent(actor)
    assert await chat.wallet(actor) == (10, 2)
    stream = Stream(engine, services, actor, WATCH % reply)
    first = await stream.item()
    assert first[0]["message"]["status"] == "QUEUED"
    async with asyncio.TaskGroup() as group:
        group.create_task(chat.run(reply))
        items = await items_to_the_end(stream)
    last = items[-1][0]["message"]
    assert last["status"] == "SUCCEEDED"
    assert "without any AI" in last["text"]
    assert "Answers late at night only" in last["text"]
    assert joined(items) == last["text"]
    assert len([payload for payload, _ in items if payload["delta"]]) > 2
    assert all(payload["message"]["text"] == "" for payload, _ in items[:-1])
    hidden = await chat.owner.fetchval(
        "select count(*) from events where topic = 'chat.reply' and entity_id = $1"
        " and snapshot ?| array['device_id', 'position']",
        reply.removeprefix("chatMessage_"),
    )
    assert hidden == 0
    assert last["creditsCharged"] == 1
    assert await chat.wallet(actor) == (9, 0)
    assert (await chat.row(reply))["chunks"] == 0
    # Whoever comes back with a cursor goes on right behind it; whoever has none gets all.
    middle = len(items) // 2
    resumed = Stream(engine, services, actor, WATCH % reply, after=items[middle][1].cursor)
    assert joined(items[: middle + 1]) + joined(await items_to_the_end(resumed)) == last["text"]
    late = Stream(engine, services, actor, WATCH % reply)
    assert (await late.item())[0]["delta"] == last["text"]
    monkeypatch.setattr(subscriptions, "MISSED_WAIT_SECONDS", 0.1)
    behind = Stream(engine, services, actor, WATCH % reply, after=items[-1][1].cursor)
    # With the end of the reply the stream completes, also for who comes back behind it.
    for one in (stream, resumed, late, behind):
        with pytest.raises(StopAsyncIteration):
            await one.item()
        await one.close()
