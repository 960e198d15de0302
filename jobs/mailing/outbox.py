"""The outbox: where mail lands, a file for each, while there is no server to hand it to."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC
from pathlib import Path

from jobs.mailing.base import Claim, Letter, NotClaimed, NotTaken

# As long as their rows.
KEPT_SECONDS = 30 * 86_400


class OutboxMailer:
    """Writes letters into a folder that its owner alone may read: codes are in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_busy(self) -> bool:
        """Never: a folder takes them at once."""
        return False

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
    queued = letter.queued_at.astimezone(UTC)
    milliseconds = queued.microsecond // 1000
    return f"{queued:%Y%m%dT%H%M%S}{milliseconds:03}Z-{letter.template}-{letter.id}.eml"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A reader sees the whole letter or none.
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)


def forget_old(folder: Path) -> int:
    """Deletes what has lain in an outbox for a month; returns how many."""
    too_old, deleted = time.time() - KEPT_SECONDS, 0
    for file in folder.glob("*.eml"):
        if file.stat().st_mtime < too_old:
            file.unlink(missing_ok=True)
            deleted += 1
    return deleted
