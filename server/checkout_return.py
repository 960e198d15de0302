"""The pages to which Stripe and PayPal send buyers, and sellers, whose app named none.

A buyer is told how the order or the subscription stands. The browser brings the provider's name of
the checkout, which nobody else knows. That it is paid, the webhook says.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.billing.operations import find_order_by_reference
from db.core.pool import Database
from db.subscriptions.operations import status_of_checkout
from payments import paypal, paypal_client, stripe_client
from payments.inbox import WebhookInbox
from payments.onboarding import RETURN_PAGE
from server.payment_words import (
    BEGINNING,
    BEGUN,
    CONFIRMING,
    ONBOARDED,
    PAID,
    UNKNOWN,
    Words,
    say,
)
from server.services import Services

REFERENCE_MAX_CHARACTERS = 255
# Where each provider sends buyers, and by which parameters it calls the checkout.
PAGES = {
    stripe_client.NAME: (stripe_client.RETURN_PATH, ("session_id",)),
    paypal_client.NAME: (paypal.RETURN_PATH, ("subscription_id", "token")),
}


def routes(services: Services, inbox: WebhookInbox) -> list[Route]:
    """The pages' routes; none for a provider that is off."""
    shop = services.settings.product_name

    async def onboarded(request: Request) -> Response:  # noqa: ARG001
        return say(shop, ONBOARDED, None)

    return [
        *(
            Route(RETURN_PAGE.format(provider=name), onboarded, methods=["GET"])
            for name in PAGES
            if name in inbox.providers
        ),
        *(
            Route(path, CheckoutReturn(services.database, shop, name, given).show, methods=["GET"])
            for name, (path, given) in PAGES.items()
            if name in inbox.providers
        ),
    ]


class CheckoutReturn:
    """The page of one process for one provider."""

    def __init__(self, database: Database, shop: str, name: str, given: tuple[str, ...]) -> None:
        self._database = database
        self._shop = shop
        self._name = name
        self._given = given

    async def show(self, request: Request) -> Response:
        """How the order stands, or the subscription."""
        query = request.query_params
        reference = next((query[name] for name in self._given if name in query), "")
        if not 0 < len(reference) <= REFERENCE_MAX_CHARACTERS or "\x00" in reference:
            return say(self._shop, UNKNOWN, None)
        order = await find_order_by_reference(self._database, self._name, reference)
        if order is None:
            return say(self._shop, await self._words_of_subscription(reference), None)
        words = PAID if order.paid_at is not None else CONFIRMING
        return say(self._shop, words, order.success_url)

    async def _words_of_subscription(self, reference: str) -> Words:
        status = await status_of_checkout(self._database, self._name, reference)
        if status in {"PENDING", "INCOMPLETE"}:
            return BEGINNING
        return BEGUN if status in {"ACTIVE", "TRIALING"} else UNKNOWN
