"""Rows of generations."""

from . import LATER, Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.generations": lambda user, key: {
        "id": key,
        "user_id": user,
        "tool_id": known_id(user, "public.tools"),
        "upload_id": known_id(user, "public.uploads"),
        "cache_key": key.hex,
    },
    "public.result_cache": lambda user, key: {
        "cache_key": key.hex,
        "user_id": user,
        "expires_at": LATER,
    },
    "public.ai_generation_logs": lambda user, key: {
        "id": key,
        "generation_id": known_id(user, "public.generations"),
        "user_id": user,
        "tool_id": known_id(user, "public.tools"),
        "attempt": serial(key),
        "provider": "offline",
        "outcome": "SUCCEEDED",
        "latency_milliseconds": 5,
    },
    "public.provider_circuits": lambda user, key: {"provider": key},
}

CHANGES = {"generations": "status = 'CANCELLED'"}
