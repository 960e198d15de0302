"""One turn of one server: the load, and what it took."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from time import perf_counter

import psutil

from bench.deployment import Server
from bench.figures import Round
from bench.processes import Postgres, cpu_seconds


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


async def measure_round(
    servers: list[Server], load: Awaitable[list[float]], postgres: Postgres
) -> Round:
    """What the processes that answer together did while `load`, which gives latencies, ran."""
    watched = [psutil.Process(server.process.pid) for server in servers]
    generator = psutil.Process()

    def used() -> tuple[float, float, float]:
        return sum(map(cpu_seconds, watched)), postgres.cpu_seconds(), cpu_seconds(generator)

    before, started = used(), perf_counter()
    latencies = sorted(await load)
    wall = perf_counter() - started
    server, database, own = (end - begin for begin, end in zip(before, used(), strict=True))
    return Round(
        requests_per_second=len(latencies) / wall,
        p50_milliseconds=percentile(latencies, 0.5) * 1000,
        p99_milliseconds=percentile(latencies, 0.99) * 1000,
        server_microseconds=server / len(latencies) * 1e6,
        database_microseconds=database / len(latencies) * 1e6,
        generator_share=own / wall,
    )
