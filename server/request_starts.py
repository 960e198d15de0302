"""How many requests one turn of the event loop begins, and how much of WebSockets it parses.

Sockets that became readable at once are all read in one turn. A thousand requests that all began in
it would keep the loop for a third of a second, and so would a hundred kilobytes of empty frames.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from graph.shared.loop_turns import LoopTurns

# Some 0.3 ms each, before they first wait for something.
STARTS_PER_TURN = 8
# Some 1 ms each when they are full of the smallest frames, 0.1 ms with a message of a client's.
PIECES_PER_TURN = 32
PIECES_SECONDS = 0.002

_Turns = WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTurns]
_starts, _pieces = _Turns(), _Turns()


def starts_of(loop: asyncio.AbstractEventLoop) -> LoopTurns:
    """The turns in which a loop's requests begin."""
    found = _starts.get(loop)
    if found is None:
        found = _starts[loop] = LoopTurns(STARTS_PER_TURN)
    return found


def pieces_of(loop: asyncio.AbstractEventLoop) -> LoopTurns:
    """The turns in which a loop parses what came over its WebSockets."""
    found = _pieces.get(loop)
    if found is None:
        found = _pieces[loop] = LoopTurns(PIECES_PER_TURN, PIECES_SECONDS)
    return found
