"""How many requests one turn of the event loop begins.

Sockets that became readable at once are all read in one turn. A thousand requests that all began in
it would keep the loop for a third of a second.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from graph.shared.loop_turns import LoopTurns

# Some 0.3 ms each, before they first wait for something.
STARTS_PER_TURN = 8

_starts: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTurns] = WeakKeyDictionary()


def starts_of(loop: asyncio.AbstractEventLoop) -> LoopTurns:
    """The turns in which a loop's requests begin."""
    found = _starts.get(loop)
    if found is None:
        found = _starts[loop] = LoopTurns(STARTS_PER_TURN)
    return found
