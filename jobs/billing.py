"""Jobs of billing: what providers delivered is processed, and orders that nobody pays end."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from db.billing import operations
from db.core.errors import DomainError
from db.core.pool import Database
from db.vault.watching import KeysMissing
from db.webhooks import operations as inbox_operations
from jobs.core.declare import RetryLater, WorkerServices, every, job, listener, on_connect
from payments.base import PaidOrder
from payments.events import PaymentFailed
from payments.inbox import inbox_of
from payments.provider_turns import ProviderHangs

# About a quarter of an hour; what is still unprocessed then is a fault of ours.
PROCESSING_ATTEMPTS = 20
ORDERS_AT_ONCE = 1_000
# Another worker has taken it by then, or this one was started again with the key.
KEYS_SECONDS = 2.0

log = structlog.get_logger(__name__)


async def give_up_webhook(services: WorkerServices, *, webhook_id: UUID, error: Exception) -> None:
    """No attempt could process it: a person has to look."""
    await services.of(inbox_of).set_aside(webhook_id, "FAILED", type(error).__name__)


class NewWebhooks:
    """Processes what has just been delivered, each provider's in one go of its own.

    However often a worker is told of a provider, it is asked once at a time; and one that hangs
    holds up none but itself.
    """

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._busy: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def process(self, services: WorkerServices, provider: str) -> None:
        """Processes all that is there of a provider's, and what comes meanwhile."""
        self._asked.add(provider)
        if provider in self._busy:
            return
        self._busy.add(provider)
        try:
            while provider in self._asked:
                self._asked.discard(provider)
                async for _ in services.of(inbox_of).process_new(provider):
                    services.wake()
        finally:
            self._busy.discard(provider)

    def begin(self, services: WorkerServices) -> None:
        """Has all that is there processed; the worker takes jobs meanwhile."""
        for provider in services.of(inbox_of).providers:
            running = asyncio.create_task(self.process(services, provider))
            self._running.add(running)
            running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # What is not processed here is queued by `sweep_webhooks`.
            log.warning("webhooks.not_processed", exc_info=error)


@on_connect
async def begin_new_webhooks(services: WorkerServices) -> None:
    """Begin with what was delivered while no worker heard of it."""
    services.state(NewWebhooks).begin(services)


@listener("webhook_received")
async def process_new_webhooks(services: WorkerServices, payload: str) -> None:
    """Process what a provider delivered; what is missed here is queued within two minutes."""
    new = services.state(NewWebhooks)
    if payload in services.of(inbox_of).providers:
        await new.process(services, payload)
    else:
        new.begin(services)


@job("process_webhook", attempts=PROCESSING_ATTEMPTS, when_dead=give_up_webhook)
async def process_webhook(services: WorkerServices, *, webhook_id: UUID) -> None:
    """Do what a provider told, once, after it could not be done at once.

    While its provider hangs the job waits outside of the worker, and that is no attempt; nor is it
    one where this worker lacks a key of the vault, so that another takes it.
    """
    try:
        await services.of(inbox_of).process(webhook_id)
    except ProviderHangs as hangs:
        raise RetryLater(hangs.seconds, "its provider does not answer") from None
    except KeysMissing:
        raise RetryLater(KEYS_SECONDS, "a worker with all keys of the vault has to do it") from None
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


@every("*/5 * * * *")
async def ask_providers(services: WorkerServices) -> None:
    """Ask providers about orders that nobody has told of: a webhook may have been lost."""
    inbox = services.of(inbox_of)
    answering, found = dict(inbox.providers), 0
    for order in await operations.orders_to_ask(services.database):
        provider = answering.get(order.provider)
        if provider is None:
            continue
        asked = PaidOrder(
            order_id=order.id,
            payment_id=None,
            amount_cents=order.amount_cents,
            currency=order.currency,
            references=tuple(order.names),
            refunded_cents=order.refunded_cents,
            created_at=order.created_at,
            is_split=order.is_split,
            can_be_paid=order.can_be_paid,
            account_index=order.account_index,
        )
        try:
            events = await provider.fetch(asked)
        except DomainError as error:
            # The next run asks on; others of the same provider would wait for it in vain.
            log.warning("order.not_asked", order_id=str(order.id), code=error.code)
            del answering[order.provider]
            continue
        # That an attempt failed changes nothing, and is told by each inquiry anew.
        if told := [event for event in events if not isinstance(event, PaymentFailed)]:
            await inbox.apply(provider, "inquiry", told)
            found += 1
    if found:
        log.info("payments found by asking", orders=found)
        services.wake()


@every("* * * * *")
async def sweep_webhooks(database: Database) -> None:
    """Queue webhooks that no worker was told of; set aside what has waited for too long."""
    for webhook_id in await inbox_operations.sweep_webhooks(database):
        log.error("webhook.quarantined", webhook_id=str(webhook_id), reason="UNKNOWN_PAYMENT")
