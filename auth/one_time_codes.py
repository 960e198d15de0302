"""One-time codes: made of a row's id and a key, so that none is ever stored, not even hashed."""

from __future__ import annotations

import hmac
from uuid import UUID

from auth.signed_ids import SignedIds
from settings import Settings

DIGITS = 6


class OneTimeCodes:
    """The digits and the link of each code; whether it still counts is its row's to say.

    Six digits alone are no secret: whoever checks one counts guesses first.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()
        self._links = SignedIds(settings, "one-time-link")

    def digits(self, code_id: UUID) -> str:
        """The six digits that are mailed, such as `042917`."""
        made = hmac.digest(self._key, b"one-time-code:" + code_id.bytes, "sha256")
        return f"{int.from_bytes(made) % 10**DIGITS:0{DIGITS}}"

    def is_right(self, code_id: UUID, given: str) -> bool:
        """Whether these are a code's digits, in a time that tells nothing of them."""
        return hmac.compare_digest(self.digits(code_id).encode(), given.encode())

    def link_token(self, code_id: UUID) -> str:
        """The token of the link that does what the digits do."""
        return self._links.token(code_id)

    def code_id_of_link(self, token: str) -> UUID | None:
        """Which code a link's token is of; nothing for one that was not made here."""
        return self._links.row_id(token)
