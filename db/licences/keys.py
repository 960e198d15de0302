"""Licence keys: how they are made, read, and found again without being kept."""

from __future__ import annotations

import hmac
import secrets
from typing import Protocol, Self
from uuid import UUID

from settings import Settings

# 32 signs, of which none is taken for another.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS, GROUP_CHARACTERS = 4, 4
CHARACTERS = GROUPS * GROUP_CHARACTERS
_BITS = 5


class HasSettings(Protocol):
    """What the keys of a process are made of."""

    @property
    def settings(self) -> Settings: ...


def written_key(key: str) -> str | None:
    """A key as it is kept: upper case, in groups; nothing for what is no key."""
    signs = "".join(key.split()).upper().replace("-", "")
    if len(signs) != CHARACTERS or not set(ALPHABET).issuperset(signs):
        return None
    return "-".join(
        signs[start : start + GROUP_CHARACTERS] for start in range(0, CHARACTERS, GROUP_CHARACTERS)
    )


def key_of(number: int) -> str:
    """The key that 80 bits are written as."""
    signs = [ALPHABET[number >> _BITS * n & 31] for n in range(CHARACTERS)]
    return written_key("".join(signs)) or ""


class LicenceKeys:
    """Makes keys and hashes them, with a secret that the database does not have."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.secret("vault-master-key").encode()

    @classmethod
    def of(cls, services: HasSettings) -> Self:
        """Those of a process."""
        return cls(services.settings)

    def made_for(self, seller_id: UUID, idempotency_key: str, count: int) -> list[str]:
        """So many new keys; for the same idempotency key of a seller the same ones again.

        They follow from the secret, so that who lost the answer can ask again.
        """
        asked = f"{seller_id}:{idempotency_key}".encode(errors="surrogatepass")
        seed = self._hash("licence keys", asked)
        return [
            key_of(int.from_bytes(hmac.digest(seed, b"%d" % n, "sha256")[:10]))
            for n in range(count)
        ]

    def hash(self, key: str) -> bytes:
        """What finds a key's licence; `key` as it is kept."""
        return self._hash("licence key", key.encode())

    def machine_hash(self, machine_id: str) -> bytes:
        """What a machine is remembered by."""
        return self._hash("machine", machine_id.encode(errors="surrogatepass"))

    def _hash(self, purpose: str, text: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b":" + text, "sha256")


def new_key() -> str:
    """A key that nobody has."""
    return key_of(secrets.randbits(_BITS * CHARACTERS))
