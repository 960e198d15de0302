"""Strawberry's own subscription handler, as a careful user would write a server with it.

Woken by the same bus and reading with the same statement as ours; in the process each event goes to
the queues of those who watch it, and an async generator for each subscriber yields from its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self
from uuid import UUID

import orjson
import strawberry
import uvicorn
import uvloop
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info

from auth.keys import SigningKeys
from auth.tokens import AccessTokens, bearer_token
from db.core.errors import DomainError
from db.core.pool import Database
from graph.live.bus import WakeBus
from graph.live.cursors import EventCursor as Position
from graph.live.event_log import EventLog
from graph.live.hub import BATCH_ROWS, HEARTBEAT_SECONDS, UNSETTLED_POLL_SECONDS
from graph.shared.relay import Cursor
from graph.shared.scalars import JSON, SCALARS
from server.serving import make_bus
from settings import get_settings

NOTIFICATIONS, TOOLS = "notification.added", "tools.changed"
Key = tuple[str, UUID | None]


@dataclass(slots=True)
class Event:
    """A row of the log."""

    cursor: str
    snapshot: dict[str, Any]


class Broadcast:
    """Reads the log when it is woken, and puts each event into the queues of its watchers."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._queues: dict[Key, set[asyncio.Queue[Event]]] = defaultdict(set)
        self._woken = asyncio.Event()
        self._epoch = 0
        self._position = (0, 0)

    async def run(self, bus: WakeBus) -> None:
        """Reads for ever."""
        head = await self._log.head()
        self._epoch, self._position = head.epoch, (head.xmin, 0)
        await bus.start(self._woken.set)
        while True:
            self._woken.clear()
            batch = await self._log.after(self._position, [NOTIFICATIONS, TOOLS], BATCH_ROWS)
            for row in batch.rows:
                self._publish(row)
            if not batch.full:
                seconds = UNSETTLED_POLL_SECONDS if batch.head.unsettled else HEARTBEAT_SECONDS
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), seconds)

    def _publish(self, row: Any) -> None:
        self._position = (row["xid"], row["id"])
        queues = self._queues.get((row["topic"], row["user_id"]))
        if queues:
            event = Event(self.cursor(), orjson.loads(row["snapshot"]))
            for queue in queues:
                queue.put_nowait(event)

    def cursor(self) -> str:
        """Where the reader stands."""
        return Position(self._epoch, *self._position).encode()

    @asynccontextmanager
    async def watch(self, topic: str, user_id: UUID | None) -> AsyncGenerator[asyncio.Queue[Event]]:
        """A queue of the topic's events for this user."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        queues = self._queues[topic, user_id]
        queues.add(queue)
        try:
            yield queue
        finally:
            queues.discard(queue)


@strawberry.type
class Notification:
    """As in our schema."""

    id: strawberry.ID
    type: str
    title_key: str
    message_key: str
    data: JSON
    read: bool
    created_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """From an event's snapshot."""
        return cls(
            id=strawberry.ID(f"notification_{row['id']}"),
            type=row["type"],
            title_key=row["title_key"],
            message_key=row["message_key"],
            data=row["data"],
            read=row["read"],
            created_at=datetime.fromisoformat(row["created_at"]),
        )


@strawberry.type
class Tool:
    """As in our schema."""

    id: strawberry.ID
    name_key: str
    type: str
    credits_cost: int
    sort_order: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """From an event's snapshot."""
        return cls(
            id=strawberry.ID(f"tool_{row['id']}"),
            name_key=row["name_key"],
            type=row["type"],
            credits_cost=row["credits_cost"],
            sort_order=row["sort_order"],
        )


@strawberry.type
class NotificationAdded:
    """As in our schema."""

    cursor: Cursor
    notification: Notification | None


@strawberry.type
class ToolsChanged:
    """As in our schema."""

    cursor: Cursor
    tool: Tool | None


@strawberry.type
class Query:
    """A schema needs one."""

    hello: str = "hello"


@strawberry.type
class Subscription:
    """The two fields that are measured."""

    @strawberry.subscription
    async def notification_added(self, info: Info) -> AsyncGenerator[NotificationAdded]:
        """The caller's."""
        broadcast, actor = info.context["broadcast"], info.context["actor"]
        async with broadcast.watch(NOTIFICATIONS, actor.user_id) as queue:
            yield NotificationAdded(cursor=Cursor(broadcast.cursor()), notification=None)
            while True:
                event = await queue.get()
                added = Notification.of(event.snapshot)
                yield NotificationAdded(cursor=Cursor(event.cursor), notification=added)

    @strawberry.subscription
    async def tools_changed(self, info: Info) -> AsyncGenerator[ToolsChanged]:
        """Everybody's."""
        broadcast = info.context["broadcast"]
        async with broadcast.watch(TOOLS, None) as queue:
            yield ToolsChanged(cursor=Cursor(broadcast.cursor()), tool=None)
            while True:
                event = await queue.get()
                yield ToolsChanged(cursor=Cursor(event.cursor), tool=Tool.of(event.snapshot))


class Application(GraphQL[dict[str, Any], None]):
    """Strawberry's ASGI application, with who asks and a quicker JSON encoder."""

    def __init__(self, tokens: AccessTokens, broadcast: Broadcast) -> None:
        super().__init__(
            strawberry.Schema(
                Query,
                subscription=Subscription,
                config=StrawberryConfig(scalar_map=SCALARS),
                extensions=[partial(ParserCache, None), partial(ValidationCache, None)],
            )
        )
        self._tokens = tokens
        self._broadcast = broadcast

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        """What resolvers work with."""
        del request, response
        return {"broadcast": self._broadcast}

    async def on_ws_connect(self, context: dict[str, Any]) -> Any:
        """Whose connection it is."""
        try:
            token = bearer_token(context["connection_params"]["Authorization"])
            context["actor"] = self._tokens.verify(token or "")
        except (KeyError, DomainError):
            raise ConnectionRejectionError from None
        return await super().on_ws_connect(context)

    def encode_json(self, data: object) -> str:
        """As text, since bytes would become a binary message."""
        return orjson.dumps(data).decode()


async def main(port: int) -> None:
    """Serves until it is told to stop."""
    settings = get_settings()
    database = await Database.connect(settings.database_url, settings)
    broadcast = Broadcast(EventLog(database))
    reading = asyncio.create_task(broadcast.run(make_bus(settings, settings.database_url)))
    tokens = AccessTokens(SigningKeys.load(settings), settings)
    config = uvicorn.Config(
        Application(tokens, broadcast),
        port=port,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    await uvicorn.Server(config).serve()
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])), loop_factory=uvloop.new_event_loop)
