"""What a run asks of an assistant, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from db.chat.rules import SaidMessage
from jobs.assistants.bill import ModelBill
from jobs.providers.base import ProviderLimits


async def _any_number() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat about a profile, whose last message is to be replied to.

    `user` is a name for whom it is that tells nothing of them. The model is the assistant's own
    where it is None.
    """

    name: str | None
    analysis: Mapping[str, Any]
    locale: str
    messages: Sequence[SaidMessage]
    model: str | None
    max_output_tokens: int
    user: str


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """A profile that is to be analysed: what is known of it, and its small picture.

    An assistant awaits `may_call_again` before each call but the first: it counts toward the calls
    of a minute, and is not made when none is left.
    """

    name: str | None
    known: Mapping[str, Any]
    messages: Sequence[SaidMessage]
    picture: tuple[str, bytes] | None
    locale: str
    model: str | None
    max_output_tokens: int
    user: str
    may_call_again: Callable[[], Awaitable[bool]] = field(default=_any_number)


class Assistant(Protocol):
    """Answers in words, and may be cancelled.

    What it raises besides `ProviderRefused` counts as a failure that may pass. What it takes it
    notes on the bill, also when nothing comes of it. `name` stands in the logs; it never changes.
    """

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> ProviderLimits: ...

    @property
    def is_offline(self) -> bool: ...

    def reply(self, request: ChatRequest, bill: ModelBill) -> AsyncIterator[str]:
        """The reply, piece by piece as it is written."""
        ...

    async def analyse(self, request: AnalysisRequest, bill: ModelBill) -> dict[str, Any]:
        """An analysis that keeps the schema."""
        ...
