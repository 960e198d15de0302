"""How many connections each network may hold open with one process, before they send anything."""

from __future__ import annotations

import resource

from uvicorn.middleware.proxy_headers import _TrustedHosts

from auth.networks import Shares, network_of
from db.core.errors import RateLimited
from server.lingering import refusal

# What one network may take of the files that the process may have open.
SHARE_OF_FILES = 4
# How long one too many waits for being told so: whoever comes again at once comes at this pace.
REFUSED_SECONDS = 2.0
RETRY_SECONDS = 5
TOO_MANY = refusal(
    429,
    RateLimited("There are too many connections from this address; close some.", RETRY_SECONDS),
    b"retry-after: %d" % RETRY_SECONDS,
)


class ConnectionShares:
    """The connections of one process. Those of proxies that are trusted count for nobody.

    Sockets leave when their handshake is done: they have limits of their own.
    """

    def __init__(self, per_address: int, trusted_proxies: list[str]) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = max(1, min(per_address, files // SHARE_OF_FILES))
        self._trusted = _TrustedHosts(trusted_proxies)
        self.held = Shares[str](limit)
        # As many again may be waiting for their refusal; what is beyond is dropped unheard.
        self.waiting = Shares[str](limit)
        self.refused = 0

    def network(self, address: str) -> str | None:
        """Who is charged for a connection; nobody for that of a proxy."""
        return None if address in self._trusted else network_of(address)


def raise_open_files() -> None:
    """Lets this process open as many files as the system grants it: a connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
