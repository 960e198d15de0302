"""`tallygraph serve`, beside a thread that notes how long its event loop keeps others waiting.

Usage: `python -m bench.attacks.watched_server FILE serve`. The thread asks the loop for a sign
every few milliseconds and writes to FILE how long each took, in milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from time import perf_counter, sleep

import uvicorn

PAUSE_SECONDS = 0.005


def watch(loop: asyncio.AbstractEventLoop, file: Path) -> None:
    """Appends each wait in milliseconds, until the loop is closed."""
    with file.open("a", buffering=1) as output:
        while not loop.is_closed():
            answered = threading.Event()
            began = perf_counter()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # closed just now
                return
            answered.wait()
            output.write(f"{(perf_counter() - began) * 1000:.2f}\n")
            sleep(PAUSE_SECONDS)


class Watched:
    """Starts the thread once the server listens."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._startup = uvicorn.Server.startup

    def install(self) -> None:
        """From now on each server of this process is watched."""
        watched = self

        async def startup(server: uvicorn.Server, sockets: list[object] | None = None) -> None:
            await watched._startup(server, sockets)  # type: ignore[arg-type]
            loop = asyncio.get_running_loop()
            threading.Thread(target=watch, args=(loop, watched._file), daemon=True).start()

        uvicorn.Server.startup = startup  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    Watched(Path(sys.argv.pop(1))).install()
    from cli.main import main

    main()
