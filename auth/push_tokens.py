"""Push tokens as they are kept: sealed, and found by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Self

from auth.services import AccountServices
from db.push.tables import PushToken
from db.vault.sealing import Vault
from settings import Settings


class PushTokens:
    """Seals push tokens and opens them again.

    What is sealed for one token opens for no other; whose it is may change.
    """

    def __init__(self, settings: Settings) -> None:
        self._vault = Vault(settings)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of one process."""
        return cls(services.settings)

    def seal(self, token: str) -> tuple[bytes, bytes]:
        """What finds a token, and the token as it may be stored."""
        found_by = token_hash(token)
        return found_by, self._vault.seal(PushToken.sealed_token, found_by, token)

    def open(self, found_by: bytes, sealed: bytes) -> str:
        """The token again; raises `SealBroken` for what was changed or is another's."""
        return self._vault.open(PushToken.sealed_token, found_by, sealed)


def token_hash(token: str) -> bytes:
    """What finds a token, or any text. Providers make tokens too long to be guessed."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
