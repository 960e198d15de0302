"""Rows of identities: each user has one, and is about to sign in again."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.user_identities": lambda user, key: {
        "id": key,
        "user_id": user,
        "provider": "google",
        "subject": str(key),
        "email": f"{key}@example.test",
        "is_email_verified": True,
    },
    "public.oauth_states": lambda user, key: {
        "state_hash": f"\\x{key.hex}",
        "browser_hash": f"\\x{key.hex}",
        "provider": "google",
        "redirect_to": "http://localhost/",
        "expires_at": LATER,
    },
    "public.sign_in_codes": lambda user, key: {
        "code_hash": f"\\x{key.hex}",
        "sealed": f"\\x{key.hex}",
        "expires_at": LATER,
    },
    "public.used_id_tokens": lambda user, key: {
        "token_hash": f"\\x{key.hex}",
        "expires_at": LATER,
    },
}
