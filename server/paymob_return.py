"""The page to which Paymob sends the buyer's browser back: it says how things stand, no more.

What the browser brings is signed, and the buyer sees it: it chooses the words and no more. That an
order is paid, the callback says.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.billing.operations import PageOrder, find_order_by_reference
from db.core.pool import Database
from payments.inbox import WebhookInbox
from payments.paymob import NAME, RETURN_PATH, PaymobProvider
from payments.paymob_transactions import (
    PaymobTransaction,
    UnreadableTransaction,
    from_query,
    read_transaction,
    signed_values,
)
from server.payment_words import CONFIRMING, PAID, UNKNOWN, Words, say
from server.services import Services


def routes(services: Services, inbox: WebhookInbox) -> list[Route]:
    """The page's route; none where Paymob is off."""
    provider = inbox.providers.get(NAME)
    if not isinstance(provider, PaymobProvider):
        return []
    pages = PaymobReturn(services.database, services.settings.product_name, provider)
    return [Route(RETURN_PATH, pages.show, methods=["GET"])]


DECLINED = Words(
    "The payment was declined", "Nothing was charged. You can try again.", "bad", is_good=False
)


class PaymobReturn:
    """The page of one process."""

    def __init__(self, database: Database, shop: str, provider: PaymobProvider) -> None:
        self._database = database
        self._shop = shop
        self._provider = provider

    async def show(self, request: Request) -> Response:
        """How the payment stands, as far as it is known."""
        transaction = self._signed(request)
        order = None
        if transaction is not None:
            order = await find_order_by_reference(self._database, NAME, str(transaction.order_id))
        words = _words(transaction, order)
        back = None
        if order is not None:
            back = order.success_url if words.is_good else order.cancel_url
        return say(self._shop, words, back)

    def _signed(self, request: Request) -> PaymobTransaction | None:
        """The transaction that the browser brings, if it is Paymob's."""
        query = dict(request.query_params)
        try:
            said = from_query(query)
            if self._provider.is_signature(query.get("hmac", ""), signed_values(said)):
                return read_transaction(said)
        except UnreadableTransaction:
            pass
        return None


def _words(transaction: PaymobTransaction | None, order: PageOrder | None) -> Words:
    if transaction is None or order is None:
        return UNKNOWN
    if order.paid_at is not None:
        return PAID
    return CONFIRMING if transaction.success or transaction.pending else DECLINED
