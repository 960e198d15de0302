"""The attacker in a process of its own, so that honest users wait for the server and not for it.

Usage: `python -m bench.attacks.attacker`. It reads what to do from its input, says that it is
ready, waits for a line, attacks for as long as it was told, and writes what it got.
"""

from __future__ import annotations

import asyncio
import base64
import pickle
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import uvloop

from bench.attacks.attackers import ATTACKS, Gains, Target
from bench.deployment import ROOT, python

READY = b"ready\n"
# How long it may take to stop when its time is over.
STOP_SECONDS = 30.0


async def attack(name: str, target: Target, seconds: float) -> Gains:
    """What one attack brings in so many seconds."""
    gains = Gains()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ATTACKS[name].act(target, gains)
    return gains


@asynccontextmanager
async def attacker(
    name: str, target: Target, seconds: float
) -> AsyncIterator[Callable[[], Awaitable[Gains]]]:
    """A process that is ready to attack; the function lets it begin, and gives what it got."""
    process = await asyncio.create_subprocess_exec(
        *python("bench.attacks.attacker"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    async def begin() -> Gains:
        orders.write(b"go\n")
        async with asyncio.timeout(seconds + STOP_SECONDS):
            found = pickle.loads(base64.b64decode(await answers.readline()))
        assert isinstance(found, Gains)
        return found

    try:
        orders.write(base64.b64encode(pickle.dumps((name, target, seconds))) + b"\n")
        if await answers.readline() != READY:
            raise RuntimeError("the attacker did not start")
        yield begin
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def main() -> None:
    """The attacker's process."""
    told = sys.stdin.buffer.readline()
    name, target, seconds = pickle.loads(base64.b64decode(told))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.readline()
    gains = asyncio.run(attack(name, target, seconds), loop_factory=uvloop.new_event_loop)
    sys.stdout.buffer.write(base64.b64encode(pickle.dumps(gains)) + b"\n")


if __name__ == "__main__":
    main()
