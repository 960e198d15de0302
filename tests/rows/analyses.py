"""Rows of analyses of profiles."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.profile_analyses": lambda user, key: {
        "id": key,
        "user_id": user,
        "profile_id": known_id(user, "public.profiles"),
    },
}
CHANGES = {"profile_analyses": "credits_charged = credits_charged + 1"}
