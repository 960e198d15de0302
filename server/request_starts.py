"""How many requests one turn of the event loop begins, so that a flood stalls nobody.

Sockets that became readable at once are all read in one turn. A thousand requests that all began in
it would keep the loop for a third of a second; here they wait in lines of their networks, which
take turns, so that a request from elsewhere begins in the next turn, whatever one address sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

from auth.fair_queue import Asker, FairQueue

# Some 0.2 ms each, before they first wait for something.
STARTS_PER_TURN = 32
Begin = Callable[[], None]


class RequestStarts:
    """The requests of one loop that have not begun yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._begun_in_this_turn = 0
        self._waiting: FairQueue[Begin] = FairQueue()

    def begin(self, network: str, begin: Begin) -> None:
        """Begins at once where this turn has room, else in a later one."""
        if self._begun_in_this_turn >= STARTS_PER_TURN or self._waiting:
            self._waiting.put(Asker(network), begin)
            return
        if self._begun_in_this_turn == 0:
            self._loop.call_soon(self._next_turn)
        self._begun_in_this_turn += 1
        begin()

    def _next_turn(self) -> None:
        self._begun_in_this_turn = 0
        if not self._waiting:
            return
        self._loop.call_soon(self._next_turn)
        while self._waiting and self._begun_in_this_turn < STARTS_PER_TURN:
            self._begun_in_this_turn += 1
            self._waiting.take()()


_starts: WeakKeyDictionary[asyncio.AbstractEventLoop, RequestStarts] = WeakKeyDictionary()


def starts_of(loop: asyncio.AbstractEventLoop) -> RequestStarts:
    """The one of a loop."""
    found = _starts.get(loop)
    if found is None:
        found = _starts[loop] = RequestStarts(loop)
    return found
