"""One turn of one server: everybody connects and subscribes, then events are delivered."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.house import Ground, Server
from bench.ledger import TOKEN_SECONDS, prepare
from bench.live.crowd import Crowd, Received, Trouble, client_cores, gathered
from bench.live.events import MARKS, OWN_DOCUMENT, PUBLIC_DOCUMENT, Writer
from bench.live.figures import (
    BURST,
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
from db.embedded import destroy_embedded, start_embedded
from settings import Settings

# Users beside the subscribers, who make a server's code run before anything is measured.
WARM_UP_SUBSCRIBERS = 20
WARM_UP_MESSAGES = 400
SETTLE_SECONDS = 1.0
# Keys whose values differ from one row to the next.
OWN_VALUES = frozenset({"createdAt", "cursor", "id", "n", "sortOrder"})
Say = Callable[[str], None]


@asynccontextmanager
async def open_stage(users: int) -> AsyncIterator[Stage]:
    """A database with so many users and their wallets; takes it all away again."""
    with tempfile.TemporaryDirectory(prefix="tallygraph-bench-") as folder:
        settings = Settings(
            data_directory=Path(folder) / "data", access_token_seconds=TOKEN_SECONDS
        )
        database = start_embedded(settings)
        try:
            tokens = await prepare(settings, database.owner_url, users)
            ground = Ground(Path(folder), settings, database.owner_url, [])
            yield Stage(ground, database, tokens)
        finally:
            database.stop()
            destroy_embedded(settings)


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
    latencies = sorted(moment - committed_at[number] for number, moment in received.messages)
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


async def warm_up(server: Server, stage: Stage) -> None:
    """Lets a server's code run, with a few who then leave."""
    tokens = stage.tokens[:WARM_UP_SUBSCRIBERS]
    async with (
        gathered(stage.ground, server.port, tokens) as crowd,
        Writer.opened(stage, len(tokens)) as writer,
    ):
        await crowd.connect()
        await crowd.subscribe("own", OWN_DOCUMENT)
        await deliver(server, crowd, writer, OWN, WARM_UP_MESSAGES, WARM_UP_MESSAGES)
        await crowd.leave()


async def take_turn(
    name: str, stage: Stage, subscribers: int, options: Options
) -> tuple[Turn, dict[str, Any]]:
    """A fresh server's figures, and its last message of each pattern."""
    deliveries: dict[str, Delivery] = {}
    last: dict[str, Any] = {}
    async with started(name, stage) as server:
        await warm_up(server, stage)
        await asyncio.sleep(SETTLE_SECONDS)
        before = resident_kilobytes(server)
        tokens = stage.tokens[:subscribers]
        async with (
            gathered(stage.ground, server.port, tokens) as crowd,
            Writer.opened(stage, subscribers) as writer,
        ):
            seconds = await crowd.connect()
            await crowd.subscribe("own", OWN_DOCUMENT)
            await asyncio.sleep(SETTLE_SECONDS)
            kilobytes = (resident_kilobytes(server) - before) / subscribers
            for pattern in PATTERNS:
                if pattern == PUBLIC:
                    await crowd.subscribe("public", PUBLIC_DOCUMENT)
                messages = messages_of(pattern, subscribers, options)
                deliveries[pattern] = await deliver(
                    server, crowd, writer, pattern, messages, options.messages_per_second
                )
                last[pattern] = orjson.loads(crowd.last)
            await crowd.leave()
    return Turn(subscribers / seconds, kilobytes, deliveries), last


def messages_of(pattern: str, subscribers: int, options: Options) -> int:
    """How many messages a pattern makes in a turn."""
    wanted = round(options.messages_per_second * options.seconds)
    if pattern == OWN:
        return wanted
    least = 3 if pattern == BURST else 1
    return max(least, wanted // subscribers) * subscribers


def shape(message: Any, key: str = "") -> Any:
    """A message without what differs from row to row: its id, its moment and its cursor."""
    if isinstance(message, dict):
        return {name: shape(value, name) for name, value in message.items()}
    if key in OWN_VALUES:
        return re.sub(r"[0-9A-Za-z]", "x", str(message))
    return message


async def check_same_answers(stage: Stage, options: Options, say: Say) -> None:
    """Every server's messages must be the same JSON for the same rows, but for id and time."""
    expected: dict[str, Any] = {}
    few = Options(seconds=0.1, messages_per_second=200)
    for name in options.servers:
        _, last = await take_turn(name, stage, 4, few)
        shown = {pattern: shape(message) for pattern, message in last.items()}
        if expected and shown != expected:
            raise Trouble(f"{name} sends\n{shown}\nand not\n{expected}")
        expected = expected or shown
        say(f"{name} sends the same as the others")


async def measure(options: Options, say: Say) -> Report:
    """All turns, the servers one after another and another one first in each round."""
    report = Report(options)
    most = max(*options.subscribers, options.watchers_of_writers, WARM_UP_SUBSCRIBERS)
    allow_files(2 * most)
    say(f"Filling a database with {most} users")
    async with open_stage(most) as stage:
        if options.servers:
            await check_same_answers(stage, options, say)
        for number in range(options.rounds):
            first = number % max(1, len(options.servers))
            for subscribers in options.subscribers:
                for name in options.servers[first:] + options.servers[:first]:
                    say(
                        f"Round {number + 1} of {options.rounds}: {name}, {subscribers} subscribers"
                    )
                    turn, _ = await take_turn(name, stage, subscribers, options)
                    report.turns.setdefault((name, subscribers), []).append(turn)
                    say(str(turn))
        if options.with_writers:
            async with started(TALLYGRAPH, stage) as server:
                report.spends = await measure_writers(server, stage, options, say)
    return report
