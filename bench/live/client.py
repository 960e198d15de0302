"""`python -m bench.live.client`: many subscribers in one process, told what to do line by line.

It reads no more of a message than it needs, so that the servers are the slower side.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

UPGRADE = (
    "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(b'tallygraph bench').decode()}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
).encode()
SWITCHED = b"HTTP/1.1 101 "
HEAD_END = b"\r\n\r\n"
# Connections on their way at the same time: enough to keep the server busy.
UNDER_WAY = 32
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


class Refused(Exception):
    """The server said something else than the protocol's next word."""


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame; a mask of zeros leaves its payload as it is."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, 0x80 | size)) + bytes(4) + payload
    return bytes((opcode, 0xFE)) + size.to_bytes(2) + bytes(4) + payload


def message(content: dict[str, Any]) -> bytes:
    """A message of the client's."""
    return frame(TEXT, orjson.dumps(content))


@dataclass
class Crowd:
    """What all subscribers of this process share."""

    mark: bytes = b""
    numbers: array[int] = field(default_factory=lambda: array("I"))
    arrival_times: array[float] = field(default_factory=lambda: array("d"))
    failure: str = ""
    last: bytes = b""
    expected: int = 0
    all_there: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, number: int, now: float) -> None:
        """A message of an event arrived."""
        self.numbers.append(number)
        self.arrival_times.append(now)
        if len(self.numbers) == self.expected:
            self.all_there.set()

    def fail(self, reason: str) -> None:
        """Something went wrong; the first reason stands."""
        self.failure = self.failure or reason
        self.all_there.set()


