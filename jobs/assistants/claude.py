"""The assistant that has Claude answer."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from db.chat.rules import SaidMessage
from jobs.assistants.analysis import checked_analysis
from jobs.assistants.base import AnalysisRequest, ChatRequest
from jobs.assistants.bill import ModelBill
from jobs.assistants.claude_client import BROKEN, ClaudeClient
from jobs.assistants.prompts import SystemPrompt, as_data, system_prompt
from jobs.providers.base import ProviderFailed, ProviderLimits, ProviderRefused

if TYPE_CHECKING:
    from settings import Settings

DECLINED = "The AI provider declined to answer this. No credit was spent; ask something else."
# A token has seldom more characters; an answer with more is not the one that was asked for.
_MOST_CHARACTERS_PER_TOKEN = 20
_PROFILE_CHARACTERS = 40_000
# Of an answer that is to be repaired, so much is shown to the model again.
_SHOWN_CHARACTERS = 40_000
_SHORT_LIVED = {"type": "ephemeral"}


class ClaudeAssistant:
    """Replies and analyses by Claude, with the system prompts of this server."""

    name = "anthropic"
    is_offline = False

    def __init__(self, settings: Settings) -> None:
        self.limits = ProviderLimits(
            timeout_seconds=settings.anthropic_timeout_seconds,
            concurrent_calls=settings.anthropic_concurrent_calls,
            attempts=settings.anthropic_attempts,
            calls_per_minute=settings.anthropic_calls_per_minute,
        )
        self._model = settings.anthropic_model
        self._client = ClaudeClient(
            settings.anthropic_api_key.get_secret_value(),
            settings.anthropic_api_url,
            settings.anthropic_idle_seconds,
        )

    async def reply(self, request: ChatRequest, bill: ModelBill) -> AsyncIterator[str]:
        """The reply, piece by piece as it comes."""
        prompt, model = system_prompt("chat"), request.model or self._model
        bill.begin(self.name, model, prompt.name, prompt.digest)
        profile = {"name": request.name, "analysis": request.analysis}
        asked = {
            "model": model,
            "max_tokens": request.max_output_tokens,
            "system": _system(prompt, as_data("profile", profile, _PROFILE_CHARACTERS)),
            "messages": _messages(request.messages),
            "metadata": {"user_id": request.user},
        }
        async for text in said(self._client, asked, bill):
            yield text

    async def analyse(self, request: AnalysisRequest, bill: ModelBill) -> dict[str, Any]:
        """An analysis by the schema; one that breaks it is repaired once."""
        prompt, model = system_prompt("analysis"), request.model or self._model
        bill.begin(self.name, model, prompt.name, prompt.digest)
        asked: dict[str, Any] = {
            "model": model,
            "max_tokens": request.max_output_tokens,
            "system": [_cached(prompt.text)],
            "messages": [{"role": "user", "content": _shown(request, prompt)}],
            "metadata": {"user_id": request.user},
        }
        answer = "".join([text async for text in said(self._client, asked, bill)])
        found, faults = checked_analysis(answer, prompt.answer_schema)
        if faults:
            if not await request.may_call_again():
                raise ProviderFailed(BROKEN, detail="no call of this minute is left for a repair")
            repair = prompt.file.repair.format(faults="; ".join(faults))
            asked["messages"] += [
                {"role": "assistant", "content": answer[:_SHOWN_CHARACTERS].strip() or "{}"},
                {"role": "user", "content": repair},
            ]
            answer = "".join([text async for text in said(self._client, asked, bill)])
            found, faults = checked_analysis(answer, prompt.answer_schema)
        if faults:
            raise ProviderFailed(BROKEN, may_pass=False, detail="; ".join(faults)[:500])
        return {**found, "meta": {"provider": self.name, "model": model, "prompt": prompt.name}}


async def said(client: ClaudeClient, asked: dict[str, Any], bill: ModelBill) -> AsyncIterator[str]:
    """The texts of an answer; the bill is right also when it breaks off."""
    room = asked["max_tokens"] * _MOST_CHARACTERS_PER_TOKEN
    usage = _Usage()
    bill.ended = ""
    try:
        async with client.stream(**asked) as events:
            async for event in events:
                usage.note(event)
                if event.type == "message_delta":
                    reason = getattr(event.delta, "stop_reason", None)
                    bill.ended = str(reason)[:40] if reason else bill.ended
                elif event.type == "content_block_delta" and (text := _text_of(event)):
                    room -= len(text)
                    if room < 0:
                        raise ProviderFailed(BROKEN, may_pass=False, detail="it never ends")
                    usage.characters += len(text)
                    yield text
    finally:
        usage.put_on(bill)
    if bill.ended == "refusal":
        raise ProviderRefused(DECLINED, detail="ended by refusal")
    if not bill.ended:
        raise ProviderFailed(BROKEN, detail="the answer was cut off")


def _text_of(event: Any) -> str:
    """What a piece of an answer says; the SDK checks no event, and a gateway may send any."""
    if event.delta is None:
        raise ProviderFailed(BROKEN, detail="a piece without its content")
    if event.delta.type != "text_delta":
        return ""
    text: object = event.delta.text
    if not isinstance(text, str):
        raise ProviderFailed(BROKEN, detail="a piece whose text is none")
    return text


class _Usage:
    """What one answer takes, as its events tell: counts are cumulative, the last one counts.

    Gateways leave some or all of it out.
    """

    def __init__(self) -> None:
        self.read: Any = 0
        self.cache_write: Any = 0
        self.cache_read: Any = 0
        self.written: Any = None
        self.characters = 0
        self._has_begun = False

    def note(self, event: Any) -> None:
        """Takes what an event tells of it."""
        if event.type == "message_start":
            told = getattr(event.message, "usage", None)
            self._has_begun = True
        elif event.type == "message_delta":
            told = event.usage
            # What comes before is what there was at the start.
            self.written = getattr(told, "output_tokens", None)
        else:
            return
        if told is None:
            return
        self.read = told.input_tokens or self.read
        self.cache_write = told.cache_creation_input_tokens or self.cache_write
        self.cache_read = told.cache_read_input_tokens or self.cache_read

    def put_on(self, bill: ModelBill) -> None:
        """What nobody has counted is counted by its characters: about four are a token."""
        if self._has_begun or self.characters:
            is_told = isinstance(self.written, int) and self.written > 0
            written = self.written if is_told else math.ceil(self.characters / 4)
            bill.add(
                read=self.read,
                written=written,
                cache_write=self.cache_write,
                cache_read=self.cache_read,
            )


def _system(prompt: SystemPrompt, data: str) -> list[dict[str, Any]]:
    """Instructions and data, each cached: the first by everybody, the second within a chat."""
    return [_cached(prompt.text), _cached(data)]


def _cached(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": _SHORT_LIVED}


def _shown(request: AnalysisRequest, prompt: SystemPrompt) -> list[dict[str, Any]]:
    """The picture first, as the API advises, then the data and what is wanted."""
    shown: list[dict[str, Any]] = []
    if request.picture is not None:
        media_type, data = request.picture
        source = {"type": "base64", "media_type": media_type, "data": b64encode(data).decode()}
        shown.append({"type": "image", "source": source})
    profile = {"name": request.name, "analysis": request.known}
    chat = [{"role": one.role.lower(), "text": one.text} for one in request.messages]
    text = "\n".join(
        (
            as_data("locale", request.locale, _PROFILE_CHARACTERS),
            as_data("profile", profile, _PROFILE_CHARACTERS),
            as_data("chat", chat, _PROFILE_CHARACTERS),
            prompt.file.request,
        )
    )
    return [*shown, {"type": "text", "text": text}]


def _messages(messages: Sequence[SaidMessage]) -> list[dict[str, Any]]:
    """The chat in turns, as the API wants it; the next reply reads the cache up to the last."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message.role == "USER" else "assistant"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"][0]["text"] += f"\n\n{message.text}"
        else:
            turns.append({"role": role, "content": [{"type": "text", "text": message.text}]})
    for turn in turns[-1:]:
        turn["content"][0]["cache_control"] = _SHORT_LIVED
    return turns
