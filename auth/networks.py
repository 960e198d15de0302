"""Where a client calls from, and how much of what a process has one network may hold at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any


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

    def __len__(self) -> int:
        return len(self._held)
