"""Long computations on the event loop, a short step at a time, and never more than half of it.

Networks take turns with every step. Within a network one computation is finished before the next
begins, so that few are half done at a time, and who asks for the same finds it done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from db.core.fair_queue import Asker, FairQueue
from db.core.yield_points import Suspendable

# What others wait for one step at most; they have as long until the next.
STEP_SECONDS = 0.003


class _Computation[Result]:
    """Work that has begun or waits to, and who waits for its result."""

    def __init__(self, asker: Asker, work: Callable[[], Result]) -> None:
        self.asker = asker
        self.done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._work = work
        self._suspendable = Suspendable(self._run)

    def _run(self) -> None:
        done, work = self.done, self._work
        try:
            result = work()
            if not done.done():
                done.set_result(result)
        except Exception as error:
            if not done.done():
                done.set_exception(error)
        finally:
            # A fault knows this frame: only the garbage collector would find what it knows.
            del self, done, work

    def step(self) -> bool:
        """Runs for one step; whether it has ended."""
        if self.done.done():  # nobody waits for it any more
            self._suspendable.drop()
            return True
        return self._suspendable.step(STEP_SECONDS)


class Steps:
    """The long computations of one event loop."""

    def __init__(self) -> None:
        self._waiting: FairQueue[_Computation[Any]] = FairQueue()
        self._is_planned = False

    async def run[Result](self, network: str, work: Callable[[], Result]) -> Result:
        """What `work` returns, computed in steps; `yield_point()` is where one may end."""
        computation = _Computation(Asker(network), work)
        self._waiting.put(computation.asker, computation)
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._step)
        try:
            return await computation.done
        finally:
            del computation  # a fault knows this frame, too

    def _step(self) -> None:
        began = perf_counter()
        computation = self._waiting.take()
        if not computation.step():
            self._waiting.put_first(computation.asker, computation)
        if self._waiting:
            rest_seconds = perf_counter() - began
            asyncio.get_running_loop().call_later(rest_seconds, self._step)
        else:
            self._is_planned = False
