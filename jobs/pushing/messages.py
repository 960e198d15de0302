"""What a device is shown of a notification: its texts in the user's language, and its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from db.push.operations import BegunPush
from db.push.rules import IS_OF_USE
from jobs.pushing.base import PushMessage, PushText

_PLACEHOLDER = re.compile(r"\{(\w{1,64})\}")
# Long enough for anything that a screen shows of it.
TITLE_LIMIT_CHARACTERS, BODY_LIMIT_CHARACTERS = 200, 1_000


def message_of(push: BegunPush) -> PushMessage:
    """The message of an attempt."""
    values = {name: shown for name, value in push.parameters.items() if (shown := _shown(value))}
    arguments = [values[name] for name in sorted(push.data) if name in values]
    return PushMessage(
        id=push.delivery_id,
        notification_id=push.notification_id,
        platform=push.platform,
        title=_text(push.title, push.title_key, values, arguments, TITLE_LIMIT_CHARACTERS),
        body=_text(push.message, push.message_key, values, arguments, BODY_LIMIT_CHARACTERS),
        badge=push.unread,
        topic=push.type,
        is_urgent=push.type == "GENERAL",
        expires_at=push.created_at + IS_OF_USE,
        data={
            "notificationId": f"notification_{push.notification_id}",
            "type": push.type,
            "titleKey": push.title_key,
            "messageKey": push.message_key,
        },
        extra={"data": orjson.dumps(push.data).decode()},
    )


def _text(
    text: str, key: str, values: Mapping[str, str], arguments: list[str], limit_characters: int
) -> PushText:
    """A line with its values; where it is only its key, the app may have a text for that."""
    if text == key:
        return PushText(text, key, arguments)
    filled = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
    return PushText(filled[:limit_characters])


def _shown(value: Any) -> str | None:
    """A value as a text shows it; nothing for what is no text or number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)
