"""Asking a provider about what it delivered: few at once, not for long, and not while it hangs.

One provider that does not answer holds up neither the deliveries of others nor a worker's jobs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from db.core.errors import DomainError, ErrorCode

log = structlog.get_logger("tallygraph.payments")

ASKED_AT_ONCE = 4
ASK_SECONDS = 20.0
# What fails sooner costs nothing, and is tried again as any failure is.
HANGING_SECONDS = 5.0
BUSY_SECONDS = 5.0
REST_SECONDS, LONGEST_REST_SECONDS = 10.0, 300.0


class ProviderHangs(DomainError):
    """A provider that is not asked now: it did not answer, or so many wait for it already.

    After so many `seconds` it may be asked again; that is no failure of who would have asked.
    """

    def __init__(self, provider: str, seconds: float) -> None:
        super().__init__(
            ErrorCode.PROVIDER_FAILED, "The payment provider does not answer. Try again later."
        )
        self.provider = provider
        self.seconds = seconds


class ProviderTurns:
    """Who may ask one provider now, in one process."""

    def __init__(self, provider: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._clock = clock
        self._room = asyncio.Semaphore(ASKED_AT_ONCE)
        self._rests = 0
        self._rests_until = 0.0

    @asynccontextmanager
    async def turn(self, *, waits: bool) -> AsyncIterator[None]:
        """For a block in which the provider is asked; `ProviderHangs` when it is not to be.

        Who `waits` has its turn after the others, unless they find that the provider hangs; anybody
        else gives up when no turn is free within `BUSY_SECONDS`.
        """
        self._check()
        try:
            async with asyncio.timeout(None if waits else BUSY_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise ProviderHangs(self._provider, BUSY_SECONDS) from None
        try:
            self._check()
            async with self._asking():
                yield
        finally:
            self._room.release()

    def _check(self) -> None:
        left = self._rests_until - self._clock()
        if left > 0:
            raise ProviderHangs(self._provider, left)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        began = self._clock()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                yield
        except TimeoutError:
            raise self._hangs() from None
        except DomainError as error:
            is_slow = self._clock() - began >= HANGING_SECONDS
            if error.code is ErrorCode.PROVIDER_FAILED and is_slow:
                raise self._hangs() from error
            raise
        else:
            self._rests = 0

    def _hangs(self) -> ProviderHangs:
        """Gives the provider a rest, a longer one each time; those asked together count once."""
        now = self._clock()
        if now >= self._rests_until:
            seconds = min(REST_SECONDS * 2**self._rests, LONGEST_REST_SECONDS)
            self._rests = min(self._rests + 1, 10)
            self._rests_until = now + seconds
            log.error("payments.provider_hangs", provider=self._provider, rests_seconds=seconds)
        return ProviderHangs(self._provider, self._rests_until - now)
