"""How many bytes of large answers one process has in flight, in all and for each user and address.

An answer is in flight from before its statement runs until its client has read it. Small answers
are not counted and never wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from settings import Settings

# An answer that cannot be larger is not counted.
SMALL_BYTES = 262_144
WAIT_SECONDS = 2.0
WAITING_LIMIT = 16


@dataclass(eq=False, slots=True)
class Room:
    """Bytes that one answer takes."""

    memory: AnswerMemory
    shares: tuple[tuple[Hashable, int], ...]
    size_bytes: int

    def shrink(self, size_bytes: int) -> None:
        """The answer is smaller than it could have been."""
        if size_bytes < self.size_bytes:
            self.memory.give_back(self, self.size_bytes - size_bytes)
            self.size_bytes = size_bytes

    def leave(self) -> None:
        """Its client has read the answer, or left."""
        self.memory.give_back(self, self.size_bytes)
        self.size_bytes = 0


class AnswerMemory:
    """What large answers may take of one process's memory."""

    def __init__(self, process_bytes: int, user_bytes: int) -> None:
        self.process_bytes = process_bytes
        self.user_bytes = user_bytes
        self.held_bytes = 0
        self._held: Counter[Hashable] = Counter()
        self._waiting: list[tuple[Room, asyncio.Future[None]]] = []

    @classmethod
    def of(cls, settings: Settings) -> AnswerMemory:
        """That of a deployment's processes."""
        return cls(settings.answer_process_bytes, settings.answer_user_bytes)

    async def enter(self, user: Hashable, network: Hashable, size_bytes: int) -> Room:
        """Room for an answer, waited for up to two seconds; refused when there is none.

        A user has a share, and an address twice that: it may stand for several users.
        """
        shares = ((("user", user), self.user_bytes), (("network", network), 2 * self.user_bytes))
        room = Room(self, shares, min(size_bytes, self.user_bytes))
        # Whoever waits already for the same share comes first.
        if not self._waits_for(room) and self._fits(room):
            self._take(room)
            return room
        if self._waits_for(room) >= WAITING_LIMIT:
            raise self._refusal(room)
        await self._wait(room)
        return room

    async def _wait(self, room: Room) -> None:
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (room, given)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await given
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                room.leave()  # it was given meanwhile
            if isinstance(error, TimeoutError):
                raise self._refusal(room) from None
            raise

    def give_back(self, room: Room, size_bytes: int) -> None:
        """Takes bytes off, and lets in who fits now, the longest waiting first."""
        self.held_bytes -= size_bytes
        for key, _ in room.shares:
            self._held[key] -= size_bytes
            if self._held[key] <= 0:
                del self._held[key]
        for entry in list(self._waiting):
            waiting, given = entry
            if self._fits(waiting):
                self._waiting.remove(entry)
                if not given.done():
                    self._take(waiting)
                    given.set_result(None)

    def _waits_for(self, room: Room) -> int:
        return sum(waiting.shares[0] == room.shares[0] for waiting, _ in self._waiting)

    def _take(self, room: Room) -> None:
        self.held_bytes += room.size_bytes
        for key, _ in room.shares:
            self._held[key] += room.size_bytes

    def _fits(self, room: Room) -> bool:
        return self.held_bytes + room.size_bytes <= self.process_bytes and self._has_share(room)

    def _has_share(self, room: Room) -> bool:
        return all(self._held[key] + room.size_bytes <= limit for key, limit in room.shares)

    def _refusal(self, room: Room) -> DomainError:
        if self._has_share(room):
            return unavailable()
        return DomainError(
            ErrorCode.RATE_LIMITED,
            "Too many large answers to you are on their way. Read those first, then ask again.",
        )
