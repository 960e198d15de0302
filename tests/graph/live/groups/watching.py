"""Teams of users, what they do, and what each is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson

from db.core.actor import NOBODY, Actor
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from graph.live.hub import EventHub

NOTES = "subscription ($after: Cursor) { notesChanged(after: $after) { cursor row { body } deletedId } }"
SECRETS = NOTES.replace("notesChanged", "secretsChanged")
LETTERS = NOTES.replace("notesChanged", "lettersChanged").replace("deletedId", "")
POSTERS = NOTES.replace("notesChanged", "postersChanged")
REMARKS = LETTERS.replace("lettersChanged", "remarksChanged")


class Stream:
    """What one client is shown, by its own task or past it."""

    def __init__(
        self,
        engine: Engine,
        hub: EventHub,
        user_id: UUID | None,
        text: str,
        *,
        past: bool = False,
        **variables: Any,
    ) -> None:
        self.shown: list[str] = []
        self.cursors: list[str] = []
        self.began = asyncio.Event()
        actor = Actor("authenticated", user_id) if user_id else NOBODY
        subscriber = Subscriber(engine, hub.subscribe, lambda: actor)
        self._items = subscriber.stream(text, variables, None, None, self.take if past else None)
        if "after" in variables:
            self.began.set()
        self.task = asyncio.create_task(self._run())

    def take(self, body: bytes) -> bool:
        ((_, payload),) = orjson.loads(body)["data"].items()
        if not self.began.is_set():
            self.began.set()
            return True
        row = payload.get("row")
        self.shown.append(f"gone {payload['deletedId']}" if row is None else row["body"])
        self.cursors.append(payload["cursor"])
        return True

    async def _run(self) -> None:
        async for item in self._items:
            self.take(item.body)

    async def until(self, *shown: str) -> None:
        """Wait until exactly this was shown, and nothing else."""
        await self._wait(lambda: len(self.shown) >= len(shown))
        assert self.shown == list(shown)

    async def until_last(self, shown: str) -> None:
        """Wait until this was shown last."""
        await self._wait(lambda: self.shown[-1:] == [shown])

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Team:
    """A team and what happens in it."""

    writer: asyncpg.Connection
    id: UUID = field(default_factory=uuid4)

    async def make(self) -> Team:
        await self.writer.execute("insert into teams (id, name) values ($1, 'One')", self.id)
        return self

    async def join(self, user_id: UUID, role: str = "member") -> None:
        await self.writer.execute(
            "insert into team_members (team_id, user_id, role, status) values ($1, $2, $3, 'ACTIVE')",
            self.id,
            user_id,
            role,
        )

    async def change(self, user_id: UUID, **columns: str) -> None:
        for name, value in columns.items():
            await self.writer.execute(
                f"update team_members set {name} = $3 where team_id = $1 and user_id = $2",
                self.id,
                user_id,
                value,
            )

    async def leave(self, user_id: UUID) -> None:
        await self.writer.execute(
            "delete from team_members where team_id = $1 and user_id = $2", self.id, user_id
        )

    async def note(self, body: str, user_id: UUID | None = None) -> UUID:
        sql = "insert into notes (team_id, user_id, body) values ($1, $2, $3) returning id"
        found: UUID = await self.writer.fetchval(sql, self.id, user_id, body)
        return found

    async def secret(self, body: str) -> UUID:
        sql = "insert into secrets (team_id, body) values ($1, $2) returning id"
        found: UUID = await self.writer.fetchval(sql, self.id, body)
        return found


@asynccontextmanager
async def watching(*streams: Stream) -> AsyncIterator[None]:
    for one in streams:
        async with asyncio.timeout(10):
            await one.began.wait()
    try:
        yield
    finally:
        for one in streams:
            await one.close()


async def settle(hub: EventHub, writer: asyncpg.Connection) -> None:
    """Wait until the hub has read all that was committed."""
    async with writer.transaction():
        xid = int(await writer.fetchval("select pg_current_xact_id()::text"))
        await writer.execute("insert into events (topic, snapshot) values ('no.one', '{}')")
    async with asyncio.timeout(10):
        while hub.position[0] < xid:
            hub.wake()
            await asyncio.sleep(0.002)


MakeTeam = Callable[..., Awaitable[Team]]
