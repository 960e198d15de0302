"""The outbox: where mail lands, a file for each, while there is no server to hand it to."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC
from pathlib import Path

from jobs.mailing.base import Claim, Letter, NotClaimed, NotTaken


class OutboxMailer:
    """Writes letters into a folder that its owner alone may read: codes are in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, letter: Letter, claim: Claim) -> str:
        """Writes a letter; gives its path."""
        path = self._folder / file_name(letter)
        if not await claim():
            raise NotClaimed
        try:
            await asyncio.to_thread(_write, path, letter.content)
        except OSError as error:
            raise NotTaken(f"{path.parent}: {os.strerror(error.errno or 0)}") from error
        return str(path)


def file_name(letter: Letter) -> str:
    """The name of a letter's file: names are in the order of time, and the same again."""
    time = letter.queued_at.astimezone(UTC)
    return f"{time:%Y%m%dT%H%M%S}{time.microsecond // 1000:03}Z-{letter.template}-{letter.id}.eml"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A reader sees the whole letter or none.
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)
