"""Paymob: a checkout is an intention, its result a signed callback or the answer to an inquiry."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

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
from payments.calls import PaymentAnswer, post_json
from payments.events import Notice, ProviderEvent, Refunded
from payments.paymob_transactions import (
    PaymobTransaction,
    UnreadableTransaction,
    read_transaction,
    signature,
    signed_values,
)
from settings import Settings

NAME = "paymob"
RETURN_PATH = "/payments/paymob/return"
CHECKOUT_LIFE = timedelta(hours=1)
ITEM_NAME_MAX_CHARACTERS = 50
# What Paymob demands of a buyer and we do not know; it takes this word for that.
UNKNOWN = "NA"
log = structlog.get_logger("tallygraph.payments")

# As the paths stand in its documents, with and without a slash at the end.
INTENTION, TOKENS = "/v1/intention/", "/api/auth/tokens"
INQUIRY = "/api/ecommerce/orders/transaction_inquiry"
REFUND, VOID = "/api/acceptance/void_refund/refund", "/api/acceptance/void_refund/void"


def make_paymob(settings: Settings) -> PaymobProvider | None:
    """Paymob, where its secrets are set; half of them leave it off, and the log says why."""
    needed = {
        "PAYMOB_SECRET_KEY": settings.paymob_secret_key.get_secret_value(),
        "PAYMOB_HMAC_SECRET": settings.paymob_hmac_secret.get_secret_value(),
        "PAYMOB_INTEGRATION_ID": settings.paymob_integration_id,
    }
    # Without it the checkout page of the real Paymob does not open.
    if settings.production:
        needed["PAYMOB_PUBLIC_KEY"] = settings.paymob_public_key
    missing = [name for name, value in needed.items() if not value]
    if missing and len(missing) < len(needed):
        log.error("payments.provider_off", provider=NAME, missing=missing)
    return None if missing else PaymobProvider(settings)


class PaymobProvider:
    """Paymob's Intention API with its unified checkout, and its callbacks."""

    name = NAME
    verifies_at_once = True
    sells_itself = False

    def __init__(self, settings: Settings) -> None:
        self._api = settings.paymob_api_url.rstrip("/")
        self._secret_key = settings.paymob_secret_key.get_secret_value()
        self._api_key = settings.paymob_api_key.get_secret_value()
        self._public_key = settings.paymob_public_key
        self._hmac_secret = settings.paymob_hmac_secret.get_secret_value()
        self._integrations = frozenset(settings.paymob_integration_id)
        self._base_url = settings.base_url

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """Makes an intention; its order's number is what callbacks will name."""
        expires_at = datetime.now(UTC) + CHECKOUT_LIFE
        answer = await self._post(INTENTION, self._intention(checkout))
        if not answer.is_success:
            raise provider_refused(NAME, f"an intention, status {answer.status}")
        said = answer.body if isinstance(answer.body, dict) else {}
        order, secret = said.get("intention_order_id"), said.get("client_secret")
        if not isinstance(order, int) or not isinstance(secret, str) or not secret:
            raise provider_failed(NAME, "an intention without an order or a secret")
        page = urlencode({"publicKey": self._public_key, "clientSecret": secret})
        return Checkout(f"{self._api}/unifiedcheckout/?{page}", expires_at, (str(order),))

    async def verify(self, delivery: Delivery) -> None:
        """Checks the HMAC. Paymob signs no time, so that a delivery never grows stale."""
        given = parse_qs(delivery.query).get("hmac", [])
        try:
            values = signed_values(_transaction_in(delivery.body))
        except UnreadableTransaction as error:
            raise DeliveryRefused(DeliveryRefusal.FORGED, str(error)) from None
        if len(given) != 1 or not self.is_signature(given[0], values):
            raise DeliveryRefused(DeliveryRefusal.FORGED, "its HMAC is not Paymob's")

    def is_signature(self, given: str, values: Mapping[str, str]) -> bool:
        """Whether an HMAC is the one of these values."""
        expected = signature(values, self._hmac_secret)
        return hmac.compare_digest(expected.encode(), given.encode())

    def parse(self, delivery: Delivery) -> Notice:
        """Reads the signed values of one transaction, and nothing else."""
        try:
            transaction = read_transaction(_transaction_in(delivery.body))
        except UnreadableTransaction as error:
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, str(error)) from None
        if transaction.integration_id not in self._integrations:
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, "it is of another integration")
        return Notice(transaction.event_id, "TRANSACTION", transaction.events())

    async def refund(
        self,
        order: PaidOrder,
        amount_cents: int,
        key: str,  # noqa: ARG002
    ) -> tuple[ProviderEvent, ...]:
        """Voids a whole payment that is not settled yet, and refunds what cannot be voided.

        Paymob knows no idempotency keys, so it is asked first what went back already. Without an
        API key it cannot be asked; then it gives back what is left or nothing, since it refuses
        itself to give the same back twice.
        """
        assert order.payment_id is not None
        left_cents = order.amount_cents - order.refunded_cents
        if not self._api_key and amount_cents < left_cents:
            raise provider_refused(NAME, "a part, without PAYMOB_API_KEY")
        done = sum(
            event.amount_cents
            for event in await self.fetch(order)
            if isinstance(event, Refunded) and event.refund_id is None
        )
        if done >= order.refunded_cents + amount_cents:
            return (_refunded(order, done, None),)
        payment = {"transaction_id": int(order.payment_id)}
        if amount_cents == order.amount_cents and not order.refunded_cents:
            voided = _made(await self._post(VOID, payment))
            if voided is not None:
                return (_refunded(order, amount_cents, str(voided.id)),)
        answer = await self._post(REFUND, {**payment, "amount_cents": amount_cents})
        refunded = _made(answer)
        if refunded is None:
            raise provider_refused(NAME, f"a refund, status {answer.status}")
        return (_refunded(order, amount_cents, str(refunded.id)),)

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:
        """What became of an order's transactions; nothing without an API key.

        It is asked with a token of its own, as its documents say; the secret key is for the rest.
        """
        if not self._api_key or not order.references:
            return ()
        events: list[ProviderEvent] = []
        token = await self._token()
        for reference in order.references:
            events += await self._asked(int(reference), token)
        return tuple(events)

    async def _asked(self, order_id: int, token: str) -> list[ProviderEvent]:
        headers = {"authorization": f"Bearer {token}"}
        answer = await post_json(NAME, self._api + INQUIRY, {"order_id": order_id}, headers)
        if answer.status == 404:
            return []  # Nobody has tried to pay.
        if not answer.is_success:
            raise provider_failed(NAME, f"an inquiry, status {answer.status}")
        said = answer.body if isinstance(answer.body, list) else [answer.body]
        events: list[ProviderEvent] = []
        for one in said:
            transaction = _transaction(one)
            if transaction is None or transaction.order_id != order_id:
                raise provider_failed(NAME, "an inquiry's transaction that cannot be read")
            events += [*transaction.events(), *_refunds_so_far(transaction, one)]
        return events

    async def _token(self) -> str:
        answer = await post_json(NAME, self._api + TOKENS, {"api_key": self._api_key}, {})
        token = answer.body.get("token") if isinstance(answer.body, dict) else None
        if not answer.is_success or not isinstance(token, str):
            raise provider_failed(NAME, f"no token, status {answer.status}")
        return token

    async def _post(self, path: str, body: Mapping[str, Any]) -> PaymentAnswer:
        headers = {"authorization": f"Token {self._secret_key}"}
        return await post_json(NAME, self._api + path, body, headers)

    def _intention(self, checkout: NewCheckout) -> dict[str, Any]:
        name = checkout.product_name[:ITEM_NAME_MAX_CHARACTERS]
        now = datetime.now(UTC)
        return {
            "amount": checkout.amount_cents,
            "currency": checkout.currency,
            "payment_methods": sorted(self._integrations),
            "items": [{"name": name, "amount": checkout.amount_cents, "quantity": 1}],
            "billing_data": {
                "first_name": UNKNOWN,
                "last_name": UNKNOWN,
                "phone_number": UNKNOWN,
                "email": checkout.email or UNKNOWN,
            },
            # It has to be new each time, and is not signed: only a person at Paymob reads it.
            "special_reference": f"{checkout.order_id}.{int(now.timestamp() * 1000)}",
            "expiration": int(CHECKOUT_LIFE.total_seconds()),
            "notification_url": f"{self._base_url}/webhooks/{NAME}",
            "redirection_url": f"{self._base_url}{RETURN_PATH}",
        }


