"""How much users and addresses may ask for in a minute, by the cost of their requests.

The cost is the engine's estimate from before the request runs (`extensions: {cost: true}` shows
it), so what is refused has taken nothing of the database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from auth.networks import ROUNDING_SECONDS
from auth.shared_rates import SharedRateLimit, SharedRates
from db.core.actor import Actor
from db.core.errors import RateLimited
from settings import Settings

WINDOW_SECONDS = 60


class QueryRates:
    """The budgets of one process: one for each user, and one for each address."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRates | None = None,
    ) -> None:
        shared = shared or SharedRates.alone()
        self.per_user = settings.query_cost_per_user
        self.per_address = settings.query_cost_per_address
        self._users = shared.limit("user_cost", self.per_user, WINDOW_SECONDS, clock)
        self._networks = shared.limit("address_cost", self.per_address, WINDOW_SECONDS, clock)
        self.refused = 0

    def charge(self, actor: Actor, network: str, cost: int) -> None:
        """Takes a request's cost; RATE_LIMITED, and nothing taken, where there is not as much."""
        wait = self._networks.use(network, cost)
        if not wait and actor.user_id is not None:
            wait = self._users.use(actor.user_text, cost)
            if wait:
                self._networks.give_back(network, cost)
        if wait:
            self.refused += 1
            raise RateLimited(
                "You have asked for as much as you may in a minute; wait, then go on. "
                "Smaller pages and fewer nested lists cost less.",
                math.ceil(wait),
            )

    def left(self, actor: Actor, network: str) -> tuple[int, int]:
        """The cost that the actor may ask for now, and in how many seconds all of it is back."""
        limit: SharedRateLimit = self._networks
        key = network
        if actor.user_id is not None:
            limit, key = self._users, actor.user_text
        used_seconds = max(limit.used_seconds(key) - ROUNDING_SECONDS, 0.0)
        remaining = limit.size - math.ceil(used_seconds * limit.size / WINDOW_SECONDS)
        return max(0, remaining), math.ceil(used_seconds)
