"""The codes and tokens in mails, derived of ids when a mail is made: none of them is stored."""

from __future__ import annotations

from uuid import UUID

from auth.invitations import invitation_tokens
from auth.one_time_codes import OneTimeCodes
from settings import Settings


class Tokens:
    """What of a mail only its reader may know."""

    def __init__(self, settings: Settings) -> None:
        self._codes = OneTimeCodes(settings)

    def digits(self, code_id: str) -> str:
        """The six digits of a one-time code."""
        return self._codes.digits(UUID(code_id))

    def code_link(self, code_id: str) -> str:
        """The token of the link that does what the digits do."""
        return self._codes.link_token(UUID(code_id))

    def invitation(self, invitation_id: str) -> str:
        """The token that accepts an invitation."""
        return invitation_tokens().token(UUID(invitation_id))
