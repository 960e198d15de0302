"""What is handed to a push provider, and what may come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Protocol
from uuid import UUID

from db.push.tables import DevicePlatform, PushProvider


@dataclass(frozen=True)
class PushText:
    """A line of a notification: its text or, where the server has none, the app's key for it.

    `arguments` fill the app's own text, in their order.
    """

    text: str
    key: str | None = None
    arguments: Sequence[str] = ()


@dataclass(frozen=True)
class PushMessage:
    """A notification as it is shown on a device.

    `id` is the delivery's. The `notification_id` collapses copies: of two, a device shows one.
    `data` is what the app itself reads; `extra` what of it may be left out for want of room.
    """

    id: UUID
    notification_id: UUID
    platform: DevicePlatform
    title: PushText
    body: PushText
    badge: int
    topic: str
    is_urgent: bool
    expires_at: datetime
    data: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)


class PushOutcome(Enum):
    """What a provider's answer, or its silence, says of a message."""

    TAKEN = auto()
    REFUSED = auto()
    TOKEN_DEAD = auto()
    NOT_TAKEN = auto()
    UNCERTAIN = auto()


@dataclass(frozen=True)
class PushAnswer:
    """What came of handing over one message; `reason` has the provider's codes and no token.

    NOT_TAKEN may be tried again, not before `retry_seconds` if it says so. When the provider
    `is_down`, or silent, nothing else is to be tried meanwhile. `dead_since` is when a dead token
    died.
    """

    outcome: PushOutcome
    reason: str = ""
    retry_seconds: float | None = None
    is_down: bool = False
    dead_since: datetime | None = None


class NotReady(Exception):
    """The provider can't be asked now: it, or what it knows us by, is not there."""

    def __init__(self, reason: str, retry_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_seconds = retry_seconds


class Gateway(Protocol):
    """A way to the devices of one provider."""

    @property
    def provider(self) -> PushProvider: ...

    async def prepare(self) -> None:
        """Gets what the provider knows us by; NotReady when that fails."""

    async def send(self, token: str, message: PushMessage) -> PushAnswer:
        """Hands one message over, once. What has been claimed may be gone whatever it raises."""
        ...

    async def close(self) -> None:
        """Ends its connections."""
