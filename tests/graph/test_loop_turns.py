"""A flood begins a few in each turn of the loop, and others do not wait behind it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from graph.shared.loop_turns import LoopTurns

PER_TURN = 8


async def test_a_turn_begins_only_so_many_and_networks_take_turns() -> None:
    turns, begun, seen = LoopTurns(PER_TURN), list[str](), list[int]()
    for _ in range(10 * PER_TURN):
        turns.begin("flood", lambda: begun.append("flood"))
    turns.begin("elsewhere", lambda: begun.append("elsewhere"))
    while len(begun) < 10 * PER_TURN + 1:
        seen.append(len(begun))
        await asyncio.sleep(0)
    assert max(later - earlier for earlier, later in pairwise(seen)) <= PER_TURN
    assert begun.index("elsewhere") <= PER_TURN + 1
    assert begun.count("flood") == 10 * PER_TURN


async def test_a_quiet_loop_begins_at_once_again() -> None:
    turns, begun = LoopTurns(PER_TURN), list[int]()
    for number in range(3 * PER_TURN):
        turns.begin("one", lambda number=number: begun.append(number))  # type: ignore[misc]
    while len(begun) < 3 * PER_TURN:  # noqa: ASYNC110 -- turns are what is waited for
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    turns.begin("one", lambda: begun.append(-1))
    assert begun == [*range(3 * PER_TURN), -1]


async def test_a_turn_whose_time_is_over_begins_no_more() -> None:
    turns, begun, seen = LoopTurns(PER_TURN, seconds=0), list[int](), list[int]()
    for number in range(PER_TURN):
        turns.begin("one", lambda number=number: begun.append(number))  # type: ignore[misc]
    while len(begun) < PER_TURN:
        seen.append(len(begun))
        await asyncio.sleep(0)
    assert seen == [*range(1, PER_TURN)]
    assert begun == [*range(PER_TURN)]


async def test_who_waits_for_a_turn_has_it_alone() -> None:
    turns, seen, turn = LoopTurns(1), list[int](), 0

    async def one() -> None:
        await turns.turn("one")
        seen.append(turn)

    tasks = [asyncio.create_task(one()) for _ in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    while len(seen) < 5:
        turn += 1
        await asyncio.sleep(0)
    assert len(set(seen)) == 5
