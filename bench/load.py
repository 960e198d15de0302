"""The load: keep-alive HTTP/1.1 connections that each send a request as soon as one is answered."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from itertools import cycle
from time import perf_counter
from typing import cast

from bench.data import Person
from bench.workloads import Source

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "
OK = b"HTTP/1.1 200 "


class UnexpectedAnswer(Exception):
    """A server answered something else than the data that was asked for."""


def request_bytes(port: int, token: str | None, body: bytes) -> bytes:
    """One POST /graphql."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def check(head: bytes, body: bytes) -> None:
    """Refuses anything but data: no answer of these workloads holds an error or a null."""
    if not head.startswith(OK) or b'"errors":[{' in body or b"null" in body:
        raise UnexpectedAnswer((head + HEAD_END + body)[:2000].decode(errors="replace"))


class Client(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self, next_request: Callable[[], bytes | None], seconds: array[float]) -> None:
        self._next_request = next_request
        self._seconds = seconds
        self._buffer = b""
        self._expected = 0
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.last_body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        request = self._next_request()
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent_at = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collects an answer; once it is whole, it is checked and the next request sent."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) < self._expected:
            return
        head_end = self._buffer.find(HEAD_END)
        if head_end < 0:
            return
        start = self._buffer.find(LENGTH, 0, head_end) + len(LENGTH)
        length = int(self._buffer[start : self._buffer.find(b"\r", start)])
        self._expected = head_end + len(HEAD_END) + length
        if len(self._buffer) < self._expected:
            return
        self._seconds.append(perf_counter() - self._sent_at)
        head, self.last_body = self._buffer[:head_end], self._buffer[head_end + len(HEAD_END) :]
        self._buffer, self._expected = b"", 0
        try:
            check(head, self.last_body)
        except UnexpectedAnswer as error:
            self.done.set_exception(error)
            return
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """A server that closes under load is a fault."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def run_load(
    port: int,
    people: list[Person],
    body: Source,
    seconds: float,
    connections: int,
    *,
    at_least: int = 0,
    with_tokens: bool = True,
) -> list[float]:
    """Keeps the connections busy for a while, and until so many requests have been sent.

    Returns each answer's latency in seconds.
    """
    turns = cycle(people)
    ends_at, sent = perf_counter() + seconds, 0

    def next_request() -> bytes | None:
        nonlocal sent
        if perf_counter() >= ends_at and sent >= at_least:
            return None
        sent += 1
        person = next(turns)
        return request_bytes(port, person.token if with_tokens else None, body(person))

    return await send_all(port, next_request, connections)


async def send_all(
    port: int, next_request: Callable[[], bytes | None], connections: int
) -> list[float]:
    """Sends requests until there is none, one at a time on each connection.

    Returns each answer's latency in seconds.
    """
    latencies, loop = array("d"), asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(next_request, latencies), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    return list(latencies)


async def ask(port: int, token: str | None, body: bytes) -> bytes:
    """One request and the body of its answer."""
    return await send(port, request_bytes(port, token, body))


async def send(port: int, request: bytes) -> bytes:
    """One request, as it goes over the wire, and the body of its answer."""
    requests = iter([request])
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(lambda: next(requests, None), array("d")), "127.0.0.1", port
    )
    await client.done
    return client.last_body
