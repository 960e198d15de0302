"""So many at a time, and who waits takes turns; no slot is lost."""

from __future__ import annotations

import asyncio

import pytest

from db.core.fair_queue import Asker, FairSlots

TIMEOUT_SECONDS = 60.0


async def test_networks_take_turns_and_in_each_its_accounts() -> None:
    slots, done, gate = FairSlots(1), list[str](), asyncio.Event()

    async def work(network: str, account: str) -> None:
        async with slots.slot(Asker(network, account), TIMEOUT_SECONDS):
            await gate.wait()
            done.append(f"{network} {account}")

    asked = [*[("flood", "one")] * 4, ("flood", "two"), ("elsewhere", "ada")]
    tasks = [asyncio.create_task(work(*who)) for who in asked]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert done == [
        "flood one",
        "flood one",
        "elsewhere ada",
        "flood two",
        "flood one",
        "flood one",
    ]
    assert slots.free == 1


@pytest.mark.parametrize("given_at_once", [False, True])
async def test_who_leaves_while_waiting_takes_no_slot_along(given_at_once: bool) -> None:
    slots, begun = FairSlots(1), list[str]()

    async def work(name: str) -> None:
        async with slots.slot(Asker(name), TIMEOUT_SECONDS):
            begun.append(name)

    async with slots.slot(Asker("first"), TIMEOUT_SECONDS):
        leaving = asyncio.create_task(work("leaving"))
        await asyncio.sleep(0)
        if not given_at_once:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (slots.free, begun) == (1, [])
    await work("next")
    assert begun == ["next"]


async def test_waiting_ends() -> None:
    slots = FairSlots(1)
    async with slots.slot(Asker("first"), TIMEOUT_SECONDS):
        with pytest.raises(TimeoutError):
            async with slots.slot(Asker("second"), 0.001):
                pass
    assert slots.free == 1
