"""What hands e-mails over: the Protocol, what it is given, and how it can fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

# Notes, for everybody, that a letter is handed over now; False when it may not be.
Claim = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A finished message with its envelope; `content` has its headers and is the same bytes again.

    `is_utf8` says that an address needs a server that speaks SMTPUTF8 (RFC 6531).
    """

    id: UUID
    template: str
    queued_at: datetime
    sender: str
    recipient: str
    content: bytes
    is_utf8: bool = False


class NotTaken(Exception):
    """No server took the letter, which is certain; another attempt may. The text has no address."""


class LetterRefused(Exception):
    """The server will never take the letter."""


class LetterUncertain(Exception):
    """The letter was handed over, and the server did not say whether it has it."""


class NotClaimed(Exception):
    """Another attempt has begun or ended meanwhile: this one handed nothing over."""


class Mailer(Protocol):
    """Hands letters over, each at most once in a call.

    `send` asks the `claim` right before the letter leaves this process, and raises `NotClaimed`
    when that says no. It gives where the letter went, for the log. While it `is_busy`, another
    letter would wait too long: its job had better come back.
    """

    @property
    def is_busy(self) -> bool: ...

    async def send(self, letter: Letter, claim: Claim) -> str: ...
