"""The inbox: a delivery is verified and stored while its provider waits, and processed by a job."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog

from db.billing.operations import order_to_capture
from db.core.pool import Database
from db.core.retries import retried
from db.vault.watching import KeysMissing, VaultKeys
from db.webhooks import operations
from db.webhooks.operations import SettledWebhook, StoredWebhook
from db.webhooks.tables import WebhookStatus
from payments.base import (
    SECRET_HEADERS,
    AsksBack,
    CapturesOrders,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    PaidOrder,
    PaymentProvider,
    ScreensDeliveries,
)
from payments.events import (
    Notice,
    OrderApproved,
    PaymentSucceeded,
    PayoutTold,
    ProviderEvent,
    SellerAccountTold,
)
from payments.provider_turns import ProviderHangs, ProviderTurns
from payments.registry import PaymentServices, configured_tellers

log = structlog.get_logger("tallygraph.payments")

KIND_MAX_CHARACTERS = 100
EVENT_ID_MAX_CHARACTERS = 255
HEADERS_MAX_BYTES = 16_384
UNVERIFIED = "unverified:"
# Of what was refused, so many are kept in an hour; the database counts over all processes.
REFUSED_KEPT, REFUSED_SECONDS = 100, 3_600
# So many are processed together: their commits reach the disk together.
AT_ONCE = 8
# As long as what is parked waits, a provider that hangs is waited for.
LONGEST_HANG = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Received:
    """What a provider is answered: taken in, or why it was not believed.

    What `is_too_much` was not taken in: so many wait that their provider is asked about.
    """

    refusal: DeliveryRefusal | None = None
    is_too_much: bool = False


def inbox_of(services: PaymentServices) -> WebhookInbox:
    """The inbox of a process; the providers' settings are checked as it is made."""
    settings = services.settings
    providers = configured_tellers(settings)
    keys = VaultKeys.of(services)
    return WebhookInbox(services.database, providers, is_production=settings.production, keys=keys)


