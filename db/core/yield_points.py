"""Long computations that can be suspended at the points where they say so.

A greenlet has a stack of its own, so that a parser or a compiler of somebody else's can be left in
the middle of it, which neither a generator nor a coroutine can.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from time import perf_counter

import greenlet  # type: ignore[import-untyped]


class Suspendable(greenlet.greenlet):  # type: ignore[misc]
    """Work that runs a step at a time; what it gives or raises is the work's own to keep."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(work)
        self.gr_context = copy_context()
        self._ends_at = 0.0

    def step(self, seconds: float) -> bool:
        """Runs until the first yield point after so long; whether the work has ended."""
        self._ends_at = perf_counter() + seconds
        # The context is entered by each step and left at its end.
        self.switch()
        return bool(self.dead)

    def drop(self) -> None:
        """Ends work that nobody waits for any more; its `finally` blocks run."""
        self.throw(greenlet.GreenletExit)


def yield_point() -> None:
    """A place where a computation may be suspended, if it runs in steps and this one was long."""
    current = greenlet.getcurrent()
    if type(current) is Suspendable and perf_counter() >= current._ends_at:
        assert current.parent is not None
        current.parent.switch()
