"""Scheduled work on entitlements: RevenueCat is asked about users of whom nothing was heard."""

from __future__ import annotations

import structlog

from db.core.errors import DomainError
from db.entitlements.operations import users_to_ask_about
from jobs.core.declare import WorkerServices, every
from payments.inbox import inbox_of
from payments.revenuecat import NAME, RevenueCatProvider

AT_ONCE = 500

log = structlog.get_logger(__name__)


@every("*/15 * * * *")
async def ask_revenuecat(services: WorkerServices) -> None:
    """Ask RevenueCat about subscriptions that should have been renewed or ended by now."""
    inbox = services.of(inbox_of)
    provider = inbox.providers.get(NAME)
    if not isinstance(provider, RevenueCatProvider) or not provider.can_be_asked:
        return
    for user_id in await users_to_ask_about(services.database, NAME, AT_ONCE):
        try:
            events = await provider.ask_about(user_id)
        except DomainError as error:
            # The next run asks again; others would wait for it in vain.
            log.warning("subscribers.not_asked", user_id=str(user_id), code=error.code)
            return
        await inbox.apply(provider, "inquiry", events)
        services.wake()
