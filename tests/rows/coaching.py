"""Rows of coaching."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.coaching_sessions": lambda user, key: {
        "id": key,
        "user_id": user,
        "profile_id": known_id(user, "public.profiles"),
    },
}

CHANGES = {"coaching_sessions": "actual_response = 'Hello'"}
