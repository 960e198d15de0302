"""Limits on password attempts: concurrency and rate for each network, before any lookup.

Nothing here is shared by all who come, so nobody can use it up for others: an address that floods
loses its own turns, and an account is never closed to its owner by what others guess.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from auth.networks import Shares
from auth.pacing import Pace
from auth.shared_rates import SharedRates
from db.core.errors import ErrorCode, RateLimited
from db.core.fair_queue import Asker

# At the same time, from one network; and of these for one account.
ATTEMPTS_PER_NETWORK = 16
ATTEMPTS_PER_ACCOUNT = 6
FAILURES_SECONDS = 60.0
# What is answered to who guessed wrong, at a password or at a code.
GUESSES = (ErrorCode.INVALID_CREDENTIALS, ErrorCode.CODE_INVALID)
# Where an account was signed in to before, newest last.
REMEMBERED_PLACES = 20_000
# Whoever comes again at once is told no at this pace, so that the telling costs little.
REFUSALS_PER_SECOND = 50
LONGEST_PAUSE_SECONDS = 10.0
PAUSED_PER_NETWORK = 1_000


class Attempts:
    """The attempts at signing in or up of one process."""

    def __init__(
        self,
        failures_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRates | None = None,
    ) -> None:
        self._networks = Shares[str](ATTEMPTS_PER_NETWORK)
        self._accounts = Shares[tuple[str, str]](ATTEMPTS_PER_ACCOUNT)
        shared = shared or SharedRates.alone()
        # Of one account at one address, only this process counts; of an address, all do.
        self._failures = shared.limit(
            "failed_sign_ins", failures_per_minute, FAILURES_SECONDS, clock
        )
        self._pace = Pace[str](REFUSALS_PER_SECOND, LONGEST_PAUSE_SECONDS, PAUSED_PER_NETWORK)
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.refused = 0

    @asynccontextmanager
    async def attempt(self, network: str, account: str) -> AsyncIterator[Asker]:
        """A block that tries one password of an account, whether there is such an account or not.

        RATE_LIMITED when the network does too much. Where the account was signed in to before, the
        failures of others at that network do not count.
        """
        place = (network, account)
        is_known = place in self._places
        payer = place if is_known else network
        await self._admit(payer, place)
        try:
            yield Asker(network, account, is_known=is_known)
        except BaseException as error:
            if getattr(error, "code", None) not in GUESSES:
                self._failures.give_back(payer)
            raise
        else:
            self._failures.give_back(payer)
            self._remember(place)
        finally:
            self._networks.give_back(network)
            self._accounts.give_back(place)

    async def _admit(self, payer: str | tuple[str, str], place: tuple[str, str]) -> None:
        network = place[0]
        if not self._networks.take(network):
            await self._refuse(network, 1.0)
        if not self._accounts.take(place):
            self._networks.give_back(network)
            await self._refuse(network, 1.0)
        if wait_seconds := self._failures.use(payer):
            self._networks.give_back(network)
            self._accounts.give_back(place)
            await self._refuse(network, wait_seconds)

    async def _refuse(self, network: str, wait_seconds: float) -> None:
        self.refused += 1
        await self._pace.wait(network)
        raise too_many_attempts(math.ceil(wait_seconds))

    def _remember(self, place: tuple[str, str]) -> None:
        self._places[place] = None
        self._places.move_to_end(place)
        if len(self._places) > REMEMBERED_PLACES:
            self._places.popitem(last=False)


def too_many_attempts(retry_after_seconds: int = 1) -> RateLimited:
    """The refusal of an attempt that was not made."""
    return RateLimited(
        "There were too many attempts to sign in from this address; try again in a moment.",
        retry_after_seconds,
    )