class WebhookInbox:
    """The inbox of one process, for the providers that are configured."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, PaymentProvider],
        *,
        is_production: bool,
        keys: VaultKeys | None = None,
    ) -> None:
        self.providers = providers
        self._database = database
        self._keys = keys
        self._is_production = is_production
        self._refused: dict[str, deque[float]] = {}
        self._turns: dict[str, ProviderTurns] = {}

    async def receive(self, provider: PaymentProvider, delivery: Delivery) -> Received:
        """Stores a delivery; what is stored when this returns will be processed.

        A delivery that is not the provider's is kept for a look as well, under a name that cannot
        be a real one's.
        """
        body = _text(delivery.body)
        if body is None:
            return Received(DeliveryRefusal.UNREADABLE)
        try:
            if provider.verifies_at_once:
                await provider.verify(delivery)
            elif isinstance(provider, ScreensDeliveries):
                provider.screen(delivery)
        except DeliveryRefused as refused:
            if not self._may_keep(provider.name):
                return Received(refused.refusal)
            unknown = Notice(f"{UNVERIFIED}{uuid4()}", "unverified")
            await self._store(provider, delivery, body, unknown, genuine=False, problem=refused)
            return Received(refused.refusal)
        if not provider.verifies_at_once:
            name = UNVERIFIED + hashlib.sha256(delivery.body).hexdigest()
            unsure = Notice(name, "unverified")
            kept = await self._store(provider, delivery, body, unsure, genuine=False)
            return Received(is_too_much=not kept)
        try:
            notice = _read(provider, delivery)
        except DeliveryRefused as refused:
            # It is theirs, and says what we cannot read: another version may.
            digest = hashlib.sha256(delivery.body).hexdigest()
            unread = Notice(f"unread:{digest}", "unread")
            await self._store(provider, delivery, body, unread, genuine=True, problem=refused)
            return Received()
        await self._store(provider, delivery, body, notice, genuine=True)
        return Received()

    def _may_keep(self, provider: str) -> bool:
        """Whether one more that was refused is kept: a flood of them costs no statement each."""
        kept = self._refused.setdefault(provider, deque(maxlen=REFUSED_KEPT))
        now = time.monotonic()
        if len(kept) == REFUSED_KEPT and now - kept[0] < REFUSED_SECONDS:
            return False
        kept.append(now)
        return True

    async def process(self, webhook_id: UUID) -> None:
        """Does what a stored delivery says; nothing when that is done.

        `ProviderHangs` when its provider is not to be asked now; `KeysMissing` where another
        process has to find whom it is about.
        """
        webhook = await operations.find_webhook(self._database, webhook_id)
        if webhook is None or webhook.status != WebhookStatus.RECEIVED:
            return
        try:
            await self._process(webhook, patient=True)
        except (ProviderHangs, KeysMissing) as waits:
            if datetime.now(UTC) - webhook.received_at < LONGEST_HANG:
                raise
            why = "no worker has had the vault's keys for 3 days"
            if isinstance(waits, ProviderHangs):
                why = "its provider has not answered for 3 days"
            await self.set_aside(webhook_id, "FAILED", why)

    async def process_new(self, provider: str | None = None) -> AsyncIterator[int]:
        """Processes what nobody has tried to yet, the oldest first; how many, piece by piece.

        With a `provider` only what that one delivered, so that none waits for another. What fails
        is left to a job, which tries it again.
        """
        last: StoredWebhook | None = None
        while waiting := await operations.next_webhooks(self._database, last, AT_ONCE, provider):
            last = waiting[-1]
            await asyncio.gather(*(self._try(webhook) for webhook in waiting))
            yield len(waiting)

    async def _try(self, webhook: StoredWebhook) -> None:
        try:
            await self._process(webhook, patient=False)
        except ProviderHangs as hangs:
            log.info("webhook.waits", webhook_id=str(webhook.id), seconds=hangs.seconds)
            await operations.retry_webhook(self._database, webhook.id)
        except KeysMissing:
            log.info("webhook.left_to_another", webhook_id=str(webhook.id))
            await operations.retry_webhook(self._database, webhook.id)
        except Exception as error:
            log.warning("webhook.failed", webhook_id=str(webhook.id), exc_info=error)
            await operations.retry_webhook(self._database, webhook.id)

    async def _process(self, webhook: StoredWebhook, *, patient: bool) -> None:
        webhook_id = webhook.id
        provider = self.providers.get(webhook.provider)
        if provider is None:
            await self.set_aside(webhook_id, "PROVIDER_OFF", "its provider is not configured")
            return
        if webhook.is_answer:
            await self._settle(webhook_id, provider, orjson.loads(webhook.body), patient=patient)
            return
        delivery = Delivery(
            webhook.headers, webhook.body.encode(), webhook.received_at, webhook.query
        )
        try:
            if not webhook.verified:
                async with self._turn(provider, waits=not patient):
                    await provider.verify(delivery)
            notice = _read(provider, delivery)
        except DeliveryRefused as refused:
            await self.set_aside(webhook_id, refused.refusal.value, refused.detail)
            return
        if not webhook.verified and not await self._vouch(webhook, notice):
            return
        notice = await self._completed(provider, delivery, notice, waits=not patient)
        if notice.is_test and self._is_production:
            await self.set_aside(webhook_id, "TEST_MODE", "it is of the provider's test mode")
            return
        await self.settle(webhook_id, provider, notice.events, patient=patient)

    def _turn(self, provider: PaymentProvider, *, waits: bool) -> AbstractAsyncContextManager[None]:
        """A turn at asking a provider; a lane waits for it, a job not for long, as others wait."""
        turns = self._turns.setdefault(provider.name, ProviderTurns(provider.name))
        return turns.turn(waits=waits)

    async def _completed(
        self, provider: PaymentProvider, delivery: Delivery, notice: Notice, *, waits: bool
    ) -> Notice:
        """A notice with all that its provider has to be asked for."""
        if isinstance(provider, AsksBack) and provider.needs_asking(notice):
            async with self._turn(provider, waits=waits):
                notice = await provider.complete(delivery, notice)
        if isinstance(provider, CapturesOrders):
            told: list[ProviderEvent] = []
            for event in notice.events:
                if isinstance(event, OrderApproved):
                    told += await self._captured(provider, event, waits=waits)
                else:
                    told.append(event)
            notice = replace(notice, events=tuple(told))
        return notice

    async def _captured(
        self, provider: PaymentProvider, approved: OrderApproved, *, waits: bool
    ) -> tuple[ProviderEvent, ...]:
        """What comes of an approved order: the money of one of ours alone is taken."""
        assert isinstance(provider, CapturesOrders)
        (reference,) = approved.references
        order = await order_to_capture(self._database, provider.name, reference)
        if order is None:
            log.warning("payments.unknown_order", provider=provider.name)
            return ()
        wanted = PaidOrder(
            order_id=order.id,
            payment_id=None,
            amount_cents=order.amount_cents,
            currency=order.currency,
            references=(reference,),
            is_split=order.is_split,
            can_be_paid=order.can_be_paid,
            account_index=order.account_index,
        )
        async with self._turn(provider, waits=waits):
            return await provider.capture(wanted, reference)

    async def settle(
        self,
        webhook_id: UUID,
        provider: PaymentProvider,
        events: Sequence[ProviderEvent],
        *,
        patient: bool = True,
    ) -> SettledWebhook:
        """Does what the events of a stored delivery say, all of it or nothing."""
        await self._refuse_unfindable(events)
        told = [as_json(_allowed(provider, event)) for event in events]
        return await self._settle(webhook_id, provider, told, patient=patient)

    async def _settle(
        self,
        webhook_id: UUID,
        provider: PaymentProvider,
        told: Sequence[Mapping[str, object]],
        *,
        patient: bool,
    ) -> SettledWebhook:
        settled = await retried(
            lambda: operations.settle_webhook(self._database, webhook_id, told, patient=patient)
        )
        if settled.is_changed:
            _report(webhook_id, provider.name, settled)
        return settled

    async def apply(
        self, provider: PaymentProvider, kind: str, events: Sequence[ProviderEvent]
    ) -> SettledWebhook:
        """Does what a provider said when it was asked, and keeps it as if it had been delivered.

        What names a seller is left out of what is kept: it is sealed, and no rotation comes by.
        """
        await self._refuse_unfindable(events)
        told = [as_json(_allowed(provider, event)) for event in events]
        webhook_id, settled = await retried(
            lambda: operations.apply_answer(
                self._database,
                provider=provider.name,
                event_id=f"{kind}:{uuid4()}",
                kind=kind,
                events=told,
            )
        )
        if settled.is_changed:
            _report(webhook_id, provider.name, settled)
        return settled

    async def refuse_missing_keys(self) -> None:
        """`KeysMissing` where this process may not know a seller whom it is asked about."""
        if self._keys is not None:
            await self._keys.refuse_missing()

    async def _refuse_unfindable(self, events: Sequence[ProviderEvent]) -> None:
        if any(isinstance(one, SellerAccountTold | PayoutTold) for one in events):
            await self.refuse_missing_keys()

    async def set_aside(self, webhook_id: UUID, reason: str, detail: str) -> None:
        """Leaves a delivery to a person."""
        if await operations.quarantine_webhook(self._database, webhook_id, reason, detail):
            log.error("webhook.quarantined", webhook_id=str(webhook_id), reason=reason)

    async def _vouch(self, webhook: StoredWebhook, notice: Notice) -> bool:
        return await operations.vouch_for_webhook(
            self._database, webhook.id, notice.event_id, notice.kind
        )

    async def _store(
        self,
        provider: PaymentProvider,
        delivery: Delivery,
        body: str,
        notice: Notice,
        *,
        genuine: bool,
        problem: DeliveryRefused | None = None,
    ) -> bool:
        webhook_id, is_new = await operations.receive_webhook(
            self._database,
            provider=provider.name,
            event_id=notice.event_id,
            kind=notice.kind,
            genuine=genuine,
            headers=kept_headers(delivery.headers),
            query=delivery.query,
            body=body,
            problem=problem.refusal.value if problem else None,
            detail=problem.detail if problem else None,
        )
        if problem is not None:
            told = str(webhook_id) if webhook_id else None
            log.error(
                "webhook.quarantined",
                provider=provider.name,
                webhook_id=told,
                reason=problem.refusal.value,
                detail=problem.detail,
            )
        elif is_new:
            log.info("webhook.received", provider=provider.name, kind=notice.kind)
        return webhook_id is not None


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a delivery that are kept: none that is a secret of ours."""
    kept, size = dict[str, str](), 0
    for name, value in headers.items():
        size += len(name) + len(value)
        if name not in SECRET_HEADERS and size <= HEADERS_MAX_BYTES // 2:
            kept[name] = value.replace("\x00", "")
    return kept


