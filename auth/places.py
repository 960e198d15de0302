"""Addresses and networks as they are stored: keyed hashes, from which nobody reads who or where."""

from __future__ import annotations

import hmac

from auth.passwords import SALT_BYTES
from db.codes.operations import Place
from db.core.origin import coarse_network
from settings import Settings


class Places:
    """Makes the hashes of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()

    def of(self, key: str, network: str) -> Place:
        """An address, by its key, and a network."""
        area = coarse_network(network)
        return Place(
            network_hash=self.network_hash(network),
            account_holder=self._hash("account", key),
            place_holder=self._hash("place", f"{key}\n{network}"),
            area=area,
            area_holder=self._hash("area", f"{key}\n{area}"),
        )

    def network_hash(self, network: str) -> bytes:
        """A network alone."""
        return self._hash("network", network)

    def sign_up_salt(self, key: str) -> bytes:
        """A salt of each address's own, that nobody can tell beforehand (RFC 9106, 3.1)."""
        return self._hash("sign-up-salt", key)[:SALT_BYTES]

    def _hash(self, what: str, value: str) -> bytes:
        return hmac.digest(self._key, f"code-{what}:{value}".encode(), "sha256")
