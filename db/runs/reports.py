"""What a telephony provider tells of a call."""

from __future__ import annotations

from dataclasses import dataclass

from db.runs.tables import RunStatus


@dataclass(frozen=True, slots=True)
class CallReport:
    """How far a call has come; it changes again in `next_seconds`, where the provider can say."""

    status: RunStatus
    duration_seconds: int = 0
    reason: str | None = None
    next_seconds: float | None = None
