"""Rows of chats: each user has a message and a piece of one."""

from . import Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.chat_messages": lambda user, key: {
        "id": key,
        "user_id": user,
        "profile_id": known_id(user, "public.profiles"),
        "role": "USER",
        "text": f"A question of {user}",
    },
    "public.chat_chunks": lambda user, key: {
        "message_id": known_id(user, "public.chat_messages"),
        "number": serial(key),
        "user_id": user,
        "text": f"Words for {user}",
    },
}
CHANGES = {"chat_messages": "credits_charged = credits_charged + 1"}
