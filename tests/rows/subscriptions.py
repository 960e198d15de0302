"""Rows of subscriptions: each user has one, and an invoice."""

from datetime import UTC, datetime

from . import Maker

STARTS, ENDS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)

ROWS: dict[str, Maker] = {
    "public.provider_subscriptions": lambda user, key: {
        "id": key,
        "user_id": user,
        "provider": "stripe",
        "provider_subscription_id": str(key),
        "plan_id": "pro",
        "billing_interval": "MONTH",
    },
    "public.provider_invoices": lambda user, key: {
        "id": key,
        "user_id": user,
        "provider": "stripe",
        "provider_invoice_id": str(key),
        "provider_subscription_id": str(user),
        "payment_id": str(key),
        "status": "PAID",
        "total_cents": 900,
        "paid_cents": 900,
        "currency": "USD",
        "period_start": STARTS,
        "period_end": ENDS,
        "told_at": STARTS,
    },
}
