"""Rows of push tokens and deliveries."""

from __future__ import annotations

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.push_tokens": lambda user, key: {
        "id": key,
        "user_id": user,
        "session_id": known_id(user, "public.sessions"),
        "platform": "ANDROID",
        "provider": "FCM",
        "token_hash": f"\\x{key.hex}",
        "sealed_token": f"\\x{key.hex}",
    },
    "public.push_deliveries": lambda user, key: {
        "id": key,
        "notification_id": known_id(user, "public.notifications"),
        "token_id": key,
        "provider": "FCM",
    },
}
