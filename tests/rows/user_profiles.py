"""Rows of what users say of themselves."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.user_profiles": lambda user, _: {
        "user_id": user,
        "zodiac_sign": "Leo",
        "location": f"Home of {user}",
        "synthesis": "{}",
    },
}
