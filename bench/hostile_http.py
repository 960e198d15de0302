"""`python -m bench.hostile_http`: what refusing each hostile request costs a server and the others.

One client sends a hostile request; meanwhile another asks for the name of a type every millisecond.
The longest that the other waits is what the event loop was stalled for, and a little more.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import orjson
from rich.console import Console
from rich.table import Table

from bench.deployment import Server, on_core, open_environment, start_tallygraph
from bench.load import HEAD_END, LENGTH, request_bytes
from bench.processes import busy_seconds
from tests.graph.hostile import HOSTILE, HOSTILE_VARIABLES

RUNS = 15
PAUSE_SECONDS = 0.001
PLAIN = orjson.dumps({"query": "{ __typename }"})


@dataclass
class Found:
    """What was seen of one hostile request, in milliseconds, once for each time it was sent."""

    name: str
    outcome: str = ""
    cpu: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    stalled: list[float] = field(default_factory=list)


class Connection:
    """One connection, for one request after another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, body: bytes) -> tuple[bytes, bytes]:
        """Sends a request; its answer's head and body. A refused body closes the connection."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request_bytes(self._port, None, body))
        head = await reader.readuntil(HEAD_END)
        length = int(head[head.index(LENGTH) + len(LENGTH) :].split(b"\r", 1)[0])
        answer = await reader.readexactly(length)
        if b"connection: close" in head.lower():
            await self.close()
        return head, answer

    async def close(self) -> None:
        """Closes it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._streams = None


@asynccontextmanager
async def waiting(port: int) -> AsyncIterator[list[float]]:
    """How long another client waits for each of its answers meanwhile, in milliseconds."""
    connection, waits = Connection(port), list[float]()
    await connection.send(PLAIN)

    async def ask() -> None:
        while True:
            started = perf_counter()
            await connection.send(PLAIN)
            waits.append((perf_counter() - started) * 1000)
            await asyncio.sleep(PAUSE_SECONDS)

    task = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()


def bodies() -> Iterator[tuple[str, bytes]]:
    """Every hostile request as it is sent."""
    for name, (text, _) in HOSTILE.items():
        yield name, orjson.dumps({"query": text})
    for name, (text, value) in HOSTILE_VARIABLES.items():
        yield name, json.dumps({"query": text, "variables": {"v": value}}).encode()


async def send_once(server: Server, found: Found, body: bytes) -> None:
    """Sends one hostile request and notes what it cost."""
    attacker = Connection(server.port)
    await attacker.send(PLAIN)
    before = busy_seconds(server)
    started = perf_counter()
    head, answer = await attacker.send(body)
    found.answered.append((perf_counter() - started) * 1000)
    found.cpu.append((busy_seconds(server) - before) * 1000)
    await attacker.close()
    errors = orjson.loads(answer).get("errors") or [{}]
    code = errors[0].get("extensions", {}).get("code", "answered")
    found.outcome = "413" if head.startswith(b"HTTP/1.1 413") else code


async def longest_wait(server: Server, body: bytes) -> float:
    """Sends one hostile request; how long another client waited at most meanwhile."""
    attacker = Connection(server.port)
    async with waiting(server.port) as waits:
        await some_more(waits)
        waits.clear()
        await attacker.send(body)
        await some_more(waits)
        longest = max(waits)
    await attacker.close()
    return longest


async def some_more(waits: list[float]) -> None:
    """Returns once three more answers have come."""
    before = len(waits)
    while len(waits) < before + 3:  # noqa: ASYNC110 -- a list has no event for it
        await asyncio.sleep(PAUSE_SECONDS)


async def measured(server: Server, runs: int = RUNS) -> list[Found]:
    """Every hostile request, sent so many times in turn; the costliest first."""
    everything = [(Found(name), body) for name, body in bodies()]
    for _ in range(runs):
        for found, body in everything:
            await send_once(server, found, body)
            found.stalled.append(await longest_wait(server, body))
    return sorted((found for found, _ in everything), key=lambda one: min(one.cpu), reverse=True)


async def main() -> None:
    """Prints the table."""
    async with open_environment(2, 1) as environment:
        with start_tallygraph(environment) as server, on_core(-1):
            rows = await measured(server)
    table = Table(
        "Request", "CPU ms, least", "median", "Refused in ms", "Others wait ms", "longest"
    )
    table.add_column("Outcome")
    for one in rows:
        figures = (
            min(one.cpu),
            statistics.median(one.cpu),
            statistics.median(one.answered),
            statistics.median(one.stalled),
            max(one.stalled),
        )
        table.add_row(one.name, *(f"{figure:.1f}" for figure in figures), one.outcome)
    Console(width=120).print(table)


if __name__ == "__main__":
    asyncio.run(main())
