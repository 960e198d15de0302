"""Who makes generations: one module per provider behind one Protocol."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    LimitedProvider,
    Provider,
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
    Providers,
    ProviderTimedOut,
    Stopwatch,
    Writer,
    WritingOutcome,
    WritingRequest,
)
from jobs.providers.offline import OfflineProvider
from settings import SettingsError

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
    "Providers",
    "Stopwatch",
    "Writer",
    "WritingOutcome",
    "WritingRequest",
    "choose_providers",
]


def choose_providers(settings: Settings, otherwise: Writer | None = None) -> Providers:
    """Who makes which tool here: Gemini all that it knows when there is its key, unless it is said.

    Gemini writes activities as well; without its key `otherwise` does.

    `SettingsError` for a tool that its provider cannot make, or without the provider's library.
    """
    chosen = dict(given.split("=", 1) for given in settings.tool_providers)
    offline = OfflineProvider()
    if not settings.gemini_api_key.get_secret_value():
        return Providers(offline, writer=otherwise)
    _require("google.genai", "gemini", "GEMINI_API_KEY")
    from jobs.providers.gemini import GeminiProvider
    from jobs.providers.gemini_writer import GeminiWriter

    gemini = GeminiProvider(settings)
    by_tool = {tool: gemini for tool in gemini.makes if chosen.get(tool) != "offline"}
    for tool, name in chosen.items():
        if name == gemini.name and tool not in by_tool:
            raise SettingsError(f"TOOL_PROVIDERS: gemini has no prompt for {tool}")
    return Providers(offline, by_tool, GeminiWriter(settings))


def _require(module: str, extra: str, setting: str) -> None:
    """Says at the start, and without importing it, that a library is not there."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SettingsError(
            f"{setting} needs a library that is not installed: pip install 'tallygraph[{extra}]'"
        )
