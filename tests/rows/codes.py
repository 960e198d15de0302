"""Rows of codes: each user has signed up once more, and has a code."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.pending_sign_ups": lambda user, key: {
        "id": key,
        "email": f"{key}@example.test",
        "email_key": f"{key}@example.test",
        "network_hash": f"\\x{key.hex}",
        "password_hash": f"$argon2id${key}",
        "guest_id": user,
        "expires_at": LATER,
    },
    "public.one_time_codes": lambda user, key: {
        "id": key,
        "purpose": "SIGN_IN",
        "user_id": user,
        "email": f"{key}@example.test",
        "email_key": f"{key}@example.test",
        "network_hash": f"\\x{key.hex}",
        "expires_at": LATER,
    },
}
