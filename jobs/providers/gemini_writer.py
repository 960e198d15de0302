"""The writer that has Gemini write texts as JSON."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from jobs.providers.base import (
    ProviderError,
    ProviderTimedOut,
    WritingOutcome,
    WritingRequest,
)
from jobs.providers.gemini_answers import read_answer
from jobs.providers.gemini_client import AWAY, GeminiClient
from jobs.providers.gemini_usage import Bill

if TYPE_CHECKING:
    from settings import Settings

_MOST_WORDS = 8192
_MOST_BYTES = 1_000_000


class GeminiWriter:
    """Asks the model; the API keeps its answer to the schema, and who asks checks it."""

    name = "gemini"

    def __init__(self, settings: Settings) -> None:
        self.model = settings.gemini_analysis_model
        self.calls_per_minute = settings.gemini_calls_per_minute
        self._calls = asyncio.Semaphore(settings.gemini_concurrent_calls)
        self._client = GeminiClient(
            settings.gemini_api_key.get_secret_value(),
            settings.gemini_api_url,
            settings.gemini_timeout_seconds,
            _MOST_BYTES,
        )

    async def write(self, request: WritingRequest) -> WritingOutcome:
        """What the model says; a `ProviderError` without an answer."""
        digest = hashlib.sha256(request.prompt.encode()).hexdigest()[:12]
        bill = Bill(self.model, "activities", digest)
        async with self._calls:
            try:
                async with asyncio.timeout(request.timeout_seconds):
                    return await self._asked(request, bill)
            except TimeoutError:
                raise ProviderTimedOut(AWAY, detail="no answer in time") from None
            except ProviderError as error:
                bill.put_on(error)
                raise

    async def _asked(self, request: WritingRequest, bill: Bill) -> WritingOutcome:
        await self._client.open()
        from google.genai.types import Content, GenerateContentConfig, Part

        config = GenerateContentConfig(
            response_mime_type="application/json",
            response_json_schema=request.answer_schema,
            candidate_count=1,
            max_output_tokens=_MOST_WORDS,
            temperature=request.temperature,
        )
        contents = [Content(role="user", parts=[Part.from_text(text=request.prompt)])]
        response = await self._client.ask(self.model, contents, config)
        bill.add(response.usage_metadata)
        return WritingOutcome(read_answer(response).text, bill.usage(), bill.cost_micro_usd)
