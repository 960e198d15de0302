"""Clients that do not read what they asked for are dropped: what waits for them takes memory."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress

import structlog

# Without any byte read for so long, a client has left or means harm.
# What may be held back for one write: no more than a transport keeps before it says to pause.
HELD_LIMIT_BYTES = 65_536
STALLED_SECONDS = 20.0
# And slower than this over a whole answer, it keeps the answer for too long.
BYTES_PER_SECOND = 32_768
CHECKS = 4

log = structlog.get_logger("tallygraph.http")


def read_timeout_seconds(size_bytes: int) -> float:
    """How long a client may take to read so many bytes, beyond what is allowed for a few."""
    return size_bytes / BYTES_PER_SECOND


def unread_bytes(transport: asyncio.Transport) -> int:
    """What the client has not taken yet, of what the system holds for it as well.

    Without the latter a slow client would seem to stand still: the system takes megabytes at once.
    """
    unread = transport.get_write_buffer_size()
    held = bytearray(4)
    with suppress(OSError, ValueError, AttributeError):
        # On sockets this is SIOCOUTQ (Linux, tcp(7)).
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
    return unread + int(struct.unpack("i", held)[0])


class ReaderWatch:
    """Watches one connection while bytes wait for its client; begun anew, it goes on."""

    __slots__ = ("_deadline", "_loop", "_moved_at", "_seconds", "_timer", "_transport", "_unread")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        seconds: float = STALLED_SECONDS,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._moved_at = self._deadline = 0.0

    def start(self) -> None:
        """Bytes wait to be read."""
        if self._timer is None:
            self._unread = unread_bytes(self._transport)
            self._moved_at = self._loop.time()
            self._deadline = self._moved_at + self._seconds + read_timeout_seconds(self._unread)
            self._arm()

    def stop(self) -> None:
        """They have been read, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._seconds / CHECKS, self._check)

    def _check(self) -> None:
        self._timer = None
        unread, now = unread_bytes(self._transport), self._loop.time()
        if unread < self._unread:
            self._moved_at = now
        self._unread = unread
        if now - self._moved_at < self._seconds and now < self._deadline:
            if self._transport.get_write_buffer_size():
                self._arm()
            return
        log.info("reader_dropped", unread_bytes=unread)
        self._transport.abort()
