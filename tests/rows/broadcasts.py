"""Rows of broadcasts."""

from __future__ import annotations

from . import Maker

ROWS: dict[str, Maker] = {
    "public.broadcasts": lambda user, key: {
        "id": key,
        "sent_by": user,
        "type": "FEATURE",
        "title_key": "title",
        "message_key": "message",
    },
}

CHANGES = {"broadcasts": "sent_count = sent_count + 1"}