class Subscriber(asyncio.Protocol):
    """One socket."""

    __slots__ = (
        "_buffer",
        "_crowd",
        "_init",
        "_is_open",
        "_newest",
        "_transport",
        "acknowledged",
        "subscribed",
    )

    def __init__(self, crowd: Crowd, token: str) -> None:
        self._crowd = crowd
        payload = {"Authorization": f"Bearer {token}"}
        self._init = message({"type": "connection_init", "payload": payload})
        self._buffer = b""
        self._is_open = False
        self._newest = -1
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.acknowledged: asyncio.Future[None] = loop.create_future()
        self.subscribed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for a WebSocket."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(UPGRADE)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody but this side should end a connection."""
        self._crowd.fail(f"a connection was lost: {error!r}")
        if not self.acknowledged.done():
            self.acknowledged.set_exception(error or Refused("closed before its acknowledgement"))

    def send(self, data: bytes) -> None:
        """Writes to the server."""
        assert self._transport is not None
        self._transport.write(data)

    def subscribe(self, identifier: str, document: str) -> asyncio.Future[None]:
        """Begins a subscription; done when its first item is there."""
        self.subscribed = asyncio.get_running_loop().create_future()
        self._newest = -1
        self.send(message({"id": identifier, "type": "subscribe", "payload": {"query": document}}))
        return self.subscribed

    def leave(self) -> None:
        """Goes without a word: what comes after is not measured."""
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Takes whole frames apart."""
        now = time.monotonic()
        if self._buffer:
            data = self._buffer + data
        if not self._is_open:
            end = data.find(HEAD_END)
            if end < 0:
                self._buffer = data
                return
            self._open(data)
            data = data[end + len(HEAD_END) :]
        start, size = 0, len(data)
        while size - start >= 2:
            length, begins = data[start + 1], start + 2
            if length == 126:
                length, begins = int.from_bytes(data[start + 2 : start + 4]), start + 4
            if begins + length > size:
                break
            self._frame(data[start], data[begins : begins + length], now)
            start = begins + length
        self._buffer = data[start:]

    def _open(self, data: bytes) -> None:
        if not data.startswith(SWITCHED):
            raise Refused(data[:200].decode(errors="replace"))
        self._is_open = True
        self.send(self._init)

    def _frame(self, opcode: int, payload: bytes, now: float) -> None:
        crowd = self._crowd
        if opcode == TEXT:
            at = payload.find(crowd.mark) if crowd.mark else -1
            if at >= 0:
                start = at + len(crowd.mark)
                end = start
                while 48 <= payload[end] <= 57:
                    end += 1
                number = int(payload[start:end])
                if number <= self._newest:
                    crowd.fail(f"event {number} came behind {self._newest}")
                self._newest = number
                crowd.last = payload
                crowd.note(number, now)
            else:
                self._word(payload)
        elif opcode == PING:
            self.send(frame(PONG, payload))
        else:
            crowd.fail(f"an unexpected frame: {payload[:200]!r}")

    def _word(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"connection_ack"'):
            self.acknowledged.set_result(None)
        elif b'"type":"next"' in payload:
            if self.subscribed and not self.subscribed.done():
                self.subscribed.set_result(None)
        elif payload.startswith(b'{"type":"ping"'):
            self.send(message({"type": "pong"}))
        else:
            self._crowd.fail(f"an unexpected message: {payload[:400]!r}")


class Client:
    """The commands. Each answers with one line of JSON."""

    def __init__(self, port: int, tokens: list[str], answers: Path) -> None:
        self._port = port
        self._tokens = tokens
        self._answers = answers
        self._crowd = Crowd()
        self._subscribers: list[Subscriber] = []
        self._cpu_seconds = self._began = 0.0

    async def connect(self) -> dict[str, Any]:
        """Connects everybody; the time from the first connect to the last acknowledgement."""
        waiting = deque(self._tokens)
        loop = asyncio.get_running_loop()

        async def connect_some() -> None:
            while waiting:
                token = waiting.popleft()
                _, subscriber = await loop.create_connection(
                    partial(Subscriber, self._crowd, token), "127.0.0.1", self._port
                )
                await subscriber.acknowledged
                self._subscribers.append(subscriber)

        started = time.monotonic()
        await asyncio.gather(*(connect_some() for _ in range(UNDER_WAY)))
        return {"started": started, "ended": time.monotonic()}

    async def subscribe(self, identifier: str, document: str) -> dict[str, Any]:
        """Begins a subscription on every connection and awaits its first item."""
        for start in range(0, len(self._subscribers), UNDER_WAY):
            some = self._subscribers[start : start + UNDER_WAY]
            await asyncio.gather(*(one.subscribe(identifier, document) for one in some))
        return self._state()

    async def record(self, mark: str, expected: int) -> dict[str, Any]:
        """Notes from now on the number behind `mark` in each message, until so many are there."""
        self._crowd.mark = mark.encode()
        self._crowd.numbers, self._crowd.arrival_times = array("I"), array("d")
        self._crowd.expected = expected
        self._crowd.all_there.clear()
        self._began, self._cpu_seconds = time.monotonic(), time.process_time()
        return self._state()

    async def collect(self, timeout_seconds: float) -> dict[str, Any]:
        """Waits for what is still on its way, then writes all into the file of answers."""
        crowd = self._crowd
        try:
            async with asyncio.timeout(timeout_seconds):
                await crowd.all_there.wait()
        except TimeoutError:
            crowd.fail(f"{len(crowd.numbers)} of {crowd.expected} messages arrived")
        share = (time.process_time() - self._cpu_seconds) / (time.monotonic() - self._began)
        with self._answers.open("wb") as file:
            crowd.numbers.tofile(file)
            crowd.arrival_times.tofile(file)
        return {**self._state(), "count": len(crowd.numbers), "cpu_share": share}

    async def leave(self) -> dict[str, Any]:
        """Drops all connections."""
        state = self._state()
        for subscriber in self._subscribers:
            subscriber.leave()
        return state

    def _state(self) -> dict[str, Any]:
        return {"failure": self._crowd.failure, "last": self._crowd.last.decode()}


async def main(config: dict[str, Any]) -> None:
    """Obeys until its input ends."""
    client = Client(config["port"], config["tokens"], Path(config["answers"]))
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = orjson.loads(line)
        print(orjson.dumps(await getattr(client, command)(*arguments)).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(
        main(orjson.loads(Path(sys.argv[1]).read_bytes())), loop_factory=uvloop.new_event_loop
    )
