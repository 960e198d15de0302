"""What takes long on purpose, and tests do without: in their own process and in those that they fork."""

from __future__ import annotations

from auth import passwords
from graph.shared import steps

# A hash takes 65 ms as it is made for people, and nearly no test is about that: here it takes none.
HASH_COSTS = {name: getattr(passwords, name) for name in ("TIME_COST", "MEMORY_KIBIBYTES")}
# Whose documents have taken much of the event loop waits six times as long for the next step. All
# tests ask from one network, and would do nothing but wait.
GREEDY_RESTS = steps.GREEDY_RESTS


def quicken() -> None:
    """Leaves both out of this process."""
    passwords.TIME_COST, passwords.MEMORY_KIBIBYTES = 1, 8
    steps.GREEDY_RESTS = 0
