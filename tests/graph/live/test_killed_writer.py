"""A reply whose worker is killed while it writes: failed or written anew, and paid at most once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from db.embedded.database import EmbeddedDatabase
from graph.engine.execution.engine import Engine
from server.services import Services
from settings import Settings

from ...conftest import MakeUser
from ...fakes.anthropic import KEY, PIECES, REPLY, FakeAnthropic, fake_anthropic
from ...jobs.helpers import eventually
from ..chatting import WATCH, Chat, key
from ..conftest import Ask
from .test_chat_reply import items_to_the_end, joined
from .test_topics import Stream

ROOT = Path(__file__).parents[3]
Writing = Callable[[], AbstractAsyncContextManager[asyncio.subprocess.Process]]


@pytest.fixture
def claude() -> Iterator[FakeAnthropic]:
    with fake_anthropic() as fake:
        yield fake


@pytest.fixture
async def chat(ask: Ask, owner: asyncpg.Connection, services: Services, settings: Settings) -> Chat:
    """Chats on an empty queue; nothing is known against the API."""
    await owner.execute("delete from queue.pgqueuer")
    await owner.execute("delete from provider_circuits where provider = 'anthropic'")
    return Chat(ask, owner, services, settings)


@pytest.fixture
def writing(settings: Settings, cluster: EmbeddedDatabase, claude: FakeAnthropic) -> Writing:
    """A worker in a process of its own whose replies the fake writes; killed at the end."""

    @asynccontextmanager
    async def working() -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.jobs.worker_process", cluster.owner_url, "0"),
            cwd=ROOT,
            env={
                **os.environ,
                "DATA_DIRECTORY": str(settings.data_directory),
                "ANTHROPIC_API_KEY": KEY,
                "ANTHROPIC_API_URL": claude.url,
            },
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    return working


async def movements(chat: Chat, reply: str) -> list[str]:
    """What became of the reply's hold, in its order."""
    rows = await chat.owner.fetch(
        "select t.type from credit_transactions t join ai_runs r on r.user_id = t.user_id"
        " where r.id = $1 and t.type in ('HOLD', 'CAPTURE', 'RELEASE') order by t.id",
        key(reply),
    )
    return [row["type"] for row in rows]


async def test_what_was_told_stays_and_the_hold_is_released_once(
    chat: Chat,
    make_user: MakeUser,
    engine: Engine,
    services: Services,
    claude: FakeAnthropic,
    writing: Writing,
) -> None:
    claude.script = ["held"]
    actor = await make_user()
    reply = await chat.sent(actor)
    stream = Stream(engine, services, actor, WATCH % reply)
    items = [await stream.item()]
    async with writing() as first:
        while not joined(items):
            items.append(await stream.item())
        assert joined(items) == PIECES[0]
        first.kill()
        await first.wait()
    await stream.close()
    async with writing():
        # Who lost the line, too, goes on behind the cursor.
        resumed = Stream(engine, services, actor, WATCH % reply, after=items[-1][1].cursor)
        rest = await items_to_the_end(resumed)
        await resumed.close()
    last = rest[-1][0]["message"]
    assert (last["status"], last["text"], joined(rest)) == ("FAILED", PIECES[0], "")
    assert await chat.wallet(actor) == (10, 0)
    assert await movements(chat, reply) == ["HOLD", "RELEASE"]
    assert await chat.outcomes(reply) == ["ABANDONED"]
    assert len(claude.asked) == 1


async def test_before_the_first_word_another_worker_writes_it(
    chat: Chat, make_user: MakeUser, claude: FakeAnthropic, writing: Writing
) -> None:
    claude.script = ["never"]
    actor = await make_user()
    reply = await chat.sent(actor)

    async def is_asked() -> bool:
        return bool(claude.asked)

    async def has_ended() -> bool:
        return bool((await chat.row(reply))["status"] == "SUCCEEDED")

    async with writing() as first:
        await eventually(is_asked, 30)
        first.kill()
        await first.wait()
    async with writing():
        await eventually(has_ended, 30)
    row = await chat.row(reply)
    assert (row["text"], row["attempts"]) == (REPLY, 2)
    assert await chat.wallet(actor) == (10 - row["credits_charged"], 0)
    assert await movements(chat, reply) == ["HOLD", "CAPTURE"]
    assert await chat.outcomes(reply) == ["ABANDONED", "SUCCEEDED"]
