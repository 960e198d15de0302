"""Long computations on the event loop, a short step at a time, and never more than half of it.

Networks take turns with every step. Within a network one computation is finished before the next
begins, so that few are half done at a time, and who asks for the same finds it done. Who has used
much of the loop lately gets a sixth of that.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter
from typing import Any

from db.core.fair_queue import Asker, FairQueue
from db.core.yield_points import Suspendable

# What others wait for one step at most; they have as long until the next.
STEP_SECONDS = 0.003
# A network may use so much at once, and this share of the time for longer; then what it asks for
# comes after what others do, and with so many times as long rests.
ALLOWANCE_SECONDS, SHARE, GREEDY_RESTS = 0.5, 0.05, 6
REMEMBERED_NETWORKS = 10_000


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
        self._next_at = self._next_greedy_at = 0.0
        self._timer: asyncio.Handle | None = None
        # When what a network has used would be used up by who takes no more than its share.
        self._paid_at: OrderedDict[str, float] = OrderedDict()

    async def run[Result](self, network: str, work: Callable[[], Result]) -> Result:
        """What `work` returns, computed in steps; `yield_point()` is where one may end."""
        computation = _Computation(Asker(network), work)
        self._waiting.put(computation.asker, computation)
        self._plan()
        try:
            return await computation.done
        finally:
            del computation  # a fault knows this frame, too

    def _use(self, network: str, now: float, seconds: float) -> None:
        """Notes what a network has used."""
        self._paid_at[network] = max(self._paid_at.get(network, now), now) + seconds / SHARE
        self._paid_at.move_to_end(network)
        if len(self._paid_at) > REMEMBERED_NETWORKS:
            self._paid_at.popitem(last=False)

    def _next_network(self, now: float) -> tuple[str, bool]:
        """Whose turn it is, and whether all who wait have used more than they may at once."""
        modest = now + ALLOWANCE_SECONDS / SHARE
        for network in self._waiting.networks():
            if self._paid_at.get(network, now) <= modest:
                return network, False
        return next(iter(self._waiting.networks())), True

    def _plan(self) -> None:
        """Sees to it that the next step begins when it may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            now = perf_counter()
            _, are_greedy = self._next_network(now)
            wait_seconds = max(0.0, (self._next_greedy_at if are_greedy else self._next_at) - now)
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._step)

    def _step(self) -> None:
        self._timer = None
        began = perf_counter()
        network, _ = self._next_network(began)
        computation = self._waiting.take(network)
        if not computation.step():
            self._waiting.put_first(computation.asker, computation)
        ended = perf_counter()
        self._use(network, ended, ended - began)
        self._next_at = ended + (ended - began)
        self._next_greedy_at = ended + GREEDY_RESTS * (ended - began)
        self._plan()
