"""Jobs of purchases in app stores: what has run out there is noted."""

from __future__ import annotations

from db.core.pool import Database
from db.purchases import operations
from jobs.core.declare import every

AT_ONCE = 1_000


@every("* * * * *")
async def expire_subscriptions(database: Database) -> None:
    """Note which subscriptions of stores are over."""
    while await operations.expire_subscription_transactions(database, AT_ONCE) == AT_ONCE:
        pass
