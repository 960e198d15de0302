"""Sealing: what must be read again later, encrypted for one place in one row."""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from settings import Settings

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
# NIST SP 800-38D: random nonces of 96 bits, for at most 2^32 messages under one key.
_NONCE_BYTES = 12


class SealBroken(Exception):
    """A sealed value was changed, moved to another row, or sealed with a key that is not here."""


class Sealing:
    """Seals with AES-256-GCM by the first of the keys of VAULT_MASTER_KEY, and opens by any.

    `place` names the table, the column and the row: what is sealed for one opens in no other.
    """

    def __init__(self, settings: Settings) -> None:
        written = settings.secret("vault-master-key").split(",")
        keys = [_SealingKey(one.strip()) for one in written if one.strip()]
        self._first = keys[0]
        self._by_id = {key.id: key for key in keys}

    def seal(self, plain: bytes, place: str) -> bytes:
        """The value as it may be stored."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _VERSION + self._first.id
        return head + nonce + self._first.cipher.encrypt(nonce, plain, head + place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value again; raises `SealBroken` when it can't have been sealed for this place."""
        head, rest = sealed[: 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        key = self._by_id.get(head[1:])
        if key is None or head[:1] != _VERSION:
            raise SealBroken(place)
        nonce, encrypted = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            return key.cipher.decrypt(nonce, encrypted, head + place.encode())
        except (InvalidTag, ValueError):
            raise SealBroken(place) from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first key sealed it; otherwise whoever opens it may seal it anew."""
        return sealed[1 : 1 + _KEY_ID_BYTES] == self._first.id


class _SealingKey:
    def __init__(self, written: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=b"tallygraph sealing").derive(written.encode())
        self.id = hashlib.sha256(derived).digest()[:_KEY_ID_BYTES]
        self.cipher = AESGCM(derived)
