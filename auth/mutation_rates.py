"""Rate limits on mutations, for each user and each network.

Quotas bound what is stored, not how often it is written, and each write is an event as well, and a
movement of credits two lines of the ledger.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable

from auth.pacing import Pace
from auth.shared_rates import SharedRates
from db.core.actor import Actor
from db.core.errors import RateLimited
from settings import Settings

# Whoever has done nothing for so long may do as much of it at once.
BURST_SECONDS = 10
REFUSALS_PER_SECOND = 2
LONGEST_PAUSE_SECONDS = 5.0
# A request that waits holds its body.
PAUSED = 32


class MutationRates:
    """The mutations of one process: each root field of an operation counts."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRates | None = None,
    ) -> None:
        shared = shared or SharedRates.alone()
        per_user, per_address = settings.mutations_per_user, settings.mutations_per_address
        self._users = shared.limit("user_mutations", BURST_SECONDS * per_user, BURST_SECONDS, clock)
        self._networks = shared.limit(
            "address_mutations", BURST_SECONDS * per_address, BURST_SECONDS, clock
        )
        self._pace = Pace[Hashable](REFUSALS_PER_SECOND, LONGEST_PAUSE_SECONDS, PAUSED)
        self.refused = 0

    async def admit(self, actor: Actor, network: str) -> None:
        """Counts one mutation; RATE_LIMITED, after a pause, when there were too many."""
        seconds = self._networks.use(network)
        if not seconds and actor.user_id is not None:
            seconds = self._users.use(actor.user_claim)
            if seconds:
                self._networks.give_back(network)
        if seconds:
            await self._refuse(actor, network, seconds)

    async def refuse_early(self, actor: Actor, network: str) -> None:
        """The same for a request of which nothing was read yet, should it be a mutation."""
        seconds = self._networks.wait(network)
        if actor.user_id is not None:
            seconds = max(seconds, self._users.wait(actor.user_claim))
        if seconds:
            await self._refuse(actor, network, seconds)

    async def slow_down(self, actor: Actor, network: str) -> None:
        """A pause for who was refused a write and may come again at once."""
        await self._pace.wait(actor.user_id or network)

    async def _refuse(self, actor: Actor, network: str, seconds: float) -> None:
        self.refused += 1
        await self.slow_down(actor, network)
        raise RateLimited(
            "Too many changes at once; wait a moment, then go on.", math.ceil(seconds)
        )
