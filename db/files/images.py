"""Decodes photos in child processes, one each, with limits on memory, time and their number."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.core.errors import DomainError, ErrorCode
from db.core.fair_queue import Asker, FairSlots

CHILD_MEMORY_BYTES = 1 << 30
CHILD_CPU_SECONDS = 20
CHILD_TIMEOUT_SECONDS = 30.0
QUEUE_TIMEOUT_SECONDS = 60.0
NOBODY = Asker()

# What a small picture may be made of: one of many in a request.
SMALL_LIMIT_PIXELS = 4_000_000
# So many are made by one child, before others have their turn.
SMALL_AT_ONCE = 32

DAMAGED = "The photo is damaged or incomplete. Send the original JPEG, PNG or WebP file."
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """A sound photo: upright, without metadata, re-encoded. `sha256` is of the original bytes."""

    width_pixels: int
    height_pixels: int
    content_type: str
    data: bytes
    sha256: str


def packed_pictures(data: bytes) -> Iterator[bytes]:
    """Pictures out of one text of bytes, in which its length stands before each."""
    position = 0
    while position < len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4])
        yield data[position + 4 : end]
        position = end


def invalid_image(message: str) -> DomainError:
    """A refusal of a photo's bytes."""
    return DomainError(ErrorCode.INVALID_IMAGE, message)


def too_costly(limit: str) -> DomainError:
    """A refusal of a photo that takes more than a bound of the picture process."""
    return invalid_image(f"The photo takes more than {limit} to read. Send a smaller one.")


class ImageWorker:
    """Works on photos in child processes, in each on one; networks and their users take turns.

    A child costs about 0.1 s to start; for that the server keeps no decoder in memory, a crash
    or a bomb takes only its own child along, and no secret is in the child's environment.
    """

    def __init__(
        self,
        limit_pixels: int,
        *,
        children: int = 2,
        memory_bytes: int = CHILD_MEMORY_BYTES,
        timeout_seconds: float = CHILD_TIMEOUT_SECONDS,
    ) -> None:
        self._limit_pixels = limit_pixels
        self._memory_bytes = memory_bytes
        self._timeout_seconds = timeout_seconds
        self._slots = FairSlots(children)

    async def inspect(
        self, data: bytes, announced_type: str | None = None, asker: Asker = NOBODY
    ) -> InspectedImage:
        """The sound photo in `data`, or a refusal that says what to do."""
        answer, body = await self._asked("inspect", announced_type or "", data, asker)
        return InspectedImage(**answer, data=body)

    async def resize(self, data: bytes, width_pixels: int, asker: Asker = NOBODY) -> bytes:
        """A stored picture at most so wide."""
        _, body = await self._asked("resize", str(width_pixels), data, asker)
        return body

    async def mark(self, data: bytes, asker: Asker = NOBODY) -> bytes:
        """A stored picture with the watermark on it."""
        _, body = await self._asked("mark", "", data, asker)
        return body

    async def shrink(self, data: bytes, longest_pixels: int, asker: Asker = NOBODY) -> bytes:
        """A stored picture as a JPEG whose sides are no longer, white where it is see-through."""
        _, body = await self._asked("shrink", str(longest_pixels), data, asker)
        return body

    async def small(
        self, pictures: Sequence[bytes], longest_pixels: int, asker: Asker = NOBODY
    ) -> list[bytes | DomainError]:
        """Each of many pictures as a JPEG whose sides are no longer, or why it is refused."""
        made: list[bytes | DomainError] = []
        for first in range(0, len(pictures), SMALL_AT_ONCE):
            made += await self._small(
                pictures[first : first + SMALL_AT_ONCE], longest_pixels, asker
            )
        return made

    async def _small(
        self, pictures: Sequence[bytes], longest_pixels: int, asker: Asker
    ) -> list[bytes | DomainError]:
        packed = b"".join(len(one).to_bytes(4) + one for one in pictures)
        try:
            answer, body = await self._asked("small", str(longest_pixels), packed, asker)
        except DomainError as refusal:
            if refusal.code is not ErrorCode.INVALID_IMAGE:
                raise
            if len(pictures) == 1:
                return [refusal]
            # One of them ended the child: each has one of its own.
            return [(await self._small([one], longest_pixels, asker))[0] for one in pictures]
        return list(_unpacked(answer["pictures"], body))

    async def _asked(
        self, task: str, argument: str, data: bytes, asker: Asker
    ) -> tuple[dict[str, Any], bytes]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._slots.slot(asker, QUEUE_TIMEOUT_SECONDS))
            except TimeoutError:
                raise _unavailable() from None
            return await self._in_child(task, argument, data)

    async def _in_child(
        self, task: str, argument: str, data: bytes
    ) -> tuple[dict[str, Any], bytes]:
        try:
            child = await asyncio.create_subprocess_exec(
                *self.command(task, argument),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_child_environment(),
            )
        except OSError as error:
            raise _unavailable() from error
        try:
            async with asyncio.timeout(self._timeout_seconds):
                output, _ = await child.communicate(data)
        except TimeoutError:
            raise too_costly(f"{self._timeout_seconds:g} seconds") from None
        finally:
            if child.returncode is None:  # too slow, or the client is gone
                child.kill()
                await child.wait()
        if child.returncode == -signal.SIGXCPU:
            raise too_costly(f"{CHILD_CPU_SECONDS} seconds")
        if child.returncode:
            raise invalid_image(DAMAGED) if -child.returncode in _CRASHES else _unavailable()
        return _read_answer(output)

    def command(self, task: str, argument: str) -> list[str]:
        """How the child is started; without the current folder on its import path."""
        limits = map(str, (self._limit_pixels, self._memory_bytes, CHILD_CPU_SECONDS))
        return [sys.executable, "-P", "-m", "db.files.decoding", *limits, task, argument]


def _unpacked(outcomes: Sequence[Any], body: bytes) -> Iterator[bytes | DomainError]:
    """What became of each picture: its new bytes, or the refusal."""
    position = 0
    for outcome in outcomes:
        if isinstance(outcome, int):
            yield body[position : position + outcome]
            position += outcome
        else:
            yield DomainError(ErrorCode(outcome["code"]), outcome["message"])


def _child_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _unavailable() -> DomainError:
    return DomainError(
        ErrorCode.SERVICE_UNAVAILABLE, "The photo could not be looked at just now; send it again."
    )


def _read_answer(output: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, body = output.partition(b"\n")
    try:
        answer: dict[str, Any] = json.loads(head)
    except ValueError:
        raise _unavailable() from None
    if "code" in answer:
        raise DomainError(ErrorCode(answer["code"]), answer["message"])
    return answer, body
