"""Rows of profiles."""

from . import Maker, serial

ROWS: dict[str, Maker] = {
    "public.profiles": lambda user, key: {
        "id": key,
        "user_id": user,
        "local_id": serial(key),
        "name": f"Profile of {user}",
        "analysis": "{}",
    },
}

CHANGES = {"profiles": "name = 'Another'"}
