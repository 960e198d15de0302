"""Rows of activities and of what was asked of an AI."""

from __future__ import annotations

from . import Maker

ROWS: dict[str, Maker] = {
    "public.activities": lambda user, key: {
        "id": key.hex * 2,
        "kind": "DARE",
        "level": "G",
        "intensity": 1,
        "text": "Hum a tune until {partner} knows it.",
        "themes": "{music}",
        "source": "IMPORTED",
    },
    "public.activity_generation_logs": lambda user, key: {
        "id": key,
        "session_id": key,
        "provider": "gemini",
        "model": "gemini-2.5-flash",
        "level": "G",
        "prompt": "Write.",
        "outcome": "ANSWERED",
        "duration_milliseconds": 900,
    },
}
