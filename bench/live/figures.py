"""The figures of a run of `python -m bench.live`."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

TALLYGRAPH, STRAWBERRY, GRAPHQL_WS = "tallygraph", "strawberry", "graphql-ws"
SERVERS = (TALLYGRAPH, STRAWBERRY, GRAPHQL_WS)
WRITERS = "writers"
OWN, BURST, PUBLIC = "own", "burst", "public"
# The cases of writers, the first two through the API and the others in SQL.
ALONE, WATCHED = "nobody watches", "all spenders watch"
QUIET, WOKEN, NOTIFIED = "no NOTIFY", "NOTIFY by the bus", "NOTIFY in each transaction"
THROUGH_API = (ALONE, WATCHED)
PATTERNS = (OWN, BURST, PUBLIC)


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    servers: tuple[str, ...] = SERVERS
    with_writers: bool = True
    subscribers: tuple[int, ...] = (500, 2_000, 5_000)
    rounds: int = 3
    seconds: float = 6.0
    messages_per_second: int = 1_000
    watchers_of_writers: int = 1_000


@dataclass(frozen=True)
class Delivery:
    """How the events of one pattern came to their subscribers."""

    messages: int
    p50_milliseconds: float
    p99_milliseconds: float
    server_microseconds: float
    client_share: float


@dataclass(frozen=True)
class Turn:
    """What one server did with so many subscribers, in one round."""

    connects_per_second: float
    kilobytes: float
    deliveries: dict[str, Delivery]


Read = Callable[[Turn], float]


@dataclass
class Report:
    """The whole run: turns by (server, subscribers), spends a second by case.

    `loads` are the machine's load averages, one for each turn.
    """

    options: Options
    loads: tuple[float, ...] = ()
    turns: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)
    spends: dict[str, list[float]] = field(default_factory=dict)

    def median(self, server: str, subscribers: int, read: Read) -> float:
        """The median of one figure over the rounds."""
        return statistics.median(read(turn) for turn in self.turns[server, subscribers])

    def ratios(self, peer: str, subscribers: int, read: Read) -> list[float]:
        """Ours over the peer's, round by round."""
        pairs = zip(self.turns[TALLYGRAPH, subscribers], self.turns[peer, subscribers], strict=True)
        return [read(ours) / read(theirs) for ours, theirs in pairs]

    def spend_ratios(self, case: str, base: str) -> list[float]:
        """One case's spends a second over another's, round by round."""
        pairs = zip(self.spends[case], self.spends[base], strict=True)
        return [one / other for one, other in pairs]


def connects(turn: Turn) -> float:
    """Connections a second, from the first byte to `connection_ack`."""
    return turn.connects_per_second


def kilobytes(turn: Turn) -> float:
    """Resident memory of the server for each connection with one subscription."""
    return turn.kilobytes


def microseconds(pattern: str) -> Read:
    """The server's CPU for a delivered message."""
    return lambda turn: turn.deliveries[pattern].server_microseconds


def p50(pattern: str) -> Read:
    """The median, from the commit to the client."""
    return lambda turn: turn.deliveries[pattern].p50_milliseconds


def p99(pattern: str) -> Read:
    """The slowest hundredth, from the commit to the client."""
    return lambda turn: turn.deliveries[pattern].p99_milliseconds
