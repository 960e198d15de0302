"""Jobs of subscriptions: graces that are over, what providers know and say, and what ends."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.organization_plans.operations import note_plan_prices
from db.subscriptions import operations
from jobs.core.declare import WorkerServices, every, job, on_connect
from payments.base import BillsSubscriptions, KeepsCustomers, SubscriptionSeller
from payments.inbox import inbox_of
from payments.subscriptions import STRIPE

AT_ONCE = 100
# About two days: what is not ended is charged for.
ENDING_ATTEMPTS = 40

log = structlog.get_logger(__name__)


@every("* * * * *")
async def lapse_subscriptions(database: Database) -> None:
    """Take what is not paid for from organizations whose grace is over."""
    while lapsed := await operations.lapse(database, AT_ONCE):
        log.info("subscriptions lapsed", subscriptions=lapsed)


@every("*/5 * * * *")
async def ask_subscriptions(services: WorkerServices) -> None:
    """Ask about subscriptions of which something was due: a webhook may have been lost."""
    inbox = services.of(inbox_of)
    for one in await operations.subscriptions_to_ask(services.database, AT_ONCE):
        provider = inbox.providers.get(one.provider)
        seller = _seller(provider)
        if provider is None or seller is None:
            continue
        try:
            if one.provider_subscription_id is not None:
                told = await seller.ask_subscription(one.provider_subscription_id, one.asked_at)
            else:
                told = await seller.ask_checkout(one.checkout_id or "", one.asked_at)
        except DomainError as error:
            log.warning("subscription.not_asked", id=str(one.subscription_id), code=error.code)
            continue
        if told:
            await inbox.apply(provider, "inquiry", told)


@on_connect
@every("17 * * * *")
async def learn_plan_prices(services: WorkerServices) -> None:
    """Show what organizations' plans cost at their provider, which is what is paid."""
    seller = _seller(services.of(inbox_of).providers.get(STRIPE))
    if seller is None:
        return
    try:
        prices = await seller.ask_prices()
    except DomainError as error:
        log.warning("plan_prices.not_asked", code=error.code)
        return
    for plan_id in sorted({price.plan_id for price in prices}):
        costs = {price.interval: price for price in prices if price.plan_id == plan_id}
        currencies = {price.currency for price in costs.values()}
        month, year = (
            costs[interval].amount_cents if interval in costs else None
            for interval in ("MONTH", "YEAR")
        )
        noted = len(currencies) == 1 and await note_plan_prices(
            services.database, plan_id, month, year, *currencies
        )
        if not noted:
            log.error("plan_prices.not_noted", plan=plan_id, currencies=sorted(currencies))


@job("forget_customer", attempts=ENDING_ATTEMPTS)
async def forget_customer(services: WorkerServices, *, provider: str, customer: str) -> None:
    """Have a provider forget somebody who has left."""
    shop: object = services.of(inbox_of).providers.get(provider)
    if not isinstance(shop, KeepsCustomers):
        raise LookupError(f"{provider} is not configured")
    try:
        await shop.forget_customer(customer)
    except DomainError as error:
        # It is gone already.
        if error.code is not ErrorCode.PROVIDER_REFUSED:
            raise
        log.info("customer.not_forgotten", provider=provider, code=error.code)


@job("end_subscription", attempts=ENDING_ATTEMPTS)
async def end_subscription(
    services: WorkerServices,
    *,
    provider: str,
    subscription: str | None = None,
    checkout: str | None = None,
    at_period_end: bool = False,
) -> None:
    """End at its provider what nobody has any more, and would still be charged for.

    What an organization has paid before it goes runs to the end of its period; the provider tells
    of that by itself.
    """
    seller = _seller(services.of(inbox_of).providers.get(provider))
    if seller is None:
        raise LookupError(f"{provider} is not configured")
    try:
        if subscription is not None and at_period_end:
            await seller.cancel(subscription, datetime.now(UTC), immediately=False)
        elif subscription is not None:
            await seller.end(subscription)
        elif checkout is not None:
            await seller.close_checkout(checkout)
    except DomainError as error:
        # It has ended already, or was never there.
        if error.code is not ErrorCode.PROVIDER_REFUSED:
            raise
        log.info("subscription.not_ended", provider=provider, code=error.code)


def _seller(provider: object) -> SubscriptionSeller | None:
    return provider.subscriptions if isinstance(provider, BillsSubscriptions) else None
