"""Nothing is lost, doubled or reordered, whatever is restarted or killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

from tests.graph.live.deployment import Deployment
from tests.graph.live.fleet import Fleet, Redis, running_fleet

# Starting processes takes long on a busy machine.
pytestmark = pytest.mark.timeout(300)
# What is promised of silence; see `tests.graph.live.watchers.Silence` for what that is.
SILENCE_SECONDS = 5.0
LANES = 4


@dataclass(frozen=True)
class Ordeal:
    """What nodes and their subscribers go through."""

    subscribers: int
    changes: int
    restarts: int = 0
    crashes: int = 0
    kills: int = 0
    listeners: int = 0
    redis: int = 0


MINUTE = Ordeal(subscribers=10, changes=4_000, restarts=1, crashes=1, kills=2, listeners=6, redis=1)
NIGHT = Ordeal(
    subscribers=50, changes=100_000, restarts=10, crashes=10, kills=20, listeners=100, redis=5
)
OVER_REDIS = Ordeal(subscribers=5, changes=4_000, kills=1, redis=1)


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    started = Redis()
    started.start()
    yield started
    started.stop()


@contextlib.asynccontextmanager
async def under_load(fleet: Fleet, users: int, changes: int) -> AsyncIterator[None]:
    """Users who watch and get credits while the block runs; all is checked at its end."""
    watched = await fleet.add_users(users)
    watching = fleet.watch(watched)
    until = 1 + changes // users
    try:
        await fleet.caught_up(1, seconds=60)
        lanes = [watched[lane::LANES] for lane in range(LANES)]
        writing = asyncio.gather(*(fleet.write(lane, until) for lane in lanes))
        try:
            yield
            await writing
        finally:
            writing.cancel()
        await fleet.caught_up(until, seconds=60)
    finally:
        for task in watching:
            task.cancel()
        ends = await asyncio.gather(*watching, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
    assert_nothing_was_lost(fleet, until)


def assert_nothing_was_lost(fleet: Fleet, until: int) -> None:
    """Each saw every balance once and in order, and no stream hung; prints what was measured."""
    watchers = fleet.watchers.values()
    missed, doubled, disordered = map(sum, zip(*(w.faults(until) for w in watchers), strict=True))
    silence = max(watcher.silence.longest_seconds for watcher in watchers)
    delays = [delay for watcher in watchers for delay in watcher.delays_seconds]
    steps = statistics.quantiles(delays, n=100)
    codes = Counter(code for watcher in watchers for code in watcher.closed_with)
    print(
        f"\n{len(watchers) * (until - 1)} changes, {fleet.written} of them acknowledged; {missed} missed, "
        f"{doubled} doubled, {disordered} out of order; "
        f"{sum(w.reconnects for w in watchers)} reconnects, closed with {dict(codes)}; "
        f"longest silence {silence:.2f} s; from commit to client: median "
        f"{steps[49] * 1000:.0f} ms, 99th of 100 {steps[98]:.2f} s, longest {max(delays):.2f} s"
    )
    assert (missed, doubled, disordered) == (0, 0, 0)
    assert silence <= SILENCE_SECONDS


def ways_to_break(fleet: Fleet, redis: Redis) -> dict[str, Callable[[], Awaitable[None]]]:
    """By the names that an ordeal gives them."""
    node = itertools.count()

    def in_thread(action: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        return lambda: asyncio.to_thread(action)

    return {
        "restarts": in_thread(fleet.deployment.restart),
        "crashes": in_thread(fleet.deployment.crash),
        "kills": lambda: fleet.kill_node(next(node)),
        "listeners": fleet.kill_listeners,
        "redis": in_thread(redis.restart),
    }


async def break_things(fleet: Fleet, redis: Redis, ordeal: Ordeal) -> None:
    """Breaks everything as often as told, evenly over all changes, in an order of chance.

    Writers go on while something breaks, but not beyond the next turn: nothing breaks in peace, and
    no node is killed before the others are up again.
    """
    ways, planned, done = ways_to_break(fleet, redis), asdict(ordeal), Counter[str]()
    turns = [way for way in ways for _ in range(planned[way])]
    random.Random(1).shuffle(turns)
    step = ordeal.changes // (len(turns) + 1)
    for number, way in enumerate(turns, start=1):
        if way == "kills":
            await asyncio.gather(*(node.ready() for node in fleet.nodes))
        fleet.allowed = step * (number + 1)
        while fleet.written < step * number + step // 10:  # noqa: ASYNC110 -- other tasks write
            await asyncio.sleep(0.01)
        await ways[way]()
        done[way] += 1
    fleet.allowed = ordeal.changes
    print(f"\n{dict(done)}, {fleet.backends_killed} LISTEN backends killed")
    assert all(done[way] == planned[way] for way in ways)
    assert fleet.backends_killed >= ordeal.listeners


@pytest.mark.parametrize(
    "ordeal",
    [
        pytest.param(MINUTE, id="minute"),
        pytest.param(NIGHT, id="night", marks=[pytest.mark.nightly, pytest.mark.timeout(1800)]),
    ],
)
async def test_everything_that_breaks_loses_nothing(
    deployment: Deployment, tmp_path: Path, redis: Redis, ordeal: Ordeal
) -> None:
    options: tuple[list[str], ...] = ([], [], ["--workers", "2"], [])
    async with (
        running_fleet(deployment, tmp_path, *options, bus_urls=("", redis.url)) as fleet,
        under_load(fleet, ordeal.subscribers, ordeal.changes),
    ):
        await break_things(fleet, redis, ordeal)


async def test_two_nodes_over_redis_survive_its_restart_and_a_killed_node(
    deployment: Deployment, tmp_path: Path, redis: Redis
) -> None:
    async with (
        running_fleet(deployment, tmp_path, [], [], bus_urls=(redis.url,)) as fleet,
        under_load(fleet, OVER_REDIS.subscribers, OVER_REDIS.changes),
    ):
        await break_things(fleet, redis, OVER_REDIS)


@pytest.mark.nightly
async def test_processes_are_replaced_drain_and_never_outlive_their_supervisor(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with running_fleet(deployment, tmp_path, *(["--workers", "2"],) * 2) as fleet:
        drained, orphaned = fleet.nodes
        before = {process.pid for process in drained.workers}
        assert len(before) == 2
        psutil.Process(min(before)).kill()
        await until(lambda: len({p.pid for p in drained.workers} - before) == 1)
        async with under_load(fleet, users=4, changes=200):
            orphans = orphaned.workers
            orphaned.orphan()
            await until(lambda: not any(orphan.is_running() for orphan in orphans))
            # Their clients have come here, and either process tells of both.
            async with asyncio.timeout(60):
                held = await drained.connections()
                while (held.keys(), sum(held.values())) != ({"0", "1"}, 4):
                    await asyncio.sleep(0.05)
                    held = await drained.connections()
        codes = [code for watcher in fleet.watchers.values() for code in watcher.closed_with]
        assert 1012 in codes, "whoever ends by itself sends its clients elsewhere first"
        workers = drained.workers
        assert await asyncio.to_thread(drained.stop) == 0
        assert not any(worker.is_running() for worker in workers)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what other processes do."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- no event crosses from a killed process
            await asyncio.sleep(0.05)
