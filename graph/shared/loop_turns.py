"""How much begins in one turn of the event loop, so that nobody's work stalls the others'.

What does not fit waits in lines of the networks that ask, and these take turns: a flood from one
address waits, and what comes from elsewhere is next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from auth.fair_queue import Asker, FairQueue

Begin = Callable[[], None]


class LoopTurns:
    """Lets so much begin in each turn of the running loop; while some wait, with a rest between."""

    def __init__(self, per_turn: int, rest_seconds: float = 0.0) -> None:
        self._per_turn = per_turn
        self._rest_seconds = rest_seconds
        self._begun_in_this_turn = 0
        self._waiting: FairQueue[Begin] = FairQueue()
        self._continuing: deque[Begin] = deque()

    @property
    def _is_full(self) -> bool:
        some_wait = bool(self._waiting or self._continuing)
        return some_wait or self._begun_in_this_turn >= self._per_turn

    def begin(self, network: str, begin: Begin) -> None:
        """Begins at once where this turn has room, else in a later one."""
        if self._is_full:
            self._waiting.put(Asker(network), begin)
        else:
            self._count()
            begin()

    async def turn(self, network: str, *, continues: bool = False) -> None:
        """Lets others run, and returns when it is this network's turn.

        What `continues` comes before what has not begun, so that few are half done at a time.
        """
        if self._is_full:
            called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if continues:
                self._continuing.append(partial(_call, called))
            else:
                self._waiting.put(Asker(network), partial(_call, called))
            await called
        else:
            self._count()
            await asyncio.sleep(0)

    def _count(self) -> None:
        if self._begun_in_this_turn == 0:
            asyncio.get_running_loop().call_soon(self._turn_ended)
        self._begun_in_this_turn += 1

    def _turn_ended(self) -> None:
        self._begun_in_this_turn = 0
        if not self._waiting and not self._continuing:
            return
        if self._rest_seconds:
            asyncio.get_running_loop().call_later(self._rest_seconds, self._serve)
        else:
            self._serve()

    def _serve(self) -> None:
        while self._begun_in_this_turn < self._per_turn:
            if self._continuing:
                begin = self._continuing.popleft()
            elif self._waiting:
                begin = self._waiting.take()
            else:
                return
            self._count()
            begin()


def _call(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
