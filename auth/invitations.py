"""Tokens of invitations: made of the invitation's id and a key, so that none is ever stored."""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import cache
from uuid import UUID

from settings import Settings, get_settings

_ID_BYTES = 16
_SIGNATURE_BYTES = 16


class InvitationTokens:
    """Makes and reads tokens; whether an invitation is still open is the database's to say."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()

    def token(self, invitation_id: UUID) -> str:
        """The token of an invitation: 43 characters for URLs, always the same."""
        signed = invitation_id.bytes + self._signature(invitation_id.bytes)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def invitation_id(self, token: str) -> UUID | None:
        """Which invitation a token is of; nothing for one that was not made here."""
        try:
            signed = base64.b64decode(f"{token}=".encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        key, signature = signed[:_ID_BYTES], signed[_ID_BYTES:]
        if len(key) < _ID_BYTES or not hmac.compare_digest(signature, self._signature(key)):
            return None
        return UUID(bytes=key)

    def _signature(self, key: bytes) -> bytes:
        return hmac.digest(self._key, b"organization-invitation:" + key, "sha256")[
            :_SIGNATURE_BYTES
        ]


@cache
def invitation_tokens() -> InvitationTokens:
    """Those of this deployment."""
    return InvitationTokens(get_settings())
