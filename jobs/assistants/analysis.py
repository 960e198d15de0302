"""Analyses of profiles: reads a model's by its schema, or measures what can be without one."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from db.chat.rules import SaidMessage
from jobs.providers.schema_faults import schema_faults

MOST_CHARACTERS = 120_000
_PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_BASICS = ("age", "location", "job", "school", "hometown", "zodiac_sign", "height")
_WORD = re.compile(r"\w+")


def checked_analysis(text: str, schema: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The analysis in an answer, and what is wrong with it, in words that repeat no value.

    The JSON object is cut out of what a model may write around it.
    """
    begin, end = text.find("{"), text.rfind("}")
    if len(text) > MOST_CHARACTERS:
        return {}, ["the answer is too long"]
    try:
        found = json.loads(text[begin : end + 1] if begin >= 0 else "", parse_constant=_refused)
    except (ValueError, RecursionError):
        return {}, ["the answer is not one whole JSON object"]
    if "\\u0000" in text or "\x00" in text:
        return {}, ["the answer has the character U+0000"]
    if not _is_storable(found):
        return {}, ["the answer has half of a surrogate pair, or a number that is too large"]
    faults = schema_faults(schema, found)
    return ({}, faults) if faults else (found, [])


def _is_storable(found: object) -> bool:
    """Whether Postgres takes it: Python reads `1e999` as infinity, and halves of characters."""
    try:
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def picture_in(thumbnail: str | None) -> tuple[str, bytes] | None:
    """The type and bytes of a small picture in base64; None for what is none that a model reads."""
    try:
        data = base64.b64decode((thumbnail or "").rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", data
    for beginning, media_type in _PICTURES.items():
        if data.startswith(beginning):
            return media_type, data
    return None


def measured_analysis(
    name: str | None, known: Mapping[str, Any], messages: Sequence[SaidMessage]
) -> dict[str, Any]:
    """What can be said without any AI: what is known already stays, what was said is counted."""
    asked = [message.text for message in messages if message.role == "USER"]
    words = sum(len(_WORD.findall(text)) for text in asked)
    questions = sum("?" in text for text in asked)
    basics = known.get("basics") if isinstance(known.get("basics"), dict) else {}
    missing = [field for field in _BASICS if not (basics or {}).get(field)]
    summary = (
        f"Measured without any AI. {(name or '').strip() or 'This profile'}: "
        f"{len(_BASICS) - len(missing)} of {len(_BASICS)} basics are known. What you wrote: "
        f"{len(asked)} messages, {words} words, {questions} questions."
    )
    overall = known.get("overall_analysis")
    flags = overall if isinstance(overall, dict) else {}
    return {
        "meta": {"provider": "offline", "madeOffline": True},
        "measured": {
            "messages": len(asked),
            "words": words,
            "questions": questions,
            "missingBasics": missing,
        },
        "overall_analysis": {
            "green_flags": _texts(flags.get("green_flags")),
            "red_flags": _texts(flags.get("red_flags")),
            "summary": summary,
        },
    }


def _texts(value: object) -> list[str]:
    """The first texts of what may be a list of them."""
    found = value if isinstance(value, list) else []
    return [one[:500] for one in found if isinstance(one, str)][:15]
