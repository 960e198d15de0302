"""The processes behind one port: each tells the others its figures, so that any answers for all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

# An operator waits for the answer, and a process that is stuck should not keep it back.
ANSWER_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Siblings:
    """Every process listens on a Unix socket in a folder of theirs alone, named by its place."""

    def __init__(self, place: Path | None = None) -> None:
        self.name = place.name if place else "0"
        self._place = place
        self._server: asyncio.Server | None = None

    async def start(self, tell: Callable[[], bytes]) -> None:
        """Begin to answer with what `tell` returns; nothing to do for a process that is alone."""
        if self._place is None:
            return

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                writer.write(tell())
                await writer.drain()
            writer.close()

        try:
            self._place.parent.mkdir(mode=0o700, exist_ok=True)
            # The socket of a predecessor that crashed.
            self._place.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(answer, self._place)
        except OSError as error:
            log.warning("metrics.untold", place=str(self._place), error=error)

    async def stop(self) -> None:
        """Answer no more; the last removes the folder, whose maker may have been killed."""
        if self._place and self._server:
            self._server.close()
            self._place.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._place.parent.rmdir()

    async def ask(self) -> dict[str, bytes | None]:
        """What each of the others tells, by its name; nothing from one that does not answer."""
        if self._place is None:
            return {}
        others: list[Path] = []
        with contextlib.suppress(OSError):  # somebody has cleared the folder away
            others = sorted(place for place in self._place.parent.iterdir() if place != self._place)
        answers = await asyncio.gather(*(_ask(place) for place in others))
        return dict(zip((place.name for place in others), answers, strict=True))


async def _ask(place: Path) -> bytes | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(place)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
