"""How much begins in one turn of the event loop, so that nobody's work stalls the others'.

What does not fit waits in lines of the networks that ask, and these take turns: a flood from one
address waits, and what comes from elsewhere is next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from db.core.fair_queue import Asker, FairQueue

Begin = Callable[[], None]


class LoopTurns:
    """Lets so much begin in each turn of the running loop, and no more once that took `seconds`."""

    def __init__(self, per_turn: int, seconds: float | None = None) -> None:
        self._per_turn = per_turn
        self._seconds = seconds
        self._begun_in_this_turn = 0
        self._full_at = 0.0
        self._waiting: FairQueue[Begin] = FairQueue()

    def begin(self, network: str, begin: Begin) -> None:
        """Begins at once where this turn has room, else in a later one."""
        if self._waiting or not self._has_room():
            self._waiting.put(Asker(network), begin)
        else:
            self._count()
            begin()

    async def turn(self, network: str) -> None:
        """Waits until something may begin that the caller does then, without waiting again."""
        if not self._waiting and self._has_room():
            self._count()
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if not ready.done():
                ready.set_result(None)

        self._waiting.put(Asker(network), begin)
        await ready

    def _has_room(self) -> bool:
        if self._begun_in_this_turn == 0:
            return True
        if self._begun_in_this_turn >= self._per_turn:
            return False
        return self._seconds is None or perf_counter() < self._full_at

    def _count(self) -> None:
        if self._begun_in_this_turn == 0:
            asyncio.get_running_loop().call_soon(self._turn_ended)
            if self._seconds is not None:
                self._full_at = perf_counter() + self._seconds
        self._begun_in_this_turn += 1

    def _turn_ended(self) -> None:
        self._begun_in_this_turn = 0
        while self._waiting and self._has_room():
            begin = self._waiting.take()
            self._count()
            begin()
