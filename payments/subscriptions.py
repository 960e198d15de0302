"""Subscribing: a provider makes a page for it, changes what was subscribed to, and ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from db.billing.operations import check_portal, find_payment_customer, note_payment_customer
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode, not_found
from db.core.pool import Database
from db.subscriptions import operations
from db.subscriptions.operations import ChangingSubscription, OpenSubscription
from payments.base import (
    BillsSubscriptions,
    ChangePreview,
    KeepsCustomers,
    NewSubscription,
    PaymentProvider,
    SubscriptionChange,
    SubscriptionSeller,
)
from payments.events import ProviderEvent
from payments.inbox import WebhookInbox, inbox_of
from payments.registry import PaymentServices, provider_not_configured

STRIPE = "stripe"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription, and the page on which it is paid while it is not."""

    subscription_id: UUID
    checkout_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSubscription:
    """What an organization, or whoever asks, wants to subscribe to."""

    organization_id: UUID | None
    plan_id: str
    interval: str
    seats: int
    success_url: str | None
    cancel_url: str | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What a subscription is to be; nothing of it is as it was."""

    plan_id: str | None = None
    interval: str | None = None
    seats: int | None = None
    moment: datetime | None = None


def subscriptions_of(services: PaymentServices) -> Subscriptions:
    """The subscriptions of a process."""
    settings = services.settings
    return Subscriptions(
        services.database,
        inbox_of(services),
        origins=(settings.base_url, *settings.redirect_origins),
        takes_any_return=not settings.production,
    )


class Subscriptions:
    """What a process subscribes with; no transaction is open while a provider is asked.

    What the provider answers is applied as if it had been delivered, so that its events, which come
    beside it, change nothing more.
    """

    def __init__(
        self,
        database: Database,
        inbox: WebhookInbox,
        *,
        origins: Sequence[str],
        takes_any_return: bool,
    ) -> None:
        self._database = database
        self.inbox = inbox
        self._origins = origins
        self._takes_any_return = takes_any_return

    @property
    def _providers(self) -> Mapping[str, PaymentProvider]:
        return self.inbox.providers

    async def create(self, actor: Actor, wanted: WantedSubscription) -> Subscribed:
        """Opens a subscription and has a page made for it; the same key gives the same again.

        Where the provider fails, the subscription stays PENDING, and the same key asks it again.
        """
        self._check(wanted)
        seller = self._seller(STRIPE)
        organization_id = wanted.organization_id
        price_id = await self._price(seller, organization_id, wanted.plan_id, wanted.interval)
        opened = await operations.open_subscription(
            self._database,
            actor,
            organization_id=organization_id,
            plan_id=wanted.plan_id,
            interval=wanted.interval,
            seats=wanted.seats,
            provider=STRIPE,
            pages=(wanted.success_url, wanted.cancel_url),
            idempotency_key=wanted.idempotency_key,
        )
        if opened.status != "PENDING" or opened.checkout_url is not None:
            return Subscribed(opened.subscription_id, opened.checkout_url)
        await self._close_earlier(seller, opened)
        assert actor.user_id is not None
        customer = await self._customer(seller, actor.user_id, organization_id, opened)
        page = _page_of(wanted, opened.subscription_id, actor.user_id, customer, price_id)
        made = await seller.open_checkout(page)
        url = await operations.note_checkout(
            self._database, opened.subscription_id, made.references[0], made.url, made.expires_at
        )
        return Subscribed(opened.subscription_id, url)

    def _check(self, wanted: WantedSubscription) -> None:
        operations.check_subscription(
            seats=wanted.seats,
            success_url=wanted.success_url,
            cancel_url=wanted.cancel_url,
            idempotency_key=wanted.idempotency_key,
            origins=self._origins,
            takes_any=self._takes_any_return,
        )

    async def _close_earlier(self, seller: SubscriptionSeller, opened: OpenSubscription) -> None:
        """Has a page that was left take no payment; one that took it is not begun anew."""
        earlier = opened.earlier_checkout
        if earlier and not await seller.close_checkout(earlier):
            await self._learn(await seller.ask_checkout(earlier, opened.asked_at))
            raise _is_being_paid()

    async def portal(
        self, actor: Actor, organization_id: UUID, *, provider: str, return_url: str | None
    ) -> str:
        """The address of the page where an organization's bills are seen, for who manages it."""
        check_portal(return_url, origins=self._origins, takes_any=self._takes_any_return)
        shop: object = self._providers.get(provider)
        if not isinstance(shop, KeepsCustomers):
            raise provider_not_configured("input", "provider")
        customer = await operations.find_customer(self._database, actor, organization_id, provider)
        if customer is None:
            raise DomainError(
                ErrorCode.INVALID_STATE,
                "The organization was never billed by this provider. Begin with "
                "`createSubscription`.",
                ("input", "provider"),
            )
        return await shop.create_portal(customer, return_url)

    async def preview(
        self, actor: Actor, organization_id: UUID | None, wanted: WantedChange
    ) -> ChangePreview:
        """What a change would cost now; nothing is changed."""
        operations.check_seats(wanted.seats)
        known = await operations.subscription_to_change(
            self._database, actor, organization_id, None
        )
        seller = self._seller(known.provider)
        return await seller.preview(await self._change(seller, organization_id, known, wanted))

    async def change(
        self,
        actor: Actor,
        organization_id: UUID | None,
        wanted: WantedChange,
        idempotency_key: str,
    ) -> UUID:
        """Changes plan, interval or seats; what that costs is paid at once, or nothing changes."""
        operations.check_subscription(
            seats=wanted.seats,
            success_url=None,
            cancel_url=None,
            idempotency_key=idempotency_key,
            origins=self._origins,
            takes_any=self._takes_any_return,
        )
        known = await operations.subscription_to_change(
            self._database, actor, organization_id, "change_subscription"
        )
        seller = self._seller(known.provider)
        change = await self._change(seller, organization_id, known, wanted)
        key = sha256(f"{actor.user_id}:{idempotency_key}".encode()).hexdigest()
        await self._learn(await seller.change(change, key, known.asked_at))
        return known.subscription_id

    async def cancel(
        self, actor: Actor, organization_id: UUID | None, *, immediately: bool
    ) -> UUID:
        """Has a subscription end with its period, or now; a page that nobody paid on is closed."""
        known = await operations.subscription_to_change(
            self._database, actor, organization_id, "cancel_subscription"
        )
        seller = self._seller(known.provider)
        if known.provider_subscription_id is not None:
            events = await seller.cancel(
                known.provider_subscription_id, known.asked_at, immediately=immediately
            )
            await self._learn(events)
        elif known.checkout_id is not None:
            await seller.close_checkout(known.checkout_id)
            await self._learn(await seller.ask_checkout(known.checkout_id, known.asked_at))
        return known.subscription_id

    async def resume(self, actor: Actor, organization_id: UUID | None) -> UUID:
        """Has a subscription go on that was to end with its period."""
        known = await operations.subscription_to_change(
            self._database, actor, organization_id, "resume_subscription"
        )
        if known.provider_subscription_id is None or not known.cancel_at_period_end:
            raise DomainError(
                ErrorCode.INVALID_STATE, "This subscription does not end with its period."
            )
        seller = self._seller(known.provider)
        await self._learn(await seller.resume(known.provider_subscription_id, known.asked_at))
        return known.subscription_id

    async def _learn(self, events: tuple[ProviderEvent, ...]) -> None:
        if events:
            await self.inbox.apply(self._providers[STRIPE], "subscription", events)

    def _seller(self, name: str) -> SubscriptionSeller:
        provider: object = self._providers.get(name)
        if not isinstance(provider, BillsSubscriptions):
            raise provider_not_configured()
        return provider.subscriptions

    async def _price(
        self, seller: SubscriptionSeller, organization_id: UUID | None, plan_id: str, interval: str
    ) -> str:
        found = (
            await operations.find_price(self._database, plan_id, STRIPE, interval)
            if organization_id is None
            else seller.organization_price(plan_id, interval)
        )
        if found is None:
            raise not_found("plan that is sold for this interval", ("input", "planId"))
        return found

    async def _customer(
        self,
        seller: SubscriptionSeller,
        user_id: UUID,
        organization_id: UUID | None,
        opened: OpenSubscription,
    ) -> str:
        if opened.customer_id is not None:
            return opened.customer_id
        made = await seller.create_customer(
            organization_id=organization_id,
            user_id=user_id,
            name=opened.owner_name,
            email=opened.email,
        )
        if organization_id is not None:
            return await operations.note_customer(self._database, organization_id, STRIPE, made)
        await note_payment_customer(self._database, user_id, STRIPE, made)
        return await find_payment_customer(self._database, user_id, STRIPE) or made

    async def _change(
        self,
        seller: SubscriptionSeller,
        organization_id: UUID | None,
        known: ChangingSubscription,
        wanted: WantedChange,
    ) -> SubscriptionChange:
        if known.provider_subscription_id is None:
            raise DomainError(
                ErrorCode.INVALID_STATE,
                "This subscription is not paid yet. Pay it first, or begin another one.",
            )
        price_id = await self._price(
            seller,
            organization_id,
            wanted.plan_id or known.plan_id,
            wanted.interval or known.billing_interval,
        )
        return SubscriptionChange(
            known.provider_subscription_id, price_id, wanted.seats or known.seats, wanted.moment
        )


def _page_of(
    wanted: WantedSubscription, subscription_id: UUID, buyer: UUID, customer_id: str, price_id: str
) -> NewSubscription:
    return NewSubscription(
        subscription_id=subscription_id,
        key=sha256(f"{buyer}:{wanted.idempotency_key}".encode()).hexdigest(),
        organization_id=wanted.organization_id,
        customer_id=customer_id,
        plan_id=wanted.plan_id,
        price_id=price_id,
        seats=wanted.seats,
        success_url=wanted.success_url,
        cancel_url=wanted.cancel_url,
    )


def _is_being_paid() -> DomainError:
    return DomainError(
        ErrorCode.INVALID_STATE,
        "The subscription that was begun before has just been paid. Change it with "
        "`changeSubscription`.",
    )
