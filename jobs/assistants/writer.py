"""Writes replies down while they are made: pieces of all that a worker writes, in one statement."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from db.chat.operations import Chunk, append_chunks
from db.core.outages import passes_soon
from jobs.core.declare import WorkerServices

# A piece goes out at once after a pause; what comes faster is put together, for all replies.
PAUSE_SECONDS = 0.03
# Events copy a piece; a model that is quicker than the database fills several.
MOST_CHARACTERS = 4_000
RETRY_SECONDS = 0.5
TRIES = 20

log = structlog.get_logger(__name__)


class ReplyGone(Exception):
    """The reply was called off, deleted, or is another worker's now."""


class ReplyLost(Exception):
    """What was written could not be kept."""


class OpenReply:
    """A reply that is being written; what is added is kept and told soon, in its order."""

    def __init__(self, writer: ReplyWriter, reply_id: UUID, attempt: int) -> None:
        self.reply_id = reply_id
        self._writer = writer
        self._attempt = attempt
        self._number = 0
        self._waiting = ""
        self._is_sending = False
        self._kept = asyncio.Event()
        self._kept.set()
        self.failure: Exception | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything of it may have been told."""
        return self._number > 0

    def add(self, text: str) -> None:
        """Writes on; raises once nobody can have it any more."""
        if self.failure is not None:
            raise self.failure
        self._waiting += text
        self._kept.clear()
        self._writer.flush_soon(self)

    async def settled(self) -> None:
        """Returns when all is kept."""
        await self._kept.wait()
        if self.failure is not None:
            raise self.failure

    def next_chunk(self) -> Chunk:
        """The next piece of what waits."""
        text = self._waiting[:MOST_CHARACTERS]
        self._waiting = self._waiting[MOST_CHARACTERS:]
        self._number += 1
        return Chunk(self.reply_id, self._attempt, self._number, text)

    def note(self, failure: Exception | None) -> bool:
        """Notes how the last piece fared; whether more waits."""
        self.failure = self.failure or failure
        if self.failure is not None or not self._waiting:
            self._kept.set()
            return False
        return True


class ReplyWriter:
    """Keeps the pieces of a worker's replies, as many at a time as have come."""

    def __init__(self, services: WorkerServices) -> None:
        self._database = services.database
        self._wake = services.wake
        self._due: dict[UUID, OpenReply] = {}
        self._flushing: asyncio.Task[None] | None = None

    def open(self, reply_id: UUID, attempt: int) -> OpenReply:
        """A reply that an attempt writes."""
        return OpenReply(self, reply_id, attempt)

    def flush_soon(self, reply: OpenReply) -> None:
        """Keeps what waits of a reply with the next statement."""
        self._due[reply.reply_id] = reply
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="reply-writer")

    async def _flush(self) -> None:
        while self._due:
            due, self._due = self._due, {}
            chunks = [reply.next_chunk() for reply in due.values()]
            alive, lost = await self._kept_or_lost(chunks)
            self._wake()
            for reply in due.values():
                failure: Exception | None = None
                if reply.reply_id not in alive:
                    failure = ReplyLost() if reply.reply_id in lost else ReplyGone()
                if reply.note(failure):
                    self._due.setdefault(reply.reply_id, reply)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _kept_or_lost(self, chunks: list[Chunk]) -> tuple[set[UUID], set[UUID]]:
        """The replies that may go on, and those whose piece could not be kept.

        What the database refuses of one is no fault of the others: then each is kept by itself.
        """
        try:
            return await self._kept(chunks), set()
        except Exception as error:
            if len(chunks) == 1 or passes_soon(error):
                log.warning("chat.chunks_lost", error=error)
                return set(), {chunk.reply_id for chunk in chunks}
        alive: set[UUID] = set()
        lost: set[UUID] = set()
        for chunk in chunks:
            kept, not_kept = await self._kept_or_lost([chunk])
            alive |= kept
            lost |= not_kept
        return alive, lost

    async def _kept(self, chunks: list[Chunk]) -> set[UUID]:
        for _ in range(TRIES - 1):
            try:
                return await append_chunks(self._database, chunks)
            except Exception as error:
                if not passes_soon(error):
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        return await append_chunks(self._database, chunks)
