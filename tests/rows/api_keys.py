"""Rows of API keys."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.api_keys": lambda user, key: {
        "id": key,
        "user_id": user,
        "name": "A bot",
        "prefix": str(key),
        "secret_hash": f"\\x{key.hex * 2}",
        "previous_prefix": f"before {key}",
        "previous_secret_hash": f"\\x{key.hex[::-1] * 2}",
        "previous_expires_at": LATER,
        "scopes": "{READ}",
        "expires_at": LATER,
    }
}
