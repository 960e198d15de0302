"""Licence keys: how they are made, read, and found again without being kept."""

from __future__ import annotations

import hmac
import secrets
from typing import NamedTuple, Self
from uuid import UUID

from db.licences.tables import Licence
from db.vault.sealing import HasSettings, Vault
from db.whitelists.tables import WhitelistUser
from settings import Settings

# 32 signs, of which none is taken for another.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS, GROUP_CHARACTERS = 4, 4
CHARACTERS = GROUPS * GROUP_CHARACTERS
_BITS = 5


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


class SealedKey(NamedTuple):
    """A key as it is stored: what finds it, what only the vault opens, and how it ends."""

    hash: bytes
    sealed: bytes
    end: str


class LicenceKeys:
    """Makes keys, seals them and finds them again, with secrets that the database does not have."""

    def __init__(self, settings: Settings) -> None:
        self._vault = Vault(settings)
        self._secret = settings.secret("refresh-token-key").encode()

    @classmethod
    def of(cls, services: HasSettings) -> Self:
        """Those of a process."""
        return cls(services.settings)

    def made_for(self, seller_id: UUID, idempotency_key: str, count: int) -> list[str]:
        """So many new keys; for the same idempotency key of a seller the same ones again.

        They follow from the secret, so that who lost the answer can ask again.
        """
        asked = f"{seller_id}:{idempotency_key}".encode(errors="surrogatepass")
        seed = self._digest("licence keys", asked)
        return [
            key_of(int.from_bytes(hmac.digest(seed, b"%d" % n, "sha256")[:10]))
            for n in range(count)
        ]

    def sealed(self, licence_id: UUID, key: str) -> SealedKey:
        """A key as it is stored for a licence."""
        column = Licence.key_sealed
        return SealedKey(
            self._vault.blind(column, key),
            self._vault.seal(column, licence_id, key),
            key[-GROUP_CHARACTERS:],
        )

    def found_by(self, key: str) -> list[bytes]:
        """What may find a key's licence; `key` as it is kept."""
        return self._vault.blinds(Licence.key_sealed, key)

    def redeemed(self, external_id: str, key: str) -> SealedKey:
        """A key as it is stored for somebody on a whitelist."""
        column = WhitelistUser.key_sealed
        return SealedKey(
            self._vault.blind(column, key),
            self._vault.seal(column, external_id, key),
            key[-GROUP_CHARACTERS:],
        )

    def machine_hash(self, machine_id: str) -> bytes:
        """What a machine is remembered by."""
        return self._digest("machine", machine_id.encode(errors="surrogatepass"))

    def _digest(self, purpose: str, text: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b":" + text, "sha256")


def new_key() -> str:
    """A key that nobody has."""
    return key_of(secrets.randbits(_BITS * CHARACTERS))
