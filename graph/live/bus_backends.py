"""What carries wake-ups: Postgres or Redis, on connections that are probed and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from broadcaster import BroadcastBackend
from broadcaster import Event as Message

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

PROBE_INTERVAL_SECONDS = 2.0
APPLICATION_NAME = "tallygraph live"
# A session is listed from before its first LISTEN until after its last, and roles see their own.
_OTHERS = """
select exists (
    select from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()
    and datname = current_database())
"""
REPLY_TIMEOUT_SECONDS = 2.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 1.0
# A wake-up says "read again": when this many wait unread, one more adds nothing.
_PENDING_LIMIT = 256

log = structlog.get_logger(__name__)


class ReconnectingBackend(BroadcastBackend):
    """A connection that is kept in the background, whatever becomes of the server behind it.

    After each reconnect every channel gets an empty message, since some may have been missed.
    """

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._received: asyncio.Queue[Message] = asyncio.Queue(_PENDING_LIMIT)
        self._keeper: asyncio.Task[None] | None = None
        self._on_message: Callable[[str], None] | None = None
        # Whether it is known that no other process listens.
        self.is_alone = False

    def tell(self, on_message: Callable[[str], None]) -> None:
        """Call this for each message at once, instead of queueing it for two tasks."""
        self._on_message = on_message

    async def connect(self) -> None:
        """Begin keeping a connection; a server that is away is waited for in the background."""
        self._keeper = asyncio.create_task(self._keep_connected(), name="live-bus")

    async def disconnect(self) -> None:
        """Stop listening."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._drop()

    async def subscribe(self, group: str) -> None:
        """Listen on a channel from now on, on this connection or the next."""
        self._channels.add(group)
        await self._listen(group)

    async def unsubscribe(self, group: str) -> None:
        """Forget a channel; its messages are dropped."""
        self._channels.discard(group)

    async def next_published(self) -> Message:
        """The next message of any channel; waits through reconnects."""
        return await self._received.get()

    async def _keep_connected(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._open()
                for channel in tuple(self._channels):
                    async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                        await self._listen(channel)
                    self._receive(channel, "")
                retry_seconds = FIRST_RETRY_SECONDS
                await self._until_lost()
            except Exception as error:
                log.warning("live.bus_lost", error=error, retry_seconds=retry_seconds)
            await self._drop()
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, LONGEST_RETRY_SECONDS)

    def _receive(self, channel: str, message: str) -> None:
        if channel not in self._channels:
            return
        if self._on_message:
            self._on_message(message)
        else:
            with suppress(asyncio.QueueFull):
                self._received.put_nowait(Message(channel, message))

    async def _open(self) -> None:
        """Connect, or raise."""
        raise NotImplementedError

    async def _listen(self, channel: str) -> None:
        """Listen on the connection there is; nothing to do without one."""
        raise NotImplementedError

    async def _until_lost(self) -> None:
        """Probe until the connection fails or is silent: returns or raises then."""
        raise NotImplementedError

    async def _drop(self) -> None:
        """Close what there is."""
        raise NotImplementedError


class PostgresBackend(ReconnectingBackend):
    """LISTEN/NOTIFY on one direct connection.

    While it `is_alone` nothing need be sent, and 50 notifications a second can be told from none.
    Who begins to listen greets the others, and each looks for them at every probe.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._was_greeted = False
        self._connection: asyncpg.Connection | None = None
        # asyncpg runs one statement at a time on a connection: publisher and probe take turns.
        self._turn = asyncio.Lock()

    async def publish(self, channel: str, message: Any) -> None:
        """Send one message outside of any transaction; raises when the connection is away."""
        if self._connection is None:
            raise ConnectionError("the bus is reconnecting")
        await self._notify(self._connection, channel, str(message))

    async def _notify(self, connection: asyncpg.Connection, channel: str, message: str) -> None:
        async with self._turn:
            await connection.execute(
                "select pg_notify($1, $2)", channel, message, timeout=REPLY_TIMEOUT_SECONDS
            )

    async def _open(self) -> None:
        self.is_alone = False
        self._connection = await asyncpg.connect(
            self._url,
            timeout=REPLY_TIMEOUT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": APPLICATION_NAME},
        )

    async def _listen(self, channel: str) -> None:
        connection = self._connection
        if connection is None:
            return
        async with self._turn:
            await connection.add_listener(channel, self._hear)
        await self._notify(connection, channel, "")

    def _hear(self, connection: asyncpg.Connection, pid: int, channel: str, message: str) -> None:
        if pid != connection.get_server_pid():
            self.is_alone, self._was_greeted = False, True
        self._receive(channel, message)

    async def _until_lost(self) -> None:
        connection = self._connection
        assert connection is not None
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        while not lost.is_set():
            await self._look_for_others(connection)
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), PROBE_INTERVAL_SECONDS)

    async def _look_for_others(self, connection: asyncpg.Connection) -> None:
        async with self._turn:
            self._was_greeted = False
            is_accompanied = await connection.fetchval(
                _OTHERS, APPLICATION_NAME, timeout=REPLY_TIMEOUT_SECONDS
            )
        # Who greeted during the look may not have been among them.
        self.is_alone = not (is_accompanied or self._was_greeted)

    async def _drop(self) -> None:
        if self._connection:
            self._connection.terminate()
            self._connection = None


class RedisBackend(ReconnectingBackend):
    """PUBLISH and SUBSCRIBE; the listening connection is pinged while nothing comes."""

    def __init__(self, url: str) -> None:
        # Imported where there is one: it takes 200 ms, and more where OpenTelemetry is installed.
        from redis.asyncio import Redis

        super().__init__()
        self._client: Redis = Redis.from_url(
            url, socket_timeout=REPLY_TIMEOUT_SECONDS, socket_connect_timeout=REPLY_TIMEOUT_SECONDS
        )
        self._listener: PubSub | None = None

    async def publish(self, channel: str, message: Any) -> None:
        """Send one message; raises when Redis is away."""
        await self._client.publish(channel, str(message))

    async def _open(self) -> None:
        await self._client.ping()
        self._listener = self._client.pubsub(ignore_subscribe_messages=True)

    async def _listen(self, channel: str) -> None:
        if self._listener:
            await self._listener.subscribe(channel)

    async def _until_lost(self) -> None:
        listener = self._listener
        assert listener is not None
        heard_at = asked_at = asyncio.get_running_loop().time()
        while True:
            if not listener.subscribed:
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                continue
            message = await listener.get_message(timeout=PROBE_INTERVAL_SECONDS / 2)
            now = asyncio.get_running_loop().time()
            if message is not None:
                heard_at = now
                if message["type"] == "message":
                    self._receive(message["channel"].decode(), message["data"].decode())
            elif now - heard_at > PROBE_INTERVAL_SECONDS + REPLY_TIMEOUT_SECONDS:
                raise ConnectionError("Redis answers no ping")
            elif now - max(heard_at, asked_at) >= PROBE_INTERVAL_SECONDS:
                asked_at = now
                await listener.ping()

    async def _drop(self) -> None:
        listener, self._listener = self._listener, None
        if listener:
            with suppress(Exception):
                await listener.aclose()  # type: ignore[no-untyped-call]
        with suppress(Exception):
            await self._client.aclose()
