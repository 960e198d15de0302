"""Jobs of purchases in app stores: stores hear what was given, and what has run out is noted."""

from __future__ import annotations

from db.core.pool import Database
from db.purchases import operations
from jobs.core.declare import WorkerServices, every, job
from payments.base import WantsAcknowledgement
from payments.purchases import purchases_of

AT_ONCE = 1_000
# Some hours, later and later; Google Play waits for three days.
ACKNOWLEDGING_ATTEMPTS = 20


@job("acknowledge_purchase", attempts=ACKNOWLEDGING_ATTEMPTS)
async def acknowledge_purchase(services: WorkerServices, *, provider: str, purchase: str) -> None:
    """Tell a store that a purchase was given; it would take it back."""
    store: object = services.of(purchases_of).providers.get(provider)
    if isinstance(store, WantsAcknowledgement):
        await store.acknowledge(purchase)


@every("* * * * *")
async def expire_subscriptions(database: Database) -> None:
    """Note which subscriptions of stores are over."""
    while await operations.expire_subscription_transactions(database, AT_ONCE) == AT_ONCE:
        pass
