"""Reads what Gemini answers: a picture, a text, or why there is none; and checks an analysis."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.providers.base import ProviderFailed, ProviderRefused
from jobs.providers.gemini_client import BROKEN
from jobs.providers.schema_faults import schema_faults

if TYPE_CHECKING:
    from google.genai.types import Candidate, GenerateContentResponse

DECLINED = (
    "The AI provider declined this photo or this change. No credit was spent; try another one."
)
MOST_CHARACTERS = 20_000
# Reasons why a model ends that another try does not change.
_REFUSALS = frozenset(
    {
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "NO_IMAGE",
        "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
    }
)  # fmt: skip
_ENDED = "STOP"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model said: its text, its first picture, and whether it came to its end."""

    text: str
    picture: bytes | None
    ended: str


def read_answer(response: GenerateContentResponse) -> ModelAnswer:
    """The first candidate's; `ProviderRefused` where safety or policy let none through."""
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise ProviderRefused(DECLINED, detail=f"prompt blocked: {_word(feedback.block_reason)}")
    if not response.candidates:
        raise ProviderFailed(BROKEN, detail="an answer without a candidate")
    candidate = response.candidates[0]
    ended = _word(candidate.finish_reason)
    if ended in _REFUSALS:
        raise ProviderRefused(DECLINED, detail=f"ended by {ended}")
    text, picture = _content(candidate)
    return ModelAnswer(text, picture, ended)


def picture_of(answer: ModelAnswer) -> bytes:
    """The picture of an answer; a model that ended well without one has declined in words."""
    if answer.picture is not None:
        return answer.picture
    if answer.ended == _ENDED:
        raise ProviderRefused(DECLINED, detail="no picture in the answer")
    raise ProviderFailed(BROKEN, detail=f"no picture, ended by {answer.ended}")


def _word(value: Any) -> str:
    """An enum of the API's as a short word."""
    word = str(getattr(value, "value", value) or "")
    return word if word.isascii() and word.replace("_", "").isalpha() and len(word) < 40 else "?"


def _content(candidate: Candidate) -> tuple[str, bytes | None]:
    """Texts joined, and the first picture; thoughts are neither."""
    parts = (candidate.content and candidate.content.parts) or []
    said = [part for part in parts if not part.thought]
    pictures = (part.inline_data.data for part in said if part.inline_data is not None)
    return "".join(part.text or "" for part in said), next(filter(None, pictures), None)


def checked(answer: ModelAnswer, schema: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An analysis, and what is wrong with it by its JSON Schema, in words that repeat no value."""
    if len(answer.text) > MOST_CHARACTERS:
        return {}, ["the answer is too long"]
    try:
        found = json.loads(answer.text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return {}, ["the answer is not one whole JSON value"]
    faults = schema_faults(schema, found)
    return (found, []) if not faults else ({}, faults)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