def as_json(event: ProviderEvent) -> dict[str, Any]:
    """An event as `app.settle_webhook()` reads it."""
    told: dict[str, Any] = {"type": type(event).__name__}
    for one in fields(event):
        told[one.name] = _plain(getattr(event, one.name))
    return told


def _read(provider: PaymentProvider, delivery: Delivery) -> Notice:
    """What a delivery says, as it can be stored.

    Reading is pure, so whatever it raises is about the delivery.
    """
    try:
        notice = provider.parse(delivery)
    except DeliveryRefused:
        raise
    except Exception as error:
        log.exception("webhook.unreadable", provider=provider.name)
        detail = f"reading it raised {type(error).__name__}"
        raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from error
    kind = _plain(notice.kind)[:KIND_MAX_CHARACTERS]
    return replace(notice, event_id=_cut(_plain(notice.event_id)), kind=kind)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")  # which Postgres cannot hold
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def _allowed(provider: PaymentProvider, event: ProviderEvent) -> ProviderEvent:
    """An event without what its provider may not tell of."""
    if isinstance(event, PaymentSucceeded) and event.purchase and not provider.sells_itself:
        return replace(event, purchase=None)
    return event


def _text(body: bytes) -> str | None:
    """A body as it can be stored: text without NUL, which every provider sends."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _cut(event_id: str) -> str:
    """An id that fits into an index; a longer one by its digest, so that two stay two."""
    if len(event_id) <= EVENT_ID_MAX_CHARACTERS:
        return event_id
    return hashlib.sha256(event_id.encode()).hexdigest()


def _report(webhook_id: UUID, provider: str, settled: SettledWebhook) -> None:
    told = {
        "webhook_id": str(webhook_id),
        "provider": provider,
        "order_id": str(settled.order_id) if settled.order_id else None,
    }
    if settled.status == WebhookStatus.QUARANTINED:
        log.error("webhook.quarantined", reason=settled.reason, detail=settled.detail, **told)
    else:
        log.info("webhook.settled", status=settled.status, **told)
