"""The bus: tells the other processes that there is something new to read, and short reports."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable

import structlog
from broadcaster import Broadcast

from graph.live.bus_backends import (
    REPLY_TIMEOUT_SECONDS,
    PostgresBackend,
    ReconnectingBackend,
    RedisBackend,
)

WAKE_CHANNEL = "tallygraph_wake"
PUBLISH_INTERVAL_SECONDS = 0.02
# Behind the sender's name, where a message is more than a wake-up.
REPORT_SEPARATOR = ":"

log = structlog.get_logger(__name__)


class WakeBus:
    """Wakes the hubs of other processes, at most once in 20 ms, and this one when they write.

    Losing a wake-up costs latency only, since every hub also reads on a slow heartbeat; so a
    failure to publish is logged and forgotten.
    """

    def __init__(self, broadcast: Broadcast, connection: ReconnectingBackend | None = None) -> None:
        self._broadcast = broadcast
        self._connection = connection
        self._process_name = secrets.token_hex(8)
        self._due = asyncio.Event()
        self._on_report: Callable[[str], None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def memory(cls) -> WakeBus:
        """The bus of a deployment that is one process."""
        return cls(Broadcast("memory://"))

    @classmethod
    def postgres(cls, direct_url: str) -> WakeBus:
        """A bus over LISTEN/NOTIFY; `direct_url` logs in as `service`, past any PgBouncer."""
        return cls._over(PostgresBackend(direct_url))

    @classmethod
    def redis(cls, url: str) -> WakeBus:
        """A bus over Redis; all deployments that share one should use databases of their own."""
        return cls._over(RedisBackend(url))

    @classmethod
    def _over(cls, connection: ReconnectingBackend) -> WakeBus:
        return cls(Broadcast(backend=connection), connection)

    async def start(self, on_wake: Callable[[], None]) -> None:
        """Call `on_wake` whenever another process has written."""

        def hear(message: str) -> None:
            sender, separator, report = message.partition(REPORT_SEPARATOR)
            if sender == self._process_name:
                return
            if not separator:
                on_wake()
            elif self._on_report is not None:
                self._on_report(report)

        if self._connection:
            self._connection.tell(hear)
        await self._broadcast.connect()
        self._tasks = [
            asyncio.create_task(self._listen(hear), name="live-bus-listen"),
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
        """Tell the other processes soon, if there are any; returns at once."""
        if self._connection is None or not self._connection.is_alone:
            self._due.set()

    def hear_reports(self, on_report: Callable[[str], None]) -> None:
        """Call `on_report` with what another process reports; it says itself what that is worth."""
        self._on_report = on_report

    async def report(self, report: str) -> None:
        """Tell the other processes a text of at most 7,900 bytes, if there are any.

        A report that is lost is not sent again.
        """
        if self._connection is None or self._connection.is_alone:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                message = f"{self._process_name}{REPORT_SEPARATOR}{report}"
                await self._broadcast.publish(WAKE_CHANNEL, message)

    async def _listen(self, hear: Callable[[str], None]) -> None:
        async with self._broadcast.subscribe(WAKE_CHANNEL) as messages:
            while True:
                hear((await messages.get()).message)

    async def _publish_when_due(self) -> None:
        is_away = False
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                    await self._broadcast.publish(WAKE_CHANNEL, self._process_name)
                is_away = False
            except Exception as error:
                # Said once for each time that the bus is away, not for each wake-up.
                if not is_away:
                    log.warning("live.wake_lost", error=error)
                is_away = True
            await asyncio.sleep(PUBLISH_INTERVAL_SECONDS)
