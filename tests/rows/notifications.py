"""Rows of notifications."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.notifications": lambda user, key: {
        "id": key,
        "user_id": user,
        "type": "GENERAL",
        "title_key": "title",
        "message_key": "message",
    },
}

CHANGES = {"notifications": "read = true"}
