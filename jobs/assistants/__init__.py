"""Who answers in words: Claude with a key, else an assistant on this machine without any AI."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from jobs.assistants.base import Assistant
from jobs.assistants.offline import OfflineAssistant
from settings import SettingsError

if TYPE_CHECKING:
    from settings import Settings


def choose_assistant(settings: Settings) -> Assistant:
    """Who answers here; `SettingsError` for a key without the library that uses it."""
    if not settings.anthropic_api_key.get_secret_value():
        return OfflineAssistant()
    check_assistant(settings)
    from jobs.assistants.claude import ClaudeAssistant

    return ClaudeAssistant(settings)


def check_assistant(settings: Settings) -> None:
    """Says at the start, and without importing it, that the library of a key is not there."""
    if settings.anthropic_api_key.get_secret_value() and find_spec("anthropic") is None:
        raise SettingsError(
            "ANTHROPIC_API_KEY needs a library that is not installed: "
            "pip install 'tallygraph[anthropic]'"
        )
