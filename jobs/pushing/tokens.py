"""Push tokens, opened when they are used: none is stored in the clear."""

from __future__ import annotations

from auth.push_tokens import PushTokens
from settings import Settings
from vault_keys import SealBroken


class TokenOpener:
    """What opens the tokens of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = PushTokens(settings)

    def open(self, token_hash: bytes, sealed: bytes) -> str | None:
        """The token; nothing where no key of VAULT_MASTER_KEY opens it."""
        try:
            return self._tokens.open(token_hash, sealed)
        except SealBroken:
            return None
