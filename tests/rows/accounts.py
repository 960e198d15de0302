"""Rows of accounts."""

from . import ADMIN, LATER, Maker, known_id

ROWS: dict[str, Maker] = {
    "public.users": lambda user, key: {
        "id": key,
        "email": f"{key}@example.test",
        "role": "admin" if key == ADMIN.user_id else "user",
    },
    "public.credentials": lambda user, key: {"user_id": user, "password_hash": f"$argon2id${key}"},
    "public.sessions": lambda user, key: {"id": key, "user_id": user, "expires_at": LATER},
    "public.refresh_tokens": lambda user, key: {
        "token_hash": f"\\x{key.hex}",
        "session_id": known_id(user, "public.sessions"),
        "expires_at": LATER,
    },
    "public.sign_up_terms": lambda user, key: {
        "id": 1,
        "bonus_credits": 10,
        "anonymous_bonus_credits": 3,
    },
    "public.deleted_sessions": lambda user, key: {"id": key},
    "public.rate_budgets": lambda user, key: {
        "kind": str(key),
        "holder_hash": f"\\x{key.hex}",
        "used_at": f"{{{LATER.isoformat()}}}",
        "expires_at": LATER,
    },
    "public.audit_log": lambda user, key: {"user_id": user, "action": "test"},
}
