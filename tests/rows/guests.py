"""Rows of guests: each user has taken over an account of their own."""

from . import ADMIN, FIRST, NEWCOMER, Maker

ROWS: dict[str, Maker] = {
    "public.guest_merges": lambda user, key: {
        "guest_id": NEWCOMER.user_id if user == FIRST.user_id else ADMIN.user_id,
        "user_id": user,
        "moved": "{}",
    },
}
