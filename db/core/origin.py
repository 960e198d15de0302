"""Where what is being done was asked for, of which the audit log keeps as little as it can."""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Protocol

import orjson

# What internet providers hand out to a household or a mast: enough to tell an own sign-in from a
# stranger's, too little to find a person.
IPV4_PREFIX_LENGTH = 24
IPV6_PREFIX_LENGTH = 48
USER_AGENT_MAX_CHARACTERS = 256


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


def audited_place() -> dict[str, str | None]:
    """The network and the device that what is done now was asked for from."""
    origin = current_origin()
    return {
        "network": coarse_network(origin.address) if origin else None,
        "device": clean_user_agent(origin.user_agent) if origin else None,
    }


def place_text() -> str:
    """The same as JSON."""
    return orjson.dumps(audited_place()).decode()


def clean_user_agent(user_agent: str | None) -> str | None:
    """What is kept of a User-Agent header: printable, and short."""
    if user_agent is None:
        return None
    printable = "".join(character for character in user_agent if character.isprintable())
    return printable[:USER_AGENT_MAX_CHARACTERS] or None


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
