"""The page to which Stripe sends a buyer whose app named none: it says how what was paid stands.

The browser brings the id of its session, which nobody else knows. That an order or a subscription
is paid, the webhook says.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.billing.operations import find_order_by_reference
from db.core.pool import Database
from db.subscriptions.operations import status_of_checkout
from payments.inbox import WebhookInbox
from payments.stripe_client import NAME, RETURN_PATH
from server.payment_words import BEGINNING, BEGUN, CONFIRMING, PAID, UNKNOWN, Words, say
from server.services import Services

SESSION_ID_MAX_CHARACTERS = 255


def routes(services: Services, inbox: WebhookInbox) -> list[Route]:
    """The page's route; none where Stripe is off."""
    if NAME not in inbox.providers:
        return []
    pages = StripeReturn(services.database, services.settings.product_name)
    return [Route(RETURN_PATH, pages.show, methods=["GET"])]


class StripeReturn:
    """The page of one process."""

    def __init__(self, database: Database, shop: str) -> None:
        self._database = database
        self._shop = shop

    async def show(self, request: Request) -> Response:
        """How the order stands, or the subscription."""
        session_id = request.query_params.get("session_id", "")
        if not 0 < len(session_id) <= SESSION_ID_MAX_CHARACTERS or "\x00" in session_id:
            return say(self._shop, UNKNOWN, None)
        order = await find_order_by_reference(self._database, NAME, session_id)
        if order is None:
            return say(self._shop, await self._words_of_subscription(session_id), None)
        words = PAID if order.paid_at is not None else CONFIRMING
        return say(self._shop, words, order.success_url)

    async def _words_of_subscription(self, session_id: str) -> Words:
        status = await status_of_checkout(self._database, NAME, session_id)
        if status in {"PENDING", "INCOMPLETE"}:
            return BEGINNING
        return BEGUN if status in {"ACTIVE", "TRIALING"} else UNKNOWN
