"""Rows of purchases: each user has a month of a subscription."""

from . import LATER, Maker, known_id

ROWS: dict[str, Maker] = {
    "public.subscription_transactions": lambda user, key: {
        "id": key,
        "user_id": user,
        "order_id": known_id(user, "public.orders"),
        "provider": "app-store",
        "transaction_id": f"transaction {key}",
        "purchase_id": f"purchase {key}",
        "plan_id": known_id(user, "public.plans"),
        "amount_cents": 499,
        "currency": "USD",
        "started_at": LATER,
        "expires_at": LATER,
        "auto_renews": True,
        "status": "ACTIVE",
        "told_at": LATER,
    },
}
