"""The processes behind one port: each tells the others its metrics, so that any answers for all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

# An operator waits for the answer, and a process that is stuck should not keep it back.
ANSWER_SECONDS = 1.0

log = structlog.get_logger(__name__)


class ProcessGroup:
    """Every process listens on a Unix socket of its own, in a folder that only they have."""

    def __init__(self, socket_path: Path | None = None) -> None:
        self.name = socket_path.name if socket_path else "0"
        self._socket_path = socket_path
        self._server: asyncio.Server | None = None

    async def start(self, tell: Callable[[], bytes]) -> None:
        """Begin to answer with what `tell` returns; nothing to do for a process that is alone."""
        if self._socket_path is None:
            return

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                writer.write(tell())
                await writer.drain()
            writer.close()

        try:
            self._socket_path.parent.mkdir(mode=0o700, exist_ok=True)
            # The socket of a predecessor that crashed.
            self._socket_path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(answer, self._socket_path)
        except OSError as error:
            log.warning("metrics.untold", socket_path=str(self._socket_path), error=error)

    async def stop(self) -> None:
        """Answer no more; the last removes the folder, whose maker may have been killed."""
        if self._socket_path and self._server:
            self._server.close()
            self._socket_path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._socket_path.parent.rmdir()

    async def ask(self) -> dict[str, bytes | None]:
        """What each of the others tells, by its name; nothing from one that does not answer."""
        if self._socket_path is None:
            return {}
        others: list[Path] = []
        with contextlib.suppress(OSError):  # somebody has cleared the folder away
            others = sorted(
                path for path in self._socket_path.parent.iterdir() if path != self._socket_path
            )
        answers = await asyncio.gather(*(_ask(path) for path in others))
        return dict(zip((path.name for path in others), answers, strict=True))


async def _ask(socket_path: Path) -> bytes | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
