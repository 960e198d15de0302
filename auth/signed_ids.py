"""Tokens made of a row's id and a key: whoever reads the database has none of them."""

from __future__ import annotations

import base64
import binascii
import hmac
from uuid import UUID

from settings import Settings

_ID_BYTES = 16
_SIGNATURE_BYTES = 16


class SignedIds:
    """Makes and reads the tokens of one purpose; whether one still counts is the row's to say."""

    def __init__(self, settings: Settings, purpose: str) -> None:
        self._key = settings.secret("refresh-token-key").encode()
        self._purpose = f"{purpose}:".encode()

    def token(self, row_id: UUID) -> str:
        """The token of a row: 43 characters for URLs, always the same."""
        signed = row_id.bytes + self._signature(row_id.bytes)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def row_id(self, token: str) -> UUID | None:
        """Which row a token is of; nothing for one that was not made here."""
        try:
            signed = base64.b64decode(f"{token}=".encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        key, signature = signed[:_ID_BYTES], signed[_ID_BYTES:]
        if len(key) < _ID_BYTES or not hmac.compare_digest(signature, self._signature(key)):
            return None
        return UUID(bytes=key)

    def _signature(self, key: bytes) -> bytes:
        return hmac.digest(self._key, self._purpose + key, "sha256")[:_SIGNATURE_BYTES]
