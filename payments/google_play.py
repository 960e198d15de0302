"""Google Play: its notifications say that something changed, and its API is asked what.

There is no checkout: the app sells. Notifications come by a push subscription of Pub/Sub; the app
sends the purchase token as a proof. Source:
https://developer.android.com/google/play/billing/rtdn-reference
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote
from uuid import UUID

import orjson
import structlog

from db.core.service_account import ServiceAccount
from payments.base import (
    Checkout,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    NewCheckout,
    PaidOrder,
    ProvenPurchase,
    provider_failed,
    provider_refused,
    purchase_invalid,
)
from payments.calls import PaymentAnswer, get_json, post_json
from payments.events import Notice, ProviderEvent
from payments.google_play_events import (
    is_test,
    product_events,
    product_order,
    refund_events,
    subscription_events,
    subscription_orders,
)
from payments.google_tokens import PubSubTokens, ServiceToken
from settings import Settings, SettingsError

NAME = "google-play"
SCOPE = "https://www.googleapis.com/auth/androidpublisher"
PROOF_MAX_CHARACTERS = 2_000
# A token that is not known, is malformed, or is of a purchase that ended long ago.
_UNKNOWN = frozenset({400, 404, 410})
_TOKEN = "purchaseToken"
# What a notification names that is not of a token.
_NAMED_BY = {"voidedPurchaseNotification": "orderId"}
_NOT_AS_DOCUMENTED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)

log = structlog.get_logger("tallygraph.payments")


def make_google_play(settings: Settings) -> GooglePlayProvider | None:
    """Google Play, where its settings are there; half of them are not it."""
    needed = {
        "GOOGLE_PLAY_PACKAGE_NAME": settings.google_play_package_name,
        "GOOGLE_PLAY_SERVICE_ACCOUNT": _account(settings),
        "GOOGLE_PLAY_PUSH_AUDIENCE": settings.google_play_push_audience,
        "GOOGLE_PLAY_PUSH_EMAIL": settings.google_play_push_email,
    }
    missing = [name for name, value in needed.items() if not value]
    if len(missing) == len(needed):
        return None
    if missing:
        log.error("payments.provider_off", provider=NAME, missing=missing)
        return None
    return GooglePlayProvider(settings)


def _account(settings: Settings) -> str:
    given = settings.google_play_service_account.get_secret_value()
    path = settings.google_play_service_account_file
    if given or not path:
        return given
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"GOOGLE_PLAY_SERVICE_ACCOUNT_FILE: cannot be read: {type(error).__name__}"
        ) from None


class GooglePlayProvider:
    """What Google Play sold in an app, and how its subscriptions stand."""

    name = NAME
    verifies_at_once = True
    sells_itself = True

    def __init__(self, settings: Settings) -> None:
        account = ServiceAccount.of(_account(settings), "GOOGLE_PLAY_SERVICE_ACCOUNT")
        package = quote(settings.google_play_package_name, safe="")
        api = settings.google_play_api_url.rstrip("/")
        self._url = f"{api}/androidpublisher/v3/applications/{package}"
        self._package = settings.google_play_package_name
        self._access_token = ServiceToken(NAME, account, SCOPE)
        self._push_tokens = PubSubTokens(
            NAME,
            settings.google_play_push_keys_url,
            settings.google_play_push_audience,
            settings.google_play_push_email,
        )

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """No page sells what an app sells."""
        raise provider_refused(NAME, f"a checkout for {checkout.product_id}: the app sells")

    async def verify(self, delivery: Delivery) -> None:
        """Checks who pushes; what is pushed proves nothing, and is asked about."""
        await self._push_tokens.verify(delivery.headers.get("authorization", ""))

    def parse(self, delivery: Delivery) -> Notice:
        """Reads which notification it is; what it means is asked for by `complete()`."""
        try:
            message = orjson.loads(delivery.body)["message"]
            told = _notification(delivery)
            kind = next((one for one in _KINDS if one in told), "other")
            number = told[kind].get("notificationType") if kind in told else None
            if told["packageName"] != self._package:
                raise ValueError("it is of another app")
            if kind in _KINDS and not isinstance(told[kind][_NAMED_BY.get(kind, _TOKEN)], str):
                raise TypeError("it names no purchase")
            return Notice(
                event_id=str(message["messageId"]),
                kind=kind if number is None else f"{kind}.{number}",
                occurred_at=datetime.fromtimestamp(int(told["eventTimeMillis"]) / 1000, UTC),
            )
        except _NOT_AS_DOCUMENTED as error:
            detail = f"it is not as Google documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None

    def needs_asking(self, notice: Notice) -> bool:
        """Whether it is about a purchase."""
        return notice.kind.partition(".")[0] in _KINDS

    async def complete(self, delivery: Delivery, notice: Notice) -> Notice:
        """What Google Play says now of the purchase that a notification names."""
        told = _notification(delivery)
        kind = notice.kind.partition(".")[0]
        if kind not in _KINDS:
            return notice
        proven = await _KINDS[kind](self, told[kind])
        return Notice(
            notice.event_id,
            notice.kind,
            proven.events,
            is_test=proven.is_test,
            occurred_at=notice.occurred_at,
        )

    async def read_purchase(self, proof: str, buyer: UUID) -> ProvenPurchase:
        """What Google Play says of a purchase token, of a subscription or of something else."""
        if not 0 < len(proof) <= PROOF_MAX_CHARACTERS or not proof.isascii():
            raise purchase_invalid(NAME, "it is no token")
        for ask in (self._subscription, self._product):
            found = await ask(proof, buyer)
            if found is not None and found.events:
                return found
        raise purchase_invalid(NAME, "it is not known, or not paid")

    async def acknowledge(self, purchase: str) -> None:
        """Tells Google Play that a purchase was given; after three days it would take it back."""
        answer = await self._post(f"purchases/{quote(purchase)}:acknowledge")
        # 410: the purchase is gone by now, so nothing waits for this.
        if not answer.is_success and answer.status != 410:
            raise provider_failed(NAME, f"an acknowledgement, status {answer.status}")

    async def refund(
        self,
        order: PaidOrder,
        amount_cents: int,
        key: str,  # noqa: ARG002
    ) -> tuple[ProviderEvent, ...]:
        """Gives back all that was paid, which is what the API can; made before, it is not again."""
        assert order.payment_id is not None
        if " " in order.payment_id:
            raise provider_refused(NAME, "a refund of one of several that were paid together")
        path = f"orders/{quote(order.payment_id, safe='')}"
        if events := refund_events(await self._order(order.payment_id)):
            return events
        if amount_cents != order.amount_cents:
            raise provider_refused(NAME, "a refund of a part")
        answer = await self._post(f"{path}:refund")
        if not answer.is_success:
            raise provider_refused(NAME, f"a refund, status {answer.status}")
        return refund_events(await self._order(order.payment_id))

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:  # noqa: ARG002
        """Nothing: no order waits for a checkout here."""
        return ()

    async def _of_subscription(self, told: Mapping[str, Any]) -> ProvenPurchase:
        found = await self._subscription(told[_TOKEN], None)
        return found or _nothing()

    async def _of_product(self, told: Mapping[str, Any]) -> ProvenPurchase:
        found = await self._product(told[_TOKEN], None)
        return found or _nothing()

    async def _of_void(self, told: Mapping[str, Any]) -> ProvenPurchase:
        """What was refunded or charged back; the order says how much."""
        return ProvenPurchase(refund_events(await self._order(told["orderId"])), is_test=False)

    async def _subscription(self, token: str, buyer: UUID | None) -> ProvenPurchase | None:
        """What a subscription's token says; nothing where it is none."""
        asked_at = datetime.now(UTC)
        answer = await self._get(f"purchases/subscriptionsv2/tokens/{quote(token, safe='')}")
        if answer.status in _UNKNOWN:
            return None
        try:
            said = _good(answer)
            orders = {one: await self._order(one) for one in subscription_orders(said)}
            if not orders:
                return _nothing()
            events = subscription_events(said, orders, token, asked_at, buyer)
        except _NOT_AS_DOCUMENTED as error:
            _not_as_documented(error)
        return ProvenPurchase(events, is_test=is_test(said))

    async def _product(self, token: str, buyer: UUID | None) -> ProvenPurchase | None:
        """What the token of something bought once says; nothing where it is none."""
        answer = await self._get(f"purchases/productsv2/tokens/{quote(token, safe='')}")
        if answer.status in _UNKNOWN:
            return None
        try:
            said = _good(answer)
            order_id = product_order(said)
            if order_id is None:
                return _nothing()
            events = product_events(said, await self._order(order_id), token, buyer)
        except _NOT_AS_DOCUMENTED as error:
            _not_as_documented(error)
        return ProvenPurchase(events, is_test=is_test(said))

    async def _order(self, order_id: str) -> Mapping[str, Any]:
        return _good(await self._get(f"orders/{quote(order_id, safe='')}"))

    async def _get(self, path: str) -> PaymentAnswer:
        return await get_json(NAME, f"{self._url}/{path}", await self._headers())

    async def _post(self, path: str) -> PaymentAnswer:
        return await post_json(NAME, f"{self._url}/{path}", {}, await self._headers())

    async def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {await self._access_token.get()}"}


_KINDS: Mapping[str, Callable[[GooglePlayProvider, Mapping[str, Any]], Any]] = {
    "subscriptionNotification": GooglePlayProvider._of_subscription,
    "oneTimeProductNotification": GooglePlayProvider._of_product,
    "voidedPurchaseNotification": GooglePlayProvider._of_void,
}


def _notification(delivery: Delivery) -> dict[str, Any]:
    """The notification in a message of Pub/Sub."""
    data = orjson.loads(delivery.body)["message"]["data"]
    told: dict[str, Any] = orjson.loads(base64.b64decode(data, validate=True))
    return told


def _nothing() -> ProvenPurchase:
    return ProvenPurchase((), is_test=False)


def _good(answer: PaymentAnswer) -> Mapping[str, Any]:
    if not answer.is_success or not isinstance(answer.body, dict):
        raise provider_failed(NAME, f"status {answer.status}")
    return answer.body


def _not_as_documented(error: Exception) -> NoReturn:
    raise provider_failed(NAME, f"not as documented: {type(error).__name__}") from None
