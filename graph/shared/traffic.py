"""What a process has answered: operations and their time, HTTP statuses, and errors by code."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from contextvars import ContextVar

from db.core.errors import ErrorCode

# Upper bounds in seconds: from a read that is found ready to the longest that a statement may take.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Codes of what is no fault of the client's.
FAULTS = frozenset({ErrorCode.INTERNAL, ErrorCode.SERVICE_UNAVAILABLE, ErrorCode.PROVIDER_FAILED})

# Of the request that runs: the codes that it was answered with.
codes_told: ContextVar[list[str] | None] = ContextVar("codes_told", default=None)
# Of this process: how many errors of each code clients were told.
errors_told: Counter[str] = Counter()


def tell(code: str) -> None:
    """A client is told an error."""
    errors_told[code] += 1
    told = codes_told.get()
    if told is not None:
        told.append(code)


class Latencies:
    """How long operations of one kind took, in buckets, and how many failed."""

    __slots__ = ("counts", "failed", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.failed = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def cumulative(self) -> list[int]:
        """How many took no longer than each bound; the last is all."""
        total, found = 0, []
        for count in self.counts:
            total += count
            found.append(total)
        return found


class Traffic:
    """The counts of one process.

    An operation is known by its kind and its first root field, which the schema names: what clients
    call it could be anything, and as many things as they like.
    """

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], Latencies] = {}
        self.responses: Counter[tuple[str, int]] = Counter()

    def answered(self, label: tuple[str, str], seconds: float, told: Collection[str]) -> None:
        """An operation was answered, its client told these codes."""
        latencies = self.operations.get(label)
        if latencies is None:
            latencies = self.operations[label] = Latencies()
        latencies.add(seconds)
        if told and not FAULTS.isdisjoint(told):
            latencies.failed += 1
