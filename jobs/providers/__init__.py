"""Who makes generations: one module per provider behind one Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    LimitedProvider,
    Provider,
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
    ProviderTimedOut,
    Stopwatch,
)
from jobs.providers.offline import OfflineProvider

if TYPE_CHECKING:
    from settings import Settings

__all__ = [
    "GenerationOutcome",
    "GenerationRequest",
    "LimitedProvider",
    "Provider",
    "ProviderFailed",
    "ProviderLimits",
    "ProviderRefused",
    "ProviderTimedOut",
    "Stopwatch",
    "choose_provider",
]


def choose_provider(settings: Settings) -> Provider:  # noqa: ARG001
    """The provider of this deployment: without an AI key, the offline one."""
    return OfflineProvider()
