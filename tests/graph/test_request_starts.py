"""A flood of requests begins a few in each turn of the loop, and others do not wait behind it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from server.request_starts import STARTS_PER_TURN, RequestStarts


async def test_a_turn_begins_only_so_many_and_networks_take_turns() -> None:
    loop = asyncio.get_running_loop()
    starts, begun = RequestStarts(loop), list[str]()
    turns: list[int] = []
    for _ in range(10 * STARTS_PER_TURN):
        starts.begin("flood", lambda: begun.append("flood"))
    starts.begin("elsewhere", lambda: begun.append("elsewhere"))
    while len(begun) < 10 * STARTS_PER_TURN + 1:
        turns.append(len(begun))
        await asyncio.sleep(0)
    steps = [later - earlier for earlier, later in pairwise(turns)]
    assert max(steps) <= STARTS_PER_TURN
    assert begun.index("elsewhere") <= STARTS_PER_TURN + 1
    assert begun.count("flood") == 10 * STARTS_PER_TURN


async def test_a_quiet_loop_begins_at_once_again() -> None:
    starts, begun = RequestStarts(asyncio.get_running_loop()), list[int]()
    for number in range(3 * STARTS_PER_TURN):
        starts.begin("one", lambda number=number: begun.append(number))  # type: ignore[misc]
        if number % STARTS_PER_TURN == 0:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    while len(begun) < 3 * STARTS_PER_TURN:  # noqa: ASYNC110 -- turns are what is waited for
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starts.begin("one", lambda: begun.append(-1))
    assert begun[-1] == -1
    assert begun[:-1] == sorted(begun[:-1])
