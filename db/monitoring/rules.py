"""Which alerts there are, and how what they measure is written: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LATENCY, SYNC, DEDUCTION, WEBHOOK = (
    "ai-latency",
    "sync-failures",
    "deduction-failures",
    "webhook-failures",
)


@dataclass(frozen=True, slots=True)
class AlertKind:
    """What an alert watches, in words, and the unit of what it measures."""

    title: str
    unit: str


ALERTS: Mapping[str, AlertKind] = {
    LATENCY: AlertKind("Time of AI providers, 95th of 100", "seconds"),
    SYNC: AlertKind("Synchronizations that fail", "share"),
    DEDUCTION: AlertKind("Deductions of credits that fail", "share"),
    WEBHOOK: AlertKind("Webhooks of payments that fail", "count"),
}


def shown(alert: str, measured: float | None) -> str:
    """A measured value or a limit with its unit; a dash for nothing."""
    if measured is None:
        return "–"
    # A newer release may watch what this one does not know.
    unit = ALERTS[alert].unit if alert in ALERTS else "count"
    if unit == "seconds":
        return f"{measured:.1f} s"
    return f"{measured * 100:.1f} %" if unit == "share" else f"{measured:.0f}"
