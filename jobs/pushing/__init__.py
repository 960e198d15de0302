"""How notifications reach devices: one module per provider behind one Protocol."""

from __future__ import annotations

from jobs.pushing.base import (
    Gateway,
    NotReady,
    PushAnswer,
    PushMessage,
    PushOutcome,
)
from jobs.pushing.configured import check_push_settings, choose_gateways

__all__ = [
    "Gateway",
    "NotReady",
    "PushAnswer",
    "PushMessage",
    "PushOutcome",
    "check_push_settings",
    "choose_gateways",
]
