"""The bus: tells the other processes that there is something new to read, and nothing more."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
import structlog
from broadcaster import Broadcast, BroadcastBackend
from broadcaster import Event as Message

WAKE_CHANNEL = "tallygraph_wake"
PUBLISH_INTERVAL_SECONDS = 0.005
PROBE_INTERVAL_SECONDS = 2.0
REPLY_TIMEOUT_SECONDS = 2.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 1.0
# A wake-up says "read again": when this many wait unread, one more adds nothing.
_PENDING_LIMIT = 256

log = structlog.get_logger(__name__)


class PostgresBackend(BroadcastBackend):
    """LISTEN/NOTIFY on one direct connection that is probed, and replaced when it falls silent.

    After each reconnect every channel gets an empty message, since some may have been missed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        # asyncpg runs one statement at a time on a connection: publisher and probe take turns.
        self._turn = asyncio.Lock()
        self._channels: set[str] = set()
        self._received: asyncio.Queue[Message] = asyncio.Queue(_PENDING_LIMIT)
        self._keeper: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Begin keeping a connection; a database that is away is waited for in the background."""
        self._keeper = asyncio.create_task(self._keep_connected(), name="live-bus")

    async def disconnect(self) -> None:
        """Stop listening."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._drop_connection()

    async def subscribe(self, group: str) -> None:
        """Listen on a channel from now on, on this connection or the next."""
        self._channels.add(group)
        if self._connection:
            await self._listen(self._connection, group)

    async def unsubscribe(self, group: str) -> None:
        """Forget a channel; its messages are dropped."""
        self._channels.discard(group)

    async def publish(self, channel: str, message: Any) -> None:
        """Send one message outside of any transaction; raises when the connection is away."""
        connection = self._connection
        if connection is None:
            raise ConnectionError("the bus is reconnecting")
        async with self._turn:
            await connection.execute(
                "select pg_notify($1, $2)", channel, str(message), timeout=REPLY_TIMEOUT_SECONDS
            )

    async def next_published(self) -> Message:
        """The next message of any channel; waits through reconnects."""
        return await self._received.get()

    async def _keep_connected(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                connection = await self._open_connection()
                retry_seconds = FIRST_RETRY_SECONDS
                await self._probe_until_lost(connection)
            except Exception as error:
                log.warning("live.bus_lost", error=repr(error), retry_seconds=retry_seconds)
            self._drop_connection()
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, LONGEST_RETRY_SECONDS)

    async def _open_connection(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=REPLY_TIMEOUT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "tallygraph live"},
        )
        self._connection = connection
        for channel in tuple(self._channels):
            async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                await self._listen(connection, channel)
            self._receive(channel, "")
        return connection

    async def _listen(self, connection: asyncpg.Connection, channel: str) -> None:
        async with self._turn:
            await connection.add_listener(
                channel, lambda _connection, _pid, name, message: self._receive(name, message)
            )

    async def _probe_until_lost(self, connection: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        while not lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), PROBE_INTERVAL_SECONDS)
            async with self._turn:
                await connection.execute("select 1", timeout=REPLY_TIMEOUT_SECONDS)

    def _drop_connection(self) -> None:
        if self._connection:
            self._connection.terminate()
            self._connection = None

    def _receive(self, channel: str, message: str) -> None:
        if channel in self._channels:
            with suppress(asyncio.QueueFull):
                self._received.put_nowait(Message(channel, message))


class WakeBus:
    """Wakes the hubs of other processes, at most once in 5 ms, and this one when they write.

    Losing a wake-up costs latency only, since every hub also reads on a slow heartbeat; so a
    failure to publish is logged and forgotten.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._process_name = secrets.token_hex(8)
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def memory(cls) -> WakeBus:
        """The bus of a deployment that is one process."""
        return cls(Broadcast("memory://"))

    @classmethod
    def postgres(cls, direct_url: str) -> WakeBus:
        """A bus over LISTEN/NOTIFY; `direct_url` logs in as `service`, past any PgBouncer."""
        return cls(Broadcast(backend=PostgresBackend(direct_url)))

    async def start(self, on_wake: Callable[[], None]) -> None:
        """Call `on_wake` whenever another process has written."""
        await self._broadcast.connect()
        self._tasks = [
            asyncio.create_task(self._listen(on_wake), name="live-bus-listen"),
            asyncio.create_task(self._publish_when_due(), name="live-bus-publish"),
        ]

    async def stop(self) -> None:
        """Stop both directions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._broadcast.disconnect()

    def publish(self) -> None:
        """Tell the other processes soon; returns at once."""
        self._due.set()

    async def _listen(self, on_wake: Callable[[], None]) -> None:
        async with self._broadcast.subscribe(WAKE_CHANNEL) as messages:
            while True:
                message = await messages.get()
                if message.message != self._process_name:
                    on_wake()

    async def _publish_when_due(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                    await self._broadcast.publish(WAKE_CHANNEL, self._process_name)
            except Exception as error:
                log.warning("live.wake_lost", error=repr(error))
            await asyncio.sleep(PUBLISH_INTERVAL_SECONDS)
