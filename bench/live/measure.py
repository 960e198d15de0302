"""One turn of one server: everybody connects and subscribes, then events are delivered."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psutil

from bench.deployment import Server, open_environment
from bench.ledger import fill
from bench.live.crowd import Crowd, Received, Trouble, client_cores, gathered
from bench.live.events import (
    MARKS,
    OWN_DOCUMENT,
    PUBLIC_DOCUMENT,
    Writer,
    messages_of_commit,
)
from bench.live.figures import (
    OWN,
    PATTERNS,
    PUBLIC,
    TALLYGRAPH,
    Delivery,
    Options,
    Report,
    Turn,
)
from bench.live.servers import Stage, allow_files, started
from bench.live.writers import measure_writers
from bench.processes import busy_seconds
from bench.rounds import percentile

# Users beside the subscribers, who make a server's code run before anything is measured.
WARM_UP_SUBSCRIBERS = 20
WARM_UP_MESSAGES = 400
# Of one server's turn, so that a percentile is not the luck of one second.
LEAST_COMMITS = 3
SETTLE_SECONDS = 0.5
# Keys whose values differ from one row to the next.
OWN_VALUES = frozenset({"createdAt", "cursor", "id", "n", "sortOrder"})
Say = Callable[[str], None]


@asynccontextmanager
async def open_stage(users: int) -> AsyncIterator[Stage]:
    """A database with so many users and their wallets; takes it all away again."""
    async with open_environment(0, 0) as environment:
        yield Stage(environment, await fill(environment, users))


def resident_kilobytes(server: Server) -> float:
    """A server's resident memory."""
    resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident / 1024


def expected_of(pattern: str, messages: int, subscribers: int) -> list[int]:
    """How many messages each client process will get."""
    parts = len(client_cores())
    if pattern == OWN:
        shares = Counter(row % subscribers % parts for row in range(messages))
        return [shares[part] for part in range(parts)]
    turns = messages // subscribers
    return [turns * len(range(part, subscribers, parts)) for part in range(parts)]


def delivery(received: Received, committed_at: dict[int, float], server_seconds: float) -> Delivery:
    """The figures of what was received."""
    latencies = sorted(
        arrived_at - committed_at[number] for number, arrived_at in received.messages
    )
    return Delivery(
        messages=len(latencies),
        p50_milliseconds=percentile(latencies, 0.5) * 1000,
        p99_milliseconds=percentile(latencies, 0.99) * 1000,
        server_microseconds=server_seconds / len(latencies) * 1e6,
        client_share=received.client_share,
    )


async def deliver(
    server: Server, crowd: Crowd, writer: Writer, pattern: str, messages: int, per_second: int
) -> Delivery:
    """Commits events of a pattern and follows them to the clients; all must arrive, once."""
    expected = expected_of(pattern, messages, writer.subscribers)
    await crowd.record(MARKS[pattern], expected)
    before = busy_seconds(server)
    await writer.write(pattern, messages, per_second)
    received = await crowd.collect()
    used = busy_seconds(server) - before
    if len(received.messages) != sum(expected):
        raise Trouble(f"{len(received.messages)} messages instead of {sum(expected)}")
    return delivery(received, writer.committed_at, used)


async def warm_up(server: Server, stage: Stage, per_second: int) -> dict[str, Any]:
    """Lets a server's code run, with a few who then leave; returns the shape of its messages."""
    tokens = stage.tokens[:WARM_UP_SUBSCRIBERS]
    shapes: dict[str, Any] = {}
    async with (
        gathered(stage.environment, server.port, tokens) as crowd,
        Writer.opened(stage, len(tokens)) as writer,
    ):
        await crowd.connect()
        for pattern, document in ((OWN, OWN_DOCUMENT), (PUBLIC, PUBLIC_DOCUMENT)):
            await crowd.subscribe(pattern, document)
            await deliver(server, crowd, writer, pattern, WARM_UP_MESSAGES, per_second)
            shapes[pattern] = shape(orjson.loads(crowd.last))
        await crowd.leave()
    return shapes


async def take_turn(
    name: str, stage: Stage, subscribers: int, options: Options, shapes: dict[str, Any]
) -> Turn:
    """A fresh server's figures, once its messages have been found equal to the others'."""
    deliveries: dict[str, Delivery] = {}
    async with started(name, stage) as server:
        shown = await warm_up(server, stage, options.messages_per_second)
        if (expected := shapes.setdefault("messages", shown)) != shown:
            raise Trouble(f"{name} sends\n{shown}\nand not\n{expected}")
        await asyncio.sleep(SETTLE_SECONDS)
        before = resident_kilobytes(server)
        tokens = stage.tokens[:subscribers]
        async with (
            gathered(stage.environment, server.port, tokens) as crowd,
            Writer.opened(stage, subscribers) as writer,
        ):
            seconds = await crowd.connect()
            await crowd.subscribe(OWN, OWN_DOCUMENT)
            await asyncio.sleep(SETTLE_SECONDS)
            kilobytes = (resident_kilobytes(server) - before) / subscribers
            for pattern in PATTERNS:
                if pattern == PUBLIC:
                    await crowd.subscribe(PUBLIC, PUBLIC_DOCUMENT)
                messages = messages_of(pattern, subscribers, options)
                deliveries[pattern] = await deliver(
                    server, crowd, writer, pattern, messages, options.messages_per_second
                )
            await crowd.leave()
    return Turn(subscribers / seconds, kilobytes, deliveries)


def messages_of(pattern: str, subscribers: int, options: Options) -> int:
    """How many messages a pattern makes in a turn."""
    wanted = round(options.messages_per_second * options.seconds)
    each = messages_of_commit(pattern, subscribers, options.messages_per_second)
    return max(LEAST_COMMITS, wanted // each) * each


def shape(message: Any, key: str = "") -> Any:
    """A message without what differs from row to row: its id, its timestamp and its cursor."""
    if isinstance(message, dict):
        return {name: shape(value, name) for name, value in message.items()}
    if key in OWN_VALUES:
        return (
            re.sub(r"[\w-]", "x", message) if isinstance(message, str) else type(message).__name__
        )
    return message


async def measure(options: Options, say: Say) -> Report:
    """All turns, the servers one after another and another one first in each round."""
    report, shapes = Report(options), dict[str, Any]()
    most = max(*options.subscribers, options.watchers_of_writers, WARM_UP_SUBSCRIBERS)
    allow_files(2 * most)
    say(f"Filling a database with {most} users")
    async with open_stage(most) as stage:
        for number in range(options.rounds):
            first = number % max(1, len(options.servers))
            for subscribers in options.subscribers:
                for name in options.servers[first:] + options.servers[:first]:
                    say(
                        f"Round {number + 1} of {options.rounds}: {name}, {subscribers} subscribers"
                    )
                    turn = await take_turn(name, stage, subscribers, options, shapes)
                    report.turns.setdefault((name, subscribers), []).append(turn)
                    report.loads += (os.getloadavg()[0],)
        if options.with_writers:
            async with started(TALLYGRAPH, stage) as server:
                report.spends = await measure_writers(server, stage, options, say)
    return report
