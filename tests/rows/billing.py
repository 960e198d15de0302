"""Rows of billing: each user has an order that is paid, and what its provider told of it."""

from . import FIRST, LATER, Maker, known_id

ROWS: dict[str, Maker] = {
    "public.products": lambda user, key: {
        "id": key,
        "name": "Panel",
        "kind": "BOT",
        "seller_id": user,
        "is_active": user == FIRST.user_id,
    },
    "public.product_prices": lambda user, key: {
        "product_id": known_id(user, "public.products"),
        "provider": f"provider {key}",
        "amount_cents": 500,
        "currency": "USD",
    },
    "public.orders": lambda user, key: {
        "id": key,
        "user_id": user,
        "product_id": known_id(user, "public.products"),
        "kind": "CREDITS",
        "credits": 10,
        "provider": "sandbox",
        "amount_cents": 500,
        "currency": "USD",
        "expires_at": LATER,
    },
    "public.order_references": lambda user, key: {
        "provider": "sandbox",
        "reference": str(key),
        "order_id": known_id(user, "public.orders"),
    },
    "public.payment_customers": lambda user, key: {
        "user_id": user,
        "provider": "stripe",
        "customer_id": f"cus_{key}",
    },
    "public.payments": lambda user, key: {
        "id": key,
        "user_id": user,
        "order_id": known_id(user, "public.orders"),
        "provider": "sandbox",
        "provider_payment_id": f"payment {key}",
        "amount_cents": 500,
        "currency": "USD",
        "status": "SUCCEEDED",
    },
    "public.payment_refunds": lambda user, key: {
        "provider": "sandbox",
        "provider_refund_id": f"refund {key}",
        "payment_id": known_id(user, "public.payments"),
        "amount_cents": 100,
    },
    "public.refund_requests": lambda user, key: {
        "id": key,
        "order_id": known_id(user, "public.orders"),
        "idempotency_key": str(key),
        "amount_cents": 100,
        "refunded_before_cents": 0,
    },
    "public.payment_disputes": lambda user, key: {
        "id": key,
        "payment_id": known_id(user, "public.payments"),
        "provider": "sandbox",
        "provider_dispute_id": f"dispute {key}",
        "amount_cents": 100,
    },
    "public.webhook_events": lambda user, key: {
        "id": key,
        "provider": "sandbox",
        "event_id": str(key),
        "kind": "payment.succeeded",
        "verified": True,
        "order_id": known_id(user, "public.orders"),
        "headers": '{"content-type": "application/json"}',
        "body": "{}",
    },
}
CHANGES = {"orders": "expires_at = expires_at + interval '1 second'"}
