"""Seals what only the holder of a token may read: the database has neither token nor text."""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# Each token is random and seals one text, so its key is used once and needs no other nonce.
_NONCE = bytes(12)


def seal(token: str, text: bytes, *, purpose: str) -> bytes:
    """The text under AES-256-GCM, with a key that the token makes."""
    return AESGCM(_key(token, purpose)).encrypt(_NONCE, text, purpose.encode())


def unseal(token: str, sealed: bytes, *, purpose: str) -> bytes | None:
    """The text again; None for another token, or what was changed."""
    try:
        return AESGCM(_key(token, purpose)).decrypt(_NONCE, sealed, purpose.encode())
    except InvalidTag:
        return None


def _key(token: str, purpose: str) -> bytes:
    return hmac.digest(token.encode(), f"seal:{purpose}".encode(), "sha256")
