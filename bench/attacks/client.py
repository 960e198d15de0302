"""A client of the measurement: one keep-alive connection from an address of its own choice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from bench.load import HEAD_END, LENGTH, request_bytes

HOST = "127.0.0.1"
# A document of the attacks may have an answer of many megabytes.
READ_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An answer's HTTP status and its body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body read as JSON; empty when it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


class Client:
    """Sends one request after another; opens its connection again whenever it was closed."""

    def __init__(self, port: int, address: str = HOST, token: str | None = None) -> None:
        self.token = token
        self._port = port
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection, opened from this client's address if there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                HOST, self._port, local_addr=(self._address, 0), limit=READ_LIMIT_BYTES
            )
        return self._streams

    async def send(self, query: str, variables: dict[str, Any] | None = None) -> Answer:
        """One operation and its answer; `OSError` when the server closed instead."""
        reader, writer = await self.connect()
        body = orjson.dumps({"query": query, "variables": variables or {}})
        try:
            writer.write(request_bytes(self._port, self.token, body))
            head = await reader.readuntil(HEAD_END)
            start = head.index(LENGTH) + len(LENGTH)
            answer = await reader.readexactly(int(head[start : head.index(b"\r", start)]))
        except asyncio.IncompleteReadError as error:
            self.close()
            raise ConnectionError("closed before its answer") from error
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head.lower():
            self.close()
        return Answer(int(head.split(b" ", 2)[1]), answer)

    def close(self) -> None:
        """Drops the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._streams = None
