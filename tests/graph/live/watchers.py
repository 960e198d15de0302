"""Clients that watch a balance through whatever breaks, and what they went through meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

WATCH = (
    "subscription ($after: Cursor) { creditsChanged(after: $after) { cursor credits { balance } } }"
)


class Silence:
    """How long a client that believed itself served had changes coming and heard nothing.

    The clock runs while the socket is acknowledged and a change is committed but not yet shown.
    Every frame starts it anew, and the end of the socket stops it: who is cut off knows it, and
    connects elsewhere. So what is left is the time in which a client is in the dark without
    knowing: a stream that hangs.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._since: float | None = None

    def heard(self, *, still_waiting: bool) -> None:
        """A frame came."""
        self.ended()
        self._since = time.monotonic() if still_waiting else None

    def expected(self) -> None:
        """A change was committed that this client should hear of."""
        self._since = self._since or time.monotonic()

    def ended(self) -> None:
        """The socket is closed, or the test is over."""
        if self._since is not None:
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - self._since)
        self._since = None


class Watcher:
    """A client that keeps every balance it is shown, and moves to another node when cut off."""

    def __init__(self, ports: list[int], token: str, first: int) -> None:
        self.balances: list[int] = []
        self.reconnects = -1
        self.closed_with: list[int | None] = []
        self.delays_seconds: list[float] = []
        self.silence = Silence()
        self._ports = ports
        self._token = token
        self._turn = first
        self._cursor: str | None = None
        self._served = False
        self._committed_at: dict[int, float] = {}
        self._newest = 0

    def expect(self, balance: int) -> None:
        """This balance was just committed."""
        self._newest = max(self._newest, balance)
        self._committed_at[balance] = time.monotonic()
        if self._served and self.is_behind:
            self.silence.expected()

    @property
    def is_behind(self) -> bool:
        """Whether something was committed that it has not been shown."""
        return not self.balances or self.balances[-1] < self._newest

    def faults(self, until: int) -> tuple[int, int, int]:
        """How many balances were missed, doubled and out of order, from the first it was shown."""
        expected = range(self.balances[0], until + 1)
        missed = len(set(expected) - set(self.balances))
        doubled = len(self.balances) - len(set(self.balances))
        return missed, doubled, sum(later < sooner for sooner, later in pairwise(self.balances))

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            port = self._ports[self._turn % len(self._ports)]
            self._turn += 1
            self.reconnects += 1
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    f"ws://127.0.0.1:{port}/graphql",
                    subprotocols=[Subprotocol("graphql-transport-ws")],
                    proxy=None,
                    open_timeout=5,
                    close_timeout=0.1,
                ) as socket:
                    try:
                        await self._watch(socket)
                    finally:
                        self._served = False
                        self.silence.ended()
                        self.closed_with.append(socket.close_code)
            await asyncio.sleep(0.1)

    async def _watch(self, socket: Any) -> None:
        await self._say(socket, type="connection_init", payload={"Authorization": self._token})
        payload = {"query": WATCH, "variables": {"after": self._cursor}}
        async for text in socket:
            message = orjson.loads(text)
            match message["type"]:
                case "connection_ack":
                    self._served = True
                    await self._say(socket, id="1", type="subscribe", payload=payload)
                case "ping":
                    await self._say(socket, type="pong")
                case "next":
                    self._note(message["payload"]["data"]["creditsChanged"])
                case _:
                    raise AssertionError(message)
            self.silence.heard(still_waiting=self.is_behind)

    def _note(self, item: dict[str, Any]) -> None:
        self._cursor = item["cursor"]
        balance = item["credits"]["balance"]
        self.balances.append(balance)
        if committed_at := self._committed_at.pop(balance, None):
            self.delays_seconds.append(time.monotonic() - committed_at)

    async def _say(self, socket: Any, **message: Any) -> None:
        await socket.send(orjson.dumps(message).decode())
