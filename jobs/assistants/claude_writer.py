"""The writer that has Claude write texts as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

from jobs.assistants import check_assistant
from jobs.assistants.bill import ModelBill
from jobs.assistants.claude import said
from jobs.assistants.claude_client import AWAY, ClaudeClient
from jobs.providers.base import (
    ProviderError,
    ProviderTimedOut,
    WritingOutcome,
    WritingRequest,
)

if TYPE_CHECKING:
    from settings import Settings

_MOST_TOKENS = 8192
_FORM = (
    "Answer with one JSON object, without any text around it, that keeps this JSON Schema:\n"
    "<schema>{schema}</schema>"
)


class ClaudeWriter:
    """Asks the model, and tells it the schema that its answer is to keep; who asks checks it."""

    name = "anthropic"

    def __init__(self, settings: Settings) -> None:
        self.model = settings.anthropic_model
        self.calls_per_minute = settings.anthropic_calls_per_minute
        self._calls = asyncio.Semaphore(settings.anthropic_concurrent_calls)
        self._client = ClaudeClient(
            settings.anthropic_api_key.get_secret_value(),
            settings.anthropic_api_url,
            settings.anthropic_idle_seconds,
        )

    async def write(self, request: WritingRequest) -> WritingOutcome:
        """The JSON object that the model says; a `ProviderError` without an answer."""
        digest = hashlib.sha256(request.prompt.encode()).hexdigest()[:12]
        bill, asked = ModelBill(), _asked(self.model, request)
        bill.begin(self.name, self.model, "activities", digest)
        async with self._calls:
            try:
                async with asyncio.timeout(request.timeout_seconds):
                    answer = "".join([text async for text in said(self._client, asked, bill)])
            except TimeoutError:
                late = ProviderTimedOut(AWAY, detail="no answer in time")
                raise _billed(late, bill) from None
            except ProviderError as error:
                raise _billed(error, bill) from None
        begin, end = answer.find("{"), answer.rfind("}")
        text = answer[begin : end + 1] if 0 <= begin < end else answer
        return WritingOutcome(text, bill.usage(), bill.cost_micro_usd)


def choose_writer(settings: Settings) -> ClaudeWriter | None:
    """Claude, where there is a key; `SettingsError` without the library that uses it."""
    if not settings.anthropic_api_key.get_secret_value():
        return None
    check_assistant(settings)
    return ClaudeWriter(settings)


def _asked(model: str, request: WritingRequest) -> dict[str, Any]:
    """The request; as in chats, the model's own temperature counts."""
    form = _FORM.format(schema=json.dumps(request.answer_schema, ensure_ascii=False))
    return {
        "model": model,
        "max_tokens": _MOST_TOKENS,
        "system": [{"type": "text", "text": form}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": request.prompt}]}],
    }


def _billed(error: ProviderError, bill: ModelBill) -> ProviderError:
    """The error, with what was taken although nothing came of it."""
    error.usage, error.cost_micro_usd = bill.usage(), bill.cost_micro_usd
    return error
