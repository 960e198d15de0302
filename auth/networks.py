"""A client's network, and how much of a process one network may hold at once or use in a time."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

REMEMBERED_KEYS = 100_000
ROUNDING_SECONDS = 1e-6


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What counts as one address: an IPv6 host has a whole /64 to choose from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


def client_address(scope: Mapping[str, Any]) -> str:
    """The address in an ASGI scope; behind TRUSTED_PROXIES the one that they were called from."""
    client = scope.get("client")
    return client[0] if client else ""


class RateLimit[Key: Hashable]:
    """How often each key may do something: so many at once, and as many more in each span of time.

    Of a key it keeps when all of them will be free again; keys for which they are get forgotten.
    """

    def __init__(
        self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._each_seconds = seconds / size
        self._seconds = seconds
        self._clock = clock
        self._free_at: OrderedDict[Key, float] = OrderedDict()

    def use(self, key: Key, count: int = 1) -> float:
        """Takes some of a key's: 0, or in how many seconds there will be as many."""
        now = self._clock()
        free_at = max(self._free_at.get(key, now), now) + count * self._each_seconds
        wait = free_at - now - self._seconds
        if wait > ROUNDING_SECONDS:
            return wait
        self._set(key, free_at, now)
        return 0.0

    def wait(self, key: Key) -> float:
        """In how many seconds there is one; 0 when there is one now."""
        now = self._clock()
        wait = max(self._free_at.get(key, now), now) + self._each_seconds - now - self._seconds
        return wait if wait > ROUNDING_SECONDS else 0.0

    def reserve(self, key: Key, most_seconds: float) -> float:
        """Takes one even if there is none yet: in how many seconds it is there, or `most`."""
        now = self._clock()
        free_at = max(self._free_at.get(key, now), now) + self._each_seconds
        free_at = min(free_at, now + self._seconds + most_seconds)
        self._set(key, free_at, now)
        return max(0.0, free_at - now - self._seconds)

    def give_back(self, key: Key, count: int = 1) -> None:
        """Puts back what was not used in the end."""
        if key in self._free_at:
            self._free_at[key] -= count * self._each_seconds

    def force(self, key: Key, count: int) -> None:
        """Takes some that were used already, though there may not be as many."""
        now = self._clock()
        free_at = max(self._free_at.get(key, now), now) + count * self._each_seconds
        self._set(key, min(free_at, now + 2 * self._seconds), now)

    def used_seconds(self, key: Key) -> float:
        """In how many seconds all of a key's will be there again."""
        now = self._clock()
        return max(self._free_at.get(key, now) - now, 0.0)

    def _set(self, key: Key, free_at: float, now: float) -> None:
        self._free_at[key] = free_at
        self._free_at.move_to_end(key)
        oldest = next(iter(self._free_at))
        if self._free_at[oldest] <= now or len(self._free_at) > REMEMBERED_KEYS:
            del self._free_at[oldest]

    def __len__(self) -> int:
        return len(self._free_at)


class Shares[Key: Hashable]:
    """How much of something each key holds now, up to the same limit for all.

    Keys that hold nothing are forgotten, so that no number of them fills the memory.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[Key] = Counter()

    def take(self, key: Key) -> bool:
        """Takes one for a key; false when it holds as much as it may."""
        if self._held[key] >= self.limit:
            return False
        self._held[key] += 1
        return True

    def give_back(self, key: Key, count: int = 1) -> None:
        """Gives back what was taken."""
        self._held[key] -= count
        if self._held[key] <= 0:
            del self._held[key]

    def held(self, key: Key) -> int:
        """How much a key holds."""
        return self._held[key]

    @property
    def total(self) -> int:
        """How much all keys hold."""
        return self._held.total()

    def __len__(self) -> int:
        return len(self._held)
