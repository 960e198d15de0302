"""Where what is being done was asked for, of which the audit log keeps as little as it can."""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Protocol

# What internet providers hand out to a household or a mast: enough to tell an own sign-in from a
# stranger's, too little to find a person.
IPV4_PREFIX_LENGTH = 24
IPV6_PREFIX_LENGTH = 48


class Origin(Protocol):
    """Where a request came from."""

    @property
    def address(self) -> str: ...
    @property
    def user_agent(self) -> str | None: ...


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def asked_from(origin: Origin) -> None:
    """Notes, for the task that runs now, where what it does was asked for."""
    _origin.set(origin)


def current_origin() -> Origin | None:
    """Where it was asked for; nothing for what no request asked for."""
    return _origin.get()


@lru_cache(maxsize=4096)
def coarse_network(address: str) -> str | None:
    """The network that an address belongs to, such as 203.0.113.0/24; nothing for other text."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    length = IPV4_PREFIX_LENGTH if isinstance(parsed, IPv4Address) else IPV6_PREFIX_LENGTH
    # A link-local address may name an interface of this machine, which is no part of a network.
    return str(ip_network(f"{str(parsed).partition('%')[0]}/{length}", strict=False))
