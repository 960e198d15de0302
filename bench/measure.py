"""One interleaved run: each workload is put to the servers in turn, several times over."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import asyncpg
import psutil

from bench.answers import check_same_answers
from bench.house import House, Server, on_core, open_house
from bench.load import run_load
from bench.workloads import PEERS, TALLYGRAPH, WORKLOADS, Source, Workload, words_of

MEBIBYTE = 1024 * 1024
CHECKED_PEOPLE = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    users: int = 10_000
    busy_users: int = 1_000
    connections: int = 32
    rounds: int = 5
    seconds: float = 3.0
    peers: tuple[str, ...] = PEERS
    workloads: tuple[str, ...] = tuple(workload.name for workload in WORKLOADS)


@dataclass(frozen=True)
class Round:
    """What one server did in one round."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    server_microseconds: float
    database_microseconds: float
    generator_share: float


def speed(one: Round) -> float:
    """The figure that the headline ratio compares."""
    return one.requests_per_second


@dataclass(frozen=True)
class Result:
    """All rounds of one workload, by server, in the order they were run."""

    workload: Workload
    rounds: dict[str, list[Round]]

    @property
    def servers(self) -> list[str]:
        """Who took part, ours first."""
        return list(self.rounds)

    def median(self, server: str, read: Callable[[Round], float]) -> float:
        """The median of one figure over a server's rounds."""
        return statistics.median(read(one) for one in self.rounds[server])

    def ratios(self, peer: str, read: Callable[[Round], float] = speed) -> list[float]:
        """Ours over the peer's, round by round."""
        pairs = zip(self.rounds[TALLYGRAPH], self.rounds[peer], strict=True)
        return [read(ours) / read(theirs) for ours, theirs in pairs]


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


class Turn:
    """One server's turns at one workload; its source of requests goes on from turn to turn."""

    def __init__(self, house: House, workload: Workload, server: Server, options: Options) -> None:
        self._house = house
        self._workload = workload
        self._options = options
        self._source: Source = workload.source(words_of(server.name))
        self.server = server

    async def load(self, seconds: float) -> list[float]:
        """Keeps the server busy; returns the latencies in seconds, in ascending order."""
        latencies = await run_load(
            self.server.port,
            self._house.people,
            self._source,
            seconds,
            self._options.connections,
            with_tokens=self._workload.needs_token,
        )
        return sorted(latencies)

    async def measure(self, postgres: Postgres) -> Round:
        """One turn."""
        watched = (psutil.Process(self.server.process.pid), psutil.Process())
        before = [*map(cpu_seconds, watched), postgres.cpu_seconds()]
        started = perf_counter()
        latencies = await self.load(self._options.seconds)
        wall = perf_counter() - started
        after = [*map(cpu_seconds, watched), postgres.cpu_seconds()]
        used = [end - begin for begin, end in zip(before, after, strict=True)]
        return Round(
            requests_per_second=len(latencies) / wall,
            p50_milliseconds=percentile(latencies, 0.5) * 1000,
            p99_milliseconds=percentile(latencies, 0.99) * 1000,
            server_microseconds=used[0] / len(latencies) * 1e6,
            database_microseconds=used[2] / len(latencies) * 1e6,
            generator_share=used[1] / wall,
        )


async def measure_workload(
    house: House, workload: Workload, postgres: Postgres, options: Options, say: Say
) -> Result:
    """Warms all servers, then measures them in turn; who is first changes every round."""
    compared = await check_same_answers(house, workload, house.people[:CHECKED_PEOPLE])
    say(f"{workload.name}: {compared} answers of peers are equal to ours; warming up")
    turns = [
        Turn(house, workload, house.servers[name], options)
        for name in (TALLYGRAPH, *workload.peers)
        if name in house.servers
    ]
    result = Result(workload, {turn.server.name: [] for turn in turns})
    for turn in turns:
        await turn.load(options.seconds / 2)
    for number in range(options.rounds):
        for turn in turns[number % len(turns) :] + turns[: number % len(turns)]:
            say(f"{workload.name}: round {number + 1} of {options.rounds}, {turn.server.name}")
            result.rounds[turn.server.name].append(await turn.measure(postgres))
    return result


def memory(house: House) -> dict[str, float]:
    """The servers' resident memory in MiB."""
    return {
        name: psutil.Process(server.process.pid).memory_info().rss / MEBIBYTE
        for name, server in house.servers.items()
    }


async def measure(options: Options, say: Say) -> Report:
    """The whole run."""
    report = Report(options)
    say("Starting and filling a database, starting the servers")
    async with open_house(options.users, options.busy_users, options.peers) as house:
        report.idle_memory = memory(house)
        postgres = await Postgres.find(house.owner_url)
        with on_core(-1):
            for workload in WORKLOADS:
                if workload.name in options.workloads:
                    report.results.append(
                        await measure_workload(house, workload, postgres, options, say)
                    )
        report.loaded_memory = memory(house)
    return report
