"""Rows of runs of language models."""

from . import Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.ai_budgets": lambda user, key: {
        "id": key,
        "feature": "CHAT",
        "plan_id": known_id(user, "public.plans"),
        "max_output_tokens": 500,
        "context_tokens": 1000,
        "daily_tokens": 1000,
        "credits": 1,
    },
    "public.ai_runs": lambda user, key: {
        "id": key,
        "user_id": user,
        "feature": "CHAT",
        "max_output_tokens": 500,
        "context_tokens": 1000,
    },
    "public.ai_request_logs": lambda user, key: {
        "id": key,
        "run_id": key,
        "user_id": user,
        "feature": "CHAT",
        "attempt": serial(key),
        "provider": "offline",
        "outcome": "SUCCEEDED",
        "latency_milliseconds": 5,
    },
}
