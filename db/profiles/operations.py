"""Profiles: what may be in one, and the verb that Python does."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete

from db.actor import Actor
from db.errors import bad_input, not_found
from db.pool import Transaction
from db.profiles.tables import Profile
from db.rls import own_rows

NAME_LIMIT_CHARACTERS = 255
# Aura's thumbnails are base64 in the row; its analyses and chats are a few kilobytes.
THUMBNAIL_LIMIT_BYTES = 512 * 1024
JSON_LIMIT_BYTES = 256 * 1024
_DATA_URL = re.compile(r"data:image/[a-z.+-]+;base64")


def check_profile(values: Mapping[str, Any]) -> None:
    """Refuses values, each under its column's name, that a profile may not have."""
    name = values.get("name")
    if name is not None and len(name) > NAME_LIMIT_CHARACTERS:
        raise bad_input(f"name may have {NAME_LIMIT_CHARACTERS} characters.", "input", "name")
    thumbnail = values.get("thumbnail")
    if thumbnail is not None and len(thumbnail) > THUMBNAIL_LIMIT_BYTES:
        raise bad_input("thumbnail may have 512 KiB.", "input", "thumbnail")
    if thumbnail is not None and not _is_base64(thumbnail):
        raise bad_input("thumbnail must be base64.", "input", "thumbnail")
    if "analysis" in values and not isinstance(values["analysis"], dict):
        raise bad_input("analysis must be a JSON object.", "input", "analysis")
    if "chat_history" in values and not isinstance(values["chat_history"], list):
        raise bad_input("chatHistory must be a JSON list.", "input", "chatHistory")
    for column, field in (("analysis", "analysis"), ("chat_history", "chatHistory")):
        if column in values and len(orjson.dumps(values[column])) > JSON_LIMIT_BYTES:
            raise bad_input(f"{field} may have 256 KiB of JSON.", "input", field)


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


async def delete_profile(transaction: Transaction, actor: Actor, profile_id: UUID) -> None:
    """Deletes a profile of the actor's; NOT_FOUND for any other."""
    statement = (
        delete(Profile)
        .where(Profile.id == profile_id, own_rows(Profile, actor))
        .returning(Profile.id)
    )
    if await transaction.fetch_value(statement) is None:
        raise not_found("profile", ("input", "id"))
