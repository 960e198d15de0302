"""What slow clients cost the others: the latency of Q1 with and without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.deployment import Deployment, on_core
from bench.figures import Options, Result
from bench.measure import Loader, Say
from bench.processes import Postgres
from bench.rounds import measure_round
from bench.workloads import TALLYGRAPH, WORKLOADS

WITH, WITHOUT = "with slow clients", "without"
# One byte a second, half of them within the head of a request and half within its body.
BYTE_SECONDS = 1.0
HEAD = b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SLOW_STARTS = (
    HEAD + b"X-Slow: ",
    HEAD + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
)


async def be_slow(port: int, start: bytes) -> None:
    """Sends a request a byte at a time; comes again whenever the server has had enough."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            while not writer.is_closing():
                await asyncio.sleep(BYTE_SECONDS)
                writer.write(b"x")
                await writer.drain()
        await asyncio.sleep(BYTE_SECONDS)


@asynccontextmanager
async def slow_clients(port: int, number: int) -> AsyncIterator[None]:
    """So many of them for a block."""
    tasks = [
        asyncio.create_task(be_slow(port, SLOW_STARTS[position % 2])) for position in range(number)
    ]
    await asyncio.sleep(BYTE_SECONDS)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure_slow_clients(
    deployment: Deployment, options: Options, number: int, say: Say
) -> Result:
    """Rounds of Q1 with so many slow clients and without any, in turn."""
    server, nested_read = deployment.servers[TALLYGRAPH], WORKLOADS[0]
    postgres = await Postgres.find(deployment.owner_url)
    loader = Loader(deployment, nested_read, server, options.connections)
    result = Result(nested_read, {WITH: [], WITHOUT: []})
    with on_core(-1):
        await loader.load(options.seconds / 2)
        for round_number in range(options.rounds):
            for name, present in ((WITHOUT, 0), (WITH, number)):
                say(f"Round {round_number + 1} of {options.rounds}, {name}")
                async with slow_clients(server.port, present):
                    load = loader.load(options.seconds)
                    result.rounds[name].append(await measure_round([server], load, postgres))
    return result
