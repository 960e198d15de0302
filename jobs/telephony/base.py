"""What a telephony provider must do, as the jobs of runs see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from db.runs.reports import CallReport


class CallRefused(Exception):
    """The provider will never make this call, such as one to a number that nobody has.

    The message is for those who asked for the call.
    """


class CallNotPlaced(Exception):
    """The provider has not placed the call, for now: it may be asked again without a look."""

    def __init__(self, reason: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call that is to be made."""

    run_id: UUID
    to: str
    variables: Mapping[str, Any]
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What an ended call cost and left. A cost of None is not known yet.

    `recording` is a WAV file.
    """

    cost_micro_usd: int | None
    usage: dict[str, Any] = field(default_factory=dict)
    transcript: str | None = None
    recording: bytes | None = None


class Telephony(Protocol):
    """Makes calls. Whatever it raises, but for the two above, may have placed the call or not."""

    @property
    def name(self) -> str: ...

    @property
    def tells(self) -> bool:
        """Whether it reports by itself how calls go on; else it is asked."""
        ...

    @property
    def settles_seconds(self) -> float:
        """After so long, a call that was asked for is there to be found, or will never be."""
        ...

    async def place(self, request: CallRequest) -> str:
        """Dials, and gives the provider's id of the call."""
        ...

    async def find(self, request: CallRequest, since: datetime) -> list[str]:
        """Calls that may be this one, if it was placed by somebody who could not say so."""
        ...

    async def look(self, call_id: str) -> CallReport | None:
        """How far a call has come; None for one that the provider does not know."""
        ...

    async def record(self, call_id: str, report_seconds: int) -> CallRecord:
        """What an ended call cost and left."""
        ...
