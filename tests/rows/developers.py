"""Rows of developers: keys, what they obfuscated, and what their keys asked for."""

from . import Maker

ROWS: dict[str, Maker] = {
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
