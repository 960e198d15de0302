"""How and when the person behind a session proved who they are, and how much that proves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SignInMethod(StrEnum):
    """A way to prove who one is; a session keeps all that were used for it."""

    PASSWORD = "password"
    # A code or a link that was mailed.
    EMAIL = "email"
    # Google, Apple and others, by a redirect or an ID token.
    PROVIDER = "provider"
    # Nothing but a device that asked: a guest.
    GUEST = "guest"
    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"
    # A passkey that made sure of its user, by a finger, a face or a PIN.
    PASSKEY = "passkey"
    # A passkey that was only touched: it proves that somebody has it.
    PASSKEY_TOUCHED = "passkey_touched"


SECOND_FACTORS = frozenset(
    {SignInMethod.TOTP, SignInMethod.RECOVERY_CODE, SignInMethod.PASSKEY_TOUCHED}
)


def assurance_level(methods: Iterable[str]) -> int:
    """The authenticator assurance level (NIST SP 800-63B): 2 for two factors, otherwise 1.

    A passkey that verifies its user is two factors by itself: what one has, and what one is or
    knows.
    """
    used = frozenset(methods)
    if SignInMethod.PASSKEY in used:
        return 2
    return 2 if used & SECOND_FACTORS and used - SECOND_FACTORS else 1


@dataclass(frozen=True, slots=True)
class Assurance:
    """What a session's owner proved it with, and when last."""

    methods: tuple[str, ...]
    authenticated_at: datetime

    @property
    def level(self) -> int:
        """The authenticator assurance level, 1 or 2."""
        return assurance_level(self.methods)
