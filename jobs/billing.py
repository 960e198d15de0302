"""Jobs of billing: what providers delivered is processed, and orders that nobody pays end."""

from __future__ import annotations

from uuid import UUID

import structlog

from db.billing import operations
from db.core.pool import Database
from jobs.core.declare import WorkerServices, every, job
from payments.inbox import WebhookInbox
from payments.registry import configured_providers

# About a quarter of an hour; what is still unprocessed then is a fault of ours.
PROCESSING_ATTEMPTS = 20
ORDERS_AT_ONCE = 1_000

log = structlog.get_logger(__name__)


def inbox_of(services: WorkerServices) -> WebhookInbox:
    """This worker's inbox."""
    settings = services.settings
    return WebhookInbox(
        services.database, configured_providers(settings), is_production=settings.production
    )


async def give_up_webhook(services: WorkerServices, *, webhook_id: UUID, error: Exception) -> None:
    """No attempt could process it: a person has to look."""
    await services.of(inbox_of).set_aside(webhook_id, "FAILED", type(error).__name__)


@job("process_webhook", attempts=PROCESSING_ATTEMPTS, when_dead=give_up_webhook)
async def process_webhook(services: WorkerServices, *, webhook_id: UUID) -> None:
    """Do what a provider told, once."""
    await services.of(inbox_of).process(webhook_id)
    services.wake()


@every("* * * * *")
async def expire_orders(services: WorkerServices) -> None:
    """End orders whose time is over."""
    expired = 0
    while ended := await operations.expire_orders(services.database, ORDERS_AT_ONCE):
        expired += ended
    if expired:
        log.info("orders expired", orders=expired)
        services.wake()


@every("*/2 * * * *")
async def sweep_webhooks(database: Database) -> None:
    """Queue webhooks whose job was lost; set aside what waits for a payment that never came."""
    for webhook_id in await operations.sweep_webhooks(database):
        log.error("webhook.quarantined", webhook_id=str(webhook_id), reason="UNKNOWN_PAYMENT")
