"""What a profile may hold: pure decisions, no I/O."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from db.core.errors import DomainError, bad_input
from db.profiles.tables import JSON_LIMIT_BYTES, THUMBNAIL_LIMIT_BYTES

NAME_LIMIT_CHARACTERS = 255
_DATA_URL = re.compile(r"data:image/[a-z.+-]+;base64")


def problems_of_profile(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with values, each under its column's name; null is not judged here."""
    there = {name: value for name, value in values.items() if value is not None}
    if len(there.get("name", "")) > NAME_LIMIT_CHARACTERS:
        yield bad_input(
            f"name may have at most {NAME_LIMIT_CHARACTERS} characters.", "input", "name"
        )
    yield from problems_of_thumbnail(there.get("thumbnail", ""))
    if not isinstance(there.get("analysis", {}), dict):
        yield bad_input("analysis must be a JSON object.", "input", "analysis")
    if not isinstance(there.get("chat_history", []), list):
        yield bad_input("chatHistory must be a JSON list.", "input", "chatHistory")
    for column, field in (("analysis", "analysis"), ("chat_history", "chatHistory")):
        if column in there and len(orjson.dumps(there[column])) > JSON_LIMIT_BYTES:
            yield bad_input(f"{field} may have at most 256 KiB of JSON.", "input", field)


def problems_of_thumbnail(thumbnail: str) -> Iterator[DomainError]:
    """What is wrong with a small picture as text; what it shows is looked at elsewhere."""
    if len(thumbnail) > THUMBNAIL_LIMIT_BYTES:
        yield bad_input("thumbnail may have at most 512 KiB.", "input", "thumbnail")
    elif not _is_base64(thumbnail):
        yield bad_input("thumbnail must be base64.", "input", "thumbnail")


def _is_base64(thumbnail: str) -> bool:
    """Whether it is base64, with or without what makes a link of it that pages can show."""
    head, comma, body = thumbnail.rpartition(",")
    if comma and not _DATA_URL.fullmatch(head):
        return False
    try:
        base64.b64decode(body, validate=True)
    except ValueError:
        return False
    return True
