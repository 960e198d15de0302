"""What processes use: processor time and memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil

from bench.deployment import Server

MEBIBYTE = 1024 * 1024


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def usable_cores() -> int:
    """How many cores this process, and what it starts, may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy_seconds(server: Server) -> float:
    """User and system time of a server's threads, to the nanosecond where the system tells it."""
    try:
        tasks = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return cpu_seconds(psutil.Process(server.process.pid))


class Postgres:
    """The processor time of all of Postgres's processes."""

    def __init__(self, postmaster: psutil.Process) -> None:
        self._postmaster = postmaster

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
        ended = self._postmaster.cpu_times()
        total: float = ended.children_user + ended.children_system
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):
                total += cpu_seconds(child)
        return total

    def largest_backend_mebibytes(self) -> float:
        """The most memory that one process holds; what all of them share does not count."""
        largest = 0.0
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):
                info = child.memory_info()
                largest = max(largest, (info.rss - getattr(info, "shared", 0)) / MEBIBYTE)
        return largest

    def keep_to_middle_cores(self, at_least: int) -> None:
        """Leaves the first and the last core to others, where there are so many; for good."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        if len(cores) >= at_least:
            for process in (self._postmaster, *self._postmaster.children()):
                with suppress(psutil.NoSuchProcess):
                    process.cpu_affinity(cores[1:-1])


def memory_mebibytes(server: Server) -> float:
    """A server's resident memory."""
    resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident / MEBIBYTE
