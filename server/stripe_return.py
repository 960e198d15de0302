"""The page to which Stripe sends a buyer whose app named none: it says how the order stands.

The browser brings the id of its session, which nobody else knows. That an order is paid, the
webhook says.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.billing.operations import find_order_by_reference
from db.core.pool import Database
from payments.inbox import WebhookInbox
from payments.stripe_client import NAME, RETURN_PATH
from server.payment_words import CONFIRMING, PAID, UNKNOWN, say
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
        """How the order stands."""
        session_id = request.query_params.get("session_id", "")
        order = None
        if 0 < len(session_id) <= SESSION_ID_MAX_CHARACTERS and "\x00" not in session_id:
            order = await find_order_by_reference(self._database, NAME, session_id)
        if order is None:
            return say(self._shop, UNKNOWN, None)
        words = PAID if order.paid_at is not None else CONFIRMING
        return say(self._shop, words, order.success_url)
