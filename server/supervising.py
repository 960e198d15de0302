"""Several processes behind one listening socket: started, restarted when they crash, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

GRACEFUL_SECONDS = 25.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
# A process that lived this long was a good one: its successor is started at once.
STEADY_SECONDS = 5.0
# As many short lives in a row mean that none will come up.
HOPELESS_STARTS = 5

log = structlog.get_logger(__name__)


class CannotServeError(Exception):
    """The processes end as soon as they begin; their own words say why."""


class Supervisor:
    """Runs `command` several times over with the listener as an inherited file."""

    def __init__(self, command: list[str], listener: socket.socket, count: int) -> None:
        self._command = [sys.executable, "-m", "cli", *command]
        self._listener = listener
        self._count = count
        self._processes: dict[Path, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Supervise until a signal, then let every process drain."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        # Listening from here on: who comes before the first process waits instead of being refused.
        self._listener.listen(socket.SOMAXCONN)
        with TemporaryDirectory(prefix="tallygraph-") as folder:
            await self._run_in(Path(folder))

    async def _run_in(self, folder: Path) -> None:
        sockets = [folder / str(number) for number in range(self._count)]
        keepers = [asyncio.create_task(self._keep(path)) for path in sockets]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await self._drain()
            ended = await asyncio.gather(*keepers, return_exceptions=True)
        if any(isinstance(end, CannotServeError) for end in ended):
            raise CannotServeError(
                "The processes end as soon as they begin. What they say is above."
            )

    async def _keep(self, group_socket: Path) -> None:
        loop = asyncio.get_running_loop()
        short_lives = 0
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._run_one(group_socket)
            if self._stopping.is_set():
                return
            short_lives = 0 if loop.time() - began > STEADY_SECONDS else short_lives + 1
            log.warning("serve.process_ended", process=group_socket.name, status=status)
            if short_lives >= HOPELESS_STARTS:
                raise CannotServeError
            delay = min(FIRST_RETRY_SECONDS * 2**short_lives, LONGEST_RETRY_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_one(self, group_socket: Path) -> int:
        fileno = self._listener.fileno()
        # The pipe says nothing; its end says that this process is gone, however it went.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--listener",
            str(fileno),
            "--group-socket",
            str(group_socket),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(fileno,),
        )
        self._processes[group_socket] = process
        if self._stopping.is_set():
            process.terminate()
        return await process.wait()

    async def _drain(self) -> None:
        running = [one for one in self._processes.values() if one.returncode is None]
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        _, late = (
            await asyncio.wait(
                [asyncio.create_task(process.wait()) for process in running],
                timeout=GRACEFUL_SECONDS,
            )
            if running
            else ((), ())
        )
        if late:
            for process in running:
                with suppress(ProcessLookupError):
                    process.kill()


def end_with_the_parent(on_end: Callable[[], None] | None = None) -> None:
    """In a supervised process: drain when the supervisor is gone. Needs a running loop."""

    def parent_ended() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            (on_end or _terminate)()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), parent_ended)


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
