"""What subscribers, and waking them, cost those who write: spends a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter

import asyncpg

from bench.deployment import Server, on_core
from bench.ledger import DOCUMENT, Arena, find_pgbench, our_spends, pgbench_spends
from bench.live.crowd import gathered
from bench.live.figures import ALONE, NOTIFIED, QUIET, THROUGH_API, WATCHED, WOKEN, Options
from bench.live.servers import Stage
from bench.processes import Postgres
from bench.statements import export_statements
from graph.live.bus import WakeBus

CREDITS_DOCUMENT = "subscription { creditsChanged { cursor credits { balance } } }"
# As often as a server that never stops committing asks for it; the bus has its own pace.
PUBLISH_EVERY_SECONDS = 0.001
_NOTIFY_EACH = """
create function bench_notify() returns trigger language plpgsql as $$
begin perform pg_notify('bench', ''); return null; end; $$;
create trigger bench_notify after insert on events for each row execute function bench_notify();
"""
_NOTIFY_NO_MORE = "drop function bench_notify cascade"


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """Nobody is told anything."""
    yield


@asynccontextmanager
async def waking(stage: Stage) -> AsyncIterator[None]:
    """A process that commits all the time wakes the others, by the bus of the product."""
    bus = WakeBus.postgres(stage.service_url)
    await bus.start(lambda: None)

    async def publish() -> None:
        while True:
            bus.publish()
            await asyncio.sleep(PUBLISH_EVERY_SECONDS)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        await bus.stop()


@asynccontextmanager
async def notifying(stage: Stage) -> AsyncIterator[None]:
    """What the product does not do: NOTIFY in the writers' transactions, for each event."""
    owner = await asyncpg.connect(stage.environment.owner_url)
    await owner.execute(_NOTIFY_EACH)
    try:
        yield
    finally:
        await owner.execute(_NOTIFY_NO_MORE)
        await owner.close()


@asynccontextmanager
async def watching(stage: Stage, server: Server, subscribers: int) -> AsyncIterator[None]:
    """So many who each watch their wallet."""
    async with gathered(stage.environment, server.port, stage.tokens[:subscribers]) as crowd:
        await crowd.connect()
        await crowd.subscribe("credits", CREDITS_DOCUMENT)
        yield
        await crowd.leave()


async def measure_writers(
    server: Server, stage: Stage, options: Options, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Spends a second by case: through the API, then by pgbench calling the same function."""
    spenders = stage.people[: options.watchers_of_writers]
    environment = stage.environment
    statements = await export_statements(environment.owner_url, environment.settings)
    postgres = await Postgres.find(environment.owner_url)
    arena = Arena(environment, server, postgres, find_pgbench(), statements[DOCUMENT])
    # It counts whole seconds.
    pgbench_seconds = max(1.0, options.seconds)
    spends: dict[str, list[float]] = {}
    cases: dict[str, Callable[[], AbstractAsyncContextManager[None]]] = {
        ALONE: nothing,
        WATCHED: lambda: watching(stage, server, len(spenders)),
        QUIET: nothing,
        WOKEN: lambda: waking(stage),
        NOTIFIED: lambda: notifying(stage),
    }
    for number in range(options.rounds):
        for case, around in cases.items():
            say(f"Round {number + 1} of {options.rounds}: spends, {case}")
            async with around():
                started = perf_counter()
                if case in THROUGH_API:
                    with on_core(-1):
                        done = await our_spends(arena, spenders, options.seconds)
                else:
                    done = await pgbench_spends(arena, len(spenders), pgbench_seconds)
                rate = done / (perf_counter() - started)
            spends.setdefault(case, []).append(rate)
    return spends
