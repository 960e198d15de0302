"""Rows of developers: a tier, keys, what they obfuscated, and what their keys asked for."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.developer_tiers": lambda user, key: {
        "id": known_id(user, "public.plans"),
        "requests_per_minute": 60,
        "whitelist_entries": -1,
        "obfuscations": 5,
        "obfuscation_period": "DAY",
        "sort_order": 1,
    },
    "public.developer_keys": lambda user, key: {
        "id": key,
        "user_id": user,
        "name": str(key),
        "preview": "vb_0123456",
        "secret_hash": f"\\x{key.hex * 2}",
    },
    "public.obfuscation_uses": lambda user, key: {
        "id": key,
        "user_id": user,
        "source": "ALLOWANCE",
    },
    "public.api_request_logs": lambda user, key: {
        "user_id": user,
        "request_id": f"req_{key.hex[:16]}",
        "method": "GET",
        "endpoint": "/v1/verify",
        "status_code": 200,
    },
}
