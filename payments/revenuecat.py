"""RevenueCat: purchases that begin in app stores, told of by its webhook or read from its API."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from uuid import UUID

import orjson
import structlog

from payments.base import (
    Checkout,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    NewCheckout,
    PaidOrder,
    provider_failed,
    provider_refused,
)
from payments.calls import get_json
from payments.events import Notice, ProviderEvent
from payments.revenuecat_events import events_of
from payments.revenuecat_subscribers import subscriber_events
from settings import Settings
from settings_checks import problem_of_secret

NAME = "revenuecat"
AUTHORIZATION = "authorization"
log = structlog.get_logger("tallygraph.payments")


def make_revenuecat(settings: Settings) -> RevenueCatProvider | None:
    """RevenueCat, where the value is set that its deliveries come with."""
    accepted = _accepted(settings)
    if not accepted:
        if settings.revenuecat_api_key.get_secret_value():
            missing = ["REVENUECAT_WEBHOOK_AUTHORIZATION"]
            log.error("payments.provider_off", provider=NAME, missing=missing)
        return None
    if settings.production and (
        problem := next(filter(None, map(problem_of_secret, accepted)), "")
    ):
        reason = f"REVENUECAT_WEBHOOK_AUTHORIZATION {problem}"
        log.error("payments.provider_off", provider=NAME, reason=reason)
        return None
    return RevenueCatProvider(settings)


def _accepted(settings: Settings) -> list[str]:
    """The values that a delivery may come with: two while it is being changed."""
    given = settings.revenuecat_webhook_authorization.get_secret_value().split(",")
    return [one.strip() for one in given if one.strip()]


class RevenueCatProvider:
    """Consumables and subscriptions of the App Store, Google Play and others."""

    name = NAME
    verifies_at_once = True
    sells_itself = True

    def __init__(self, settings: Settings) -> None:
        self._api = settings.revenuecat_api_url.rstrip("/")
        self._key = settings.revenuecat_api_key.get_secret_value()
        self._is_production = settings.production
        self._accepted = [one.encode() for one in _accepted(settings)]

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a key to ask its API with."""
        return bool(self._key)

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:  # noqa: ARG002
        """Never: the app itself opens its store."""
        raise provider_refused(NAME, "a checkout; the app buys in its store")

    async def verify(self, delivery: Delivery) -> None:
        """Compares the fixed value that each delivery comes with, in constant time."""
        given = delivery.headers.get(AUTHORIZATION, "").encode()
        # All of them, so that the time does not tell which.
        if sum(hmac.compare_digest(given, one) for one in self._accepted) == 0:
            raise DeliveryRefused(DeliveryRefusal.FORGED, "the Authorization is not the one set")

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one event."""
        try:
            said = orjson.loads(delivery.body)["event"]
            kind, event_id = str(said["type"]), str(said["id"])
            occurred_at = datetime.fromtimestamp(said["event_timestamp_ms"] / 1000, UTC)
            events = events_of(kind, said)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            detail = f"it is not as RevenueCat documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None
        is_test = said.get("environment") == "SANDBOX"
        return Notice(event_id, kind, events, is_test=is_test, occurred_at=occurred_at)

    async def ask_about(self, user_id: UUID) -> tuple[ProviderEvent, ...]:
        """What a user has bought and may use, as its API says now; PROVIDER_FAILED without it."""
        if not self._key:
            raise provider_failed(NAME, "REVENUECAT_API_KEY is not set")
        answer = await get_json(
            NAME,
            f"{self._api}/v1/subscribers/{user_id}",
            {"authorization": f"Bearer {self._key}"},
        )
        if not answer.is_success:
            raise provider_failed(NAME, f"a subscriber: status {answer.status}")
        try:
            return subscriber_events(user_id, answer.body, takes_sandbox=not self._is_production)
        except (KeyError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"a subscriber: {type(error).__name__}") from None

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        """Never: the stores alone give money back."""
        del order, amount_cents, key
        raise provider_refused(NAME, "a refund, which the stores give")

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:
        """Nothing: no order waits for it, since it tells of what is paid already."""
        del order
        return ()
