"""Nothing is lost, doubled or reordered, whatever is restarted or killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tests.graph.live.deployment import Deployment
from tests.graph.live.fleet import Fleet, Redis, running_fleet

# Starting processes takes long on a busy machine.
pytestmark = pytest.mark.timeout(300)


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
        lanes = [watched[lane::4] for lane in range(4)]
        writing = asyncio.gather(*(fleet.write(lane, until) for lane in lanes))
        yield
        await writing
        await fleet.caught_up(until, seconds=60)
        fleet.assert_nothing_was_lost(until)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def break_things(
    fleet: Fleet, redis: Redis | None, *, restarts: int, kills: int, listeners: int, pause: float
) -> None:
    """The given number of each, one after the other, with time to recover in between."""
    turns = {
        "restart": (fleet.deployment.restart, restarts),
        "redis": (redis.restart if redis else None, 1 if redis else 0),
    }
    kinds = ["kill"] * kills + ["listen"] * listeners
    for kind, (_, count) in turns.items():
        kinds += [kind] * count
    order = sorted(range(len(kinds)), key=lambda n: (n * 7919) % 104729)
    node = itertools.count()
    for position in order:
        match kinds[position]:
            case "kill":
                await fleet.kill_node(next(node))
            case "listen":
                await fleet.kill_listeners()
            case kind:
                action = turns[kind][0]
                assert action
                await asyncio.to_thread(action)
        await asyncio.sleep(pause)


async def test_a_minute_of_everything_that_breaks_loses_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with (
        running_fleet(deployment, tmp_path, [], ["--workers", "2"]) as fleet,
        under_load(fleet, users=6, changes=1_200),
    ):
        await break_things(fleet, None, restarts=1, kills=2, listeners=2, pause=0.5)


async def test_two_nodes_over_redis_survive_its_restart_and_a_killed_node(
    deployment: Deployment, tmp_path: Path, redis: Redis
) -> None:
    async with (
        running_fleet(deployment, tmp_path, [], [], BUS_URL=redis.url) as fleet,
        under_load(fleet, users=5, changes=600),
    ):
        await break_things(fleet, redis, restarts=0, kills=1, listeners=0, pause=0.5)


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
            orphaned.kill()
            await until(lambda: not any(orphan.is_running() for orphan in orphans))
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


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_a_night_of_everything_that_breaks_loses_nothing(
    deployment: Deployment, tmp_path: Path, redis: Redis
) -> None:
    async with (
        running_fleet(deployment, tmp_path, [], ["--workers", "2"]) as fleet,
        under_load(fleet, users=50, changes=100_000),
    ):
        await break_things(fleet, None, restarts=20, kills=20, listeners=100, pause=0.5)
    async with (
        running_fleet(deployment, tmp_path, [], [], BUS_URL=redis.url) as fleet,
        under_load(fleet, users=50, changes=10_000),
    ):
        await break_things(fleet, redis, restarts=0, kills=1, listeners=0, pause=2)
