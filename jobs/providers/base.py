"""What a generation asks of a provider, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One run of a tool on the bytes of one inspected photo."""

    tool_id: str
    parameters: dict[str, Any]
    image: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """What came out: a picture, figures, or both; and whether no AI had a part in it."""

    image: bytes | None
    content_type: str | None
    analysis: dict[str, Any] | None
    made_offline: bool
    usage: dict[str, Any]


class ProviderError(Exception):
    """A generation that a provider did not make. `public_message` is safe to show to anyone."""

    def __init__(self, public_message: str) -> None:
        super().__init__(public_message)
        self.public_message = public_message


class ProviderRefused(ProviderError):
    """The provider will never make this; trying again is no use."""


class ProviderFailed(ProviderError):
    """The provider could not make this now; trying again may help."""


class Provider(Protocol):
    """Makes generations."""

    @property
    def name(self) -> str: ...

    async def generate(self, request: GenerationRequest) -> GenerationOutcome: ...
