"""Rows of plans: each user has a subscription with one period."""

from . import LATER, Maker, known_id

ROWS: dict[str, Maker] = {
    "public.plan_subscriptions": lambda user, key: {
        "user_id": user,
        "plan_id": known_id(user, "public.plans"),
        "current_period_end": LATER,
    },
    "public.plan_periods": lambda user, key: {
        "id": key,
        "user_id": user,
        "plan_id": known_id(user, "public.plans"),
        "kind": "START",
        "starts_at": "2026-01-01",
        "ends_at": LATER,
        "reference": str(key),
    },
}

CHANGES = {"plan_subscriptions": "current_period_end = current_period_end + interval '1 day'"}
