"""Rows of guests: each user has taken over an account of their own."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.guest_merges": lambda user, key: {
        "guest_id": known_id(user, "guest"),
        "user_id": user,
        "moved": "{}",
    },
}
