"""Subscriptions that a provider renews, of a user and of their organization, and invoices."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from .people import TEXTS, TIMESTAMPS, add, known

STATUSES = ("OPEN", "PAID", "UNCOLLECTIBLE", "VOID", "PAID", "PAID")


async def add_bill_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """A subscription each of the user and of their organization, and invoices of both."""
    whose = ({"user_id": user.user_id}, {"organization_id": known(user, "organization", 0)})
    for n, billed in enumerate(whose):
        await add(
            owner,
            "provider_subscriptions",
            id=known(user, "subscription", n),
            **billed,
            provider="stripe",
            provider_subscription_id=f"sub_{known(user, 'subscription', n)}",
            plan_id=("pro", "starter")[n],
            billing_interval=("YEAR", "MONTH")[n],
            seats=n + 1,
            status=("PENDING", "PAST_DUE")[n],
            current_period_end=TIMESTAMPS[1] if n else None,
            grace_ends_at=TIMESTAMPS[2] if n else None,
            created_at=TIMESTAMPS[n],
        )
        for m, status in enumerate(STATUSES):
            await add(
                owner,
                "provider_invoices",
                id=known(user, f"invoice {n}", m),
                **billed,
                provider="stripe",
                provider_invoice_id=f"in_{known(user, f'invoice {n}', m)}",
                provider_subscription_id=f"sub_{known(user, 'subscription', n)}",
                payment_id=f"in_{known(user, f'invoice {n}', m)}",
                number=TEXTS[m] if m else None,
                status=status,
                total_cents=2**31 - 1 if m == 1 else -m,
                paid_cents=m,
                currency="USD",
                period_start=TIMESTAMPS[0],
                period_end=TIMESTAMPS[-1],
                page_url=None if m % 2 else "https://invoice.example.test/é",
                created_at=TIMESTAMPS[m % len(TIMESTAMPS)],
                paid_at=TIMESTAMPS[m % len(TIMESTAMPS)] if status == "PAID" else None,
                told_at=TIMESTAMPS[0],
            )


def bill_ids(user: Actor) -> dict[str, list[str]]:
    """Their global ids, by type."""
    return {
        "ProviderSubscription": [
            f"subscription_{known(user, 'subscription', n)}" for n in range(2)
        ],
        "ProviderInvoice": [f"invoice_{known(user, f'invoice {n}', 0)}" for n in range(2)],
    }
