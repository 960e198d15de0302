"""How much memory the embedded PostgreSQL takes for its cache of the database's pages."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARE = 0.25
# The default of PostgreSQL; and more is seldom worth it, since the system caches files, too.
LEAST_BYTES, MOST_BYTES = 128 << 20, 8 << 30
# What a container may have, by version of its control group.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def buffers_bytes(memory_bytes: int, chosen_megabytes: int = 0) -> int:
    """What is chosen, or else a quarter of the memory, within bounds."""
    if chosen_megabytes:
        return chosen_megabytes << 20
    return max(LEAST_BYTES, min(int(memory_bytes * SHARE), MOST_BYTES))


def memory_bytes(limits: tuple[Path, ...] = _LIMITS) -> int:
    """The memory of the machine, or of the container that this is."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in limits:
        # Without a limit it says "max", or a number above any machine's.
        with suppress(OSError, ValueError):
            return min(machine, int(limit.read_text()))
    return machine