def _made(answer: PaymentAnswer) -> PaymobTransaction | None:
    """The transaction that an answer says was made; nothing for one that was refused."""
    made = _transaction(answer.body) if answer.is_success else None
    return made if made is not None and made.success and not made.pending else None


def _transaction(said: object) -> PaymobTransaction | None:
    if not isinstance(said, dict):
        return None
    try:
        return read_transaction(said)
    except UnreadableTransaction:
        return None


def _refunded(order: PaidOrder, amount_cents: int, refund_id: str | None) -> Refunded:
    return Refunded(
        references=order.references,
        payment_id=order.payment_id,
        amount_cents=amount_cents,
        currency=order.currency,
        refund_id=refund_id,
    )


def _refunds_so_far(transaction: PaymobTransaction, said: Mapping[str, Any]) -> list[ProviderEvent]:
    """What went back of a payment, which an inquiry's answer may be believed about."""
    amount = said.get("refunded_amount_cents")
    if not isinstance(amount, int) or isinstance(amount, bool) or amount <= 0:
        return []
    return [
        Refunded(
            references=transaction.references,
            payment_id=str(transaction.id),
            amount_cents=min(amount, transaction.amount_cents),
            currency=transaction.currency,
            refund_id=None,
        )
    ]


def _transaction_in(body: bytes) -> dict[str, Any]:
    """The transaction of a callback: all else that Paymob tells has another signature."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableTransaction("it is no JSON") from None
    if not isinstance(said, dict) or said.get("type") != "TRANSACTION":
        raise UnreadableTransaction("it is no callback of a transaction")
    transaction = said.get("obj")
    if not isinstance(transaction, dict):
        raise UnreadableTransaction("it has no transaction")
    return transaction
