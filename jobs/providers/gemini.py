"""The provider that has Gemini make pictures and analyse faces."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from db.core.errors import DomainError
from db.files.images import ImageWorker, InspectedImage
from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    ProviderError,
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
)
from jobs.providers.gemini_answers import ModelAnswer, checked, picture_of, read_answer
from jobs.providers.gemini_client import BROKEN, GeminiClient
from jobs.providers.gemini_usage import Bill
from jobs.providers.prompts import Prompt, UnfitParameter, prompts

if TYPE_CHECKING:
    from google.genai.types import Content, GenerateContentConfig, Part

    from settings import Settings

# The models look at no more than about this; a whole request may have 20 MB.
SENT_PIXELS = 2048
# Base64 takes four bytes for three; the rest of an answer is small.
_BYTES_BESIDE_PICTURE = 1_000_000
_MOST_WORDS = 8192
# Of an answer that is to be repaired, so much is shown to the model again.
_SHOWN_CHARACTERS = 8000
_REPAIR = (
    "Your answer breaks the schema: {faults}. Answer again with the whole JSON object and nothing "
    "else."
)


class GeminiProvider:
    """Makes each tool that has a prompt: pictures, or an analysis whose JSON keeps its schema."""

    name = "gemini"

    def __init__(self, settings: Settings) -> None:
        self.limits = ProviderLimits(
            timeout_seconds=settings.gemini_timeout_seconds,
            concurrent_calls=settings.gemini_concurrent_calls,
            attempts=settings.gemini_attempts,
            calls_per_minute=settings.gemini_calls_per_minute,
        )
        self.makes = frozenset(prompts())
        self._models = {
            "image": settings.gemini_image_model,
            "analysis": settings.gemini_analysis_model,
        }
        # What comes out is a photo like those that go in, with the same bounds.
        self._images = ImageWorker(
            settings.upload_limit_pixels, memory_bytes=settings.picture_memory_bytes
        )
        self._most_bytes = settings.upload_limit_bytes
        self._client = GeminiClient(
            settings.gemini_api_key.get_secret_value(),
            settings.gemini_api_url,
            settings.gemini_timeout_seconds,
            settings.upload_limit_bytes * 4 // 3 + _BYTES_BESIDE_PICTURE,
        )

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        """Make the generation."""
        prompt = prompts().get(request.tool_id)
        if prompt is None:
            raise ProviderRefused("The AI provider does not know this tool. No credit was spent.")
        bill = Bill(self._models[prompt.file.makes], prompt.name, prompt.digest)
        try:
            parts = await self._parts(request, prompt)
            if prompt.file.makes == "image":
                return await self._picture(parts, bill)
            return await self._analysis(request, parts, prompt, bill)
        except ProviderError as error:
            bill.put_on(error)
            raise

    async def _parts(self, request: GenerationRequest, prompt: Prompt) -> list[Part]:
        try:
            text = prompt.text(request)
        except UnfitParameter as unfit:
            raise ProviderRefused(f"{request.tool_id} cannot do with this {unfit}.") from None
        pictures = [await self._sent(one) for one in (request.image, request.mask) if one]
        await self._client.open()
        from google.genai.types import Part

        shown = [Part.from_bytes(data=one, mime_type="image/jpeg") for one in pictures]
        return [*shown, Part.from_text(text=text)]

    async def _sent(self, picture: bytes) -> bytes:
        """A stored picture as a JPEG that is no larger than the models look at."""
        if _is_small_jpeg(picture):
            return picture
        try:
            return await self._images.shrink(picture, SENT_PIXELS)
        except DomainError as refusal:
            raise ProviderFailed(
                "The stored photo could not be read. Upload it again.", detail=refusal.code.value
            ) from None

    async def _asked(
        self, contents: list[Content], config: GenerateContentConfig, bill: Bill
    ) -> ModelAnswer:
        response = await self._client.ask(bill.model, contents, config)
        bill.add(response.usage_metadata)
        return read_answer(response)

    async def _picture(self, parts: list[Part], bill: Bill) -> GenerationOutcome:
        from google.genai.types import Content, GenerateContentConfig

        config = GenerateContentConfig(response_modalities=["IMAGE"], candidate_count=1)
        answer = await self._asked([Content(role="user", parts=parts)], config, bill)
        picture = await self._taken_in(picture_of(answer))
        return _outcome(bill, picture, {})

    async def _taken_in(self, data: bytes) -> InspectedImage:
        if len(data) > self._most_bytes:
            raise ProviderFailed(BROKEN, detail="the picture is too large")
        try:
            return await self._images.inspect(data)
        except DomainError as refusal:
            raise ProviderFailed(BROKEN, detail=f"its picture is {refusal.code.value}") from None

    async def _analysis(
        self, request: GenerationRequest, parts: list[Part], prompt: Prompt, bill: Bill
    ) -> GenerationOutcome:
        from google.genai.types import Content, GenerateContentConfig, Part

        config = GenerateContentConfig(
            response_mime_type="application/json",
            response_json_schema=prompt.answer_schema,
            candidate_count=1,
            max_output_tokens=_MOST_WORDS,
        )
        contents = [Content(role="user", parts=parts)]
        answer = await self._asked(contents, config, bill)
        found, faults = checked(answer, prompt.answer_schema)
        if faults:
            if not await request.may_call_again():
                raise ProviderFailed(BROKEN, detail="no call of this minute is left for a repair")
            shown = answer.text[:_SHOWN_CHARACTERS] or "{}"
            repair = _REPAIR.format(faults="; ".join(faults))
            contents += [
                Content(role="model", parts=[Part.from_text(text=shown)]),
                Content(role="user", parts=[Part.from_text(text=repair)]),
            ]
            found, faults = checked(await self._asked(contents, config, bill), prompt.answer_schema)
        if faults:
            raise ProviderFailed(BROKEN, may_pass=False, detail="; ".join(faults)[:500])
        return _outcome(bill, None, found)


def _is_small_jpeg(picture: bytes) -> bool:
    """By what the file says of itself: stored pictures are our own."""
    from PIL import Image

    try:
        header = Image.open(io.BytesIO(picture), formats=["JPEG"])
    except OSError:
        return False
    return max(header.size) <= SENT_PIXELS


def _outcome(
    bill: Bill, picture: InspectedImage | None, found: dict[str, Any]
) -> GenerationOutcome:
    return GenerationOutcome(
        image=picture.data if picture else None,
        content_type=picture.content_type if picture else None,
        analysis={"provider": "gemini", "model": bill.model, "prompt": bill.prompt, **found},
        made_offline=False,
        usage=bill.usage(),
        cost_micro_usd=bill.cost_micro_usd,
    )
