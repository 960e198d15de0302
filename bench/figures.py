"""The figures of a run: rounds, the results of a workload, and the whole report."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.workloads import DIFFERENT_DOCUMENTS, NAMES, PEERS, TALLYGRAPH, Workload


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    users: int = 10_000
    busy_users: int = 1_000
    connections: int = 32
    rounds: int = 5
    seconds: float = 3.0
    peers: tuple[str, ...] = PEERS
    workloads: tuple[str, ...] = NAMES
    different_documents: int = DIFFERENT_DOCUMENTS


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
