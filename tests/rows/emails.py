"""Rows of e-mails."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.emails": lambda user, key: {
        "id": key,
        "user_id": user,
        "template": "password_changed",
        "recipient": f"{key}@example.test",
    },
}
