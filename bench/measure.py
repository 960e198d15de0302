"""One interleaved run: each workload is put to the two servers in turn, several times over."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import asyncpg
import orjson
import psutil

from bench.house import House, Server, on_core, open_house
from bench.load import ask, run_load
from bench.workloads import WORKLOADS, Workload

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    users: int = 2000
    busy_users: int = 500
    connections: int = 32
    rounds: int = 5
    seconds: float = 3.0


@dataclass(frozen=True)
class Round:
    """What one server did in one round."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    server_microseconds: float
    database_microseconds: float
    generator_share: float


@dataclass(frozen=True)
class Result:
    """All rounds of one workload, by server, in the order they were run."""

    workload: Workload
    rounds: dict[str, list[Round]]

    def median(self, server: str, read: Callable[[Round], float]) -> float:
        """The median of one figure over a server's rounds."""
        return statistics.median(read(one) for one in self.rounds[server])

    def ratios(self, read: Callable[[Round], float]) -> list[float]:
        """Ours over the peer's, round by round."""
        pairs = zip(self.rounds["tallygraph"], self.rounds["bare"], strict=True)
        return [read(ours) / read(bare) for ours, bare in pairs]


@dataclass
class Report:
    """The whole run. Memory is the servers' resident set in MiB, by server."""

    options: Options
    results: list[Result] = field(default_factory=list)
    idle_memory: dict[str, float] = field(default_factory=dict)
    loaded_memory: dict[str, float] = field(default_factory=dict)


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time a process has used."""
    times = process.cpu_times()
    return times.user + times.system


class Postgres:
    """The processor time of all of Postgres's processes."""

    def __init__(self, postmaster: psutil.Process) -> None:
        self._postmaster = postmaster
        self._last_seen: dict[int, float] = {}

    @classmethod
    async def find(cls, owner_url: str) -> Postgres:
        """The server behind a URL."""
        connection = await asyncpg.connect(owner_url)
        try:
            backend = await connection.fetchval("select pg_backend_pid()")
            parent = psutil.Process(backend).parent()
            assert parent is not None
            return cls(parent)
        finally:
            await connection.close()

    def cpu_seconds(self) -> float:
        """What they have used since the beginning, those that have ended since included."""
        for child in self._postmaster.children():
            try:
                self._last_seen[child.pid] = cpu_seconds(child)
            except psutil.NoSuchProcess:
                continue
        return sum(self._last_seen.values())


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


async def check_same_answers(house: House, workload: Workload) -> None:
    """Both servers must answer the same; a spend's id and balance are its own."""
    for token in house.tokens[:3]:
        answers = [
            orjson.loads(await ask(server.port, token, workload.body()()))
            for server in house.servers
        ]
        if workload.is_mutation:
            ours, bare = (answer["data"]["spendCredits"] for answer in answers)
            assert ours["transaction"].pop("id") != bare["transaction"].pop("id")
            bare["transaction"]["balanceAfter"] += 1
            bare["credits"]["balance"] += 1
        if answers[0] != answers[1]:
            raise AssertionError(f"{workload.name}: the servers disagree: {answers}")


async def measure_round(
    house: House, server: Server, workload: Workload, postgres: Postgres, options: Options
) -> Round:
    """Loads one server for a while."""
    watched = (psutil.Process(server.process.pid), psutil.Process())
    before = [*map(cpu_seconds, watched), postgres.cpu_seconds()]
    started = perf_counter()
    latencies = await run_load(
        server.port, house.tokens, workload.body(), options.seconds, options.connections
    )
    wall = perf_counter() - started
    after = [*map(cpu_seconds, watched), postgres.cpu_seconds()]
    used = [end - begin for begin, end in zip(before, after, strict=True)]
    latencies.sort()
    return Round(
        requests_per_second=len(latencies) / wall,
        p50_milliseconds=percentile(latencies, 0.5) * 1000,
        p99_milliseconds=percentile(latencies, 0.99) * 1000,
        server_microseconds=used[0] / len(latencies) * 1e6,
        database_microseconds=used[2] / len(latencies) * 1e6,
        generator_share=used[1] / wall,
    )


async def measure_workload(
    house: House, workload: Workload, postgres: Postgres, options: Options
) -> Result:
    """Warms both servers, then measures them in turn; who is first changes every round."""
    await check_same_answers(house, workload)
    result = Result(workload, {server.name: [] for server in house.servers})
    for server in house.servers:
        warm = options.seconds / 2
        await run_load(server.port, house.tokens, workload.body(), warm, options.connections)
    for number in range(options.rounds):
        for server in house.servers if number % 2 == 0 else reversed(house.servers):
            measured = await measure_round(house, server, workload, postgres, options)
            result.rounds[server.name].append(measured)
    return result


def memory(house: House) -> dict[str, float]:
    """The servers' resident memory in MiB."""
    return {
        server.name: psutil.Process(server.process.pid).memory_info().rss / MEBIBYTE
        for server in house.servers
    }


async def measure(options: Options, say: Callable[[str], None]) -> Report:
    """The whole run."""
    report = Report(options)
    say("Starting and filling a database, starting both servers")
    async with open_house(options.users, options.busy_users) as house:
        report.idle_memory = memory(house)
        postgres = await Postgres.find(house.owner_url)
        with on_core(-1):
            for workload in WORKLOADS:
                say(f"Measuring {workload.name}, {workload.title}")
                report.results.append(await measure_workload(house, workload, postgres, options))
        report.loaded_memory = memory(house)
    return report
