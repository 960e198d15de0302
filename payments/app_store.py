"""The App Store: what Apple signs is verified, and says what was bought, renewed and given back.

There is no checkout: the app sells. Apple tells of it by server notifications (version 2), and the
app sends the signed transaction as a proof. Source:
https://developer.apple.com/documentation/appstoreservernotifications
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from payments.app_store_events import TRANSACTION_KINDS, moment, notice_events, purchase_events
from payments.base import (
    Checkout,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    NewCheckout,
    PaidOrder,
    ProvenPurchase,
    provider_refused,
    purchase_invalid,
)
from payments.events import Notice, ProviderEvent
from settings import Settings

if TYPE_CHECKING:
    from appstoreserverlibrary.models.ResponseBodyV2DecodedPayload import (
        ResponseBodyV2DecodedPayload,
    )
    from appstoreserverlibrary.signed_data_verifier import SignedDataVerifier

NAME = "app-store"
SANDBOX, PRODUCTION = "Sandbox", "Production"
# Apple Root CA - G3, https://www.apple.com/certificateauthority/, SHA-256
# 63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179.
APPLE_ROOT = Path(__file__).with_name("AppleRootCA-G3.pem")
# A signed transaction has about 5,000.
PROOF_MAX_CHARACTERS = 50_000
# The library raises groups of what is wrong with single fields.
_NOT_AS_DOCUMENTED = (KeyError, TypeError, ValueError, OverflowError, ExceptionGroup)

log = structlog.get_logger("tallygraph.payments")


def make_app_store(settings: Settings) -> AppStoreProvider | None:
    """The App Store, where its settings are there; the sandbox's are not for production."""
    if not settings.app_store_bundle_id:
        return None
    is_live = settings.app_store_environment == PRODUCTION
    reason = None
    if find_spec("appstoreserverlibrary") is None:
        reason = "its library is not installed: pip install 'tallygraph[app-store]'"
    elif is_live and settings.app_store_apple_id is None:
        reason = "APP_STORE_APPLE_ID is missing"
    elif settings.production and not is_live:
        reason = "APP_STORE_ENVIRONMENT is Sandbox"
    if reason is not None:
        log.error("payments.provider_off", provider=NAME, reason=reason)
        return None
    return AppStoreProvider(settings)


class AppStoreProvider:
    """What the App Store sold in an app, and how its subscriptions stand."""

    name = NAME
    verifies_at_once = True
    sells_itself = True

    def __init__(self, settings: Settings) -> None:
        self._bundle_id = settings.app_store_bundle_id
        self._apple_id = settings.app_store_apple_id
        self._environment = settings.app_store_environment
        path = settings.app_store_root_certificates
        text = (Path(path) if path else APPLE_ROOT).read_bytes()
        self._roots = [
            one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(text)
        ]

    @cached_property
    def _verifier(self) -> SignedDataVerifier:
        return self._verifier_of(self._environment)

    @cached_property
    def _sandbox_verifier(self) -> SignedDataVerifier:
        """Tells what is of the sandbox from what is forged, where the other is expected."""
        return self._verifier_of(SANDBOX)

    def _verifier_of(self, environment: str) -> SignedDataVerifier:
        # Certificates are judged as of when they signed: Apple's responder is not asked meanwhile.
        from appstoreserverlibrary.models.Environment import Environment
        from appstoreserverlibrary.signed_data_verifier import SignedDataVerifier

        return SignedDataVerifier(
            self._roots,
            enable_online_checks=False,
            environment=Environment(environment),
            bundle_id=self._bundle_id,
            app_apple_id=self._apple_id,
        )

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """No page sells what an app sells."""
        raise provider_refused(NAME, f"a checkout for {checkout.product_id}: the app sells")

    async def verify(self, delivery: Delivery) -> None:
        """Checks certificates, signature and app; of the other environment is theirs as well."""
        from appstoreserverlibrary.signed_data_verifier import VerificationException

        try:
            self._told(delivery)
        except VerificationException as error:
            raise DeliveryRefused(
                DeliveryRefusal.FORGED, f"Apple has not signed it for this app: {error.status.name}"
            ) from None
        except ExceptionGroup:
            return  # signed it is, and not as documented: that is for whoever reads it

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one notification, with the transaction and the renewal that are signed in it."""
        from appstoreserverlibrary.signed_data_verifier import VerificationException

        try:
            told, environment = self._told(delivery)
            if environment != self._environment:
                raise _other_environment(environment)
            kind, subtype = str(told.rawNotificationType), told.rawSubtype
            events = self._events(told, kind)
            return Notice(
                event_id=str(UUID(told.notificationUUID)),
                kind=f"{kind}.{subtype}" if subtype else kind,
                events=events,
                is_test=environment == SANDBOX,
                occurred_at=moment(told.signedDate) if told.signedDate else None,
            )
        except (VerificationException, *_NOT_AS_DOCUMENTED) as error:
            detail = f"it is not as Apple documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None

    async def read_purchase(self, proof: str, buyer: UUID) -> ProvenPurchase:
        """What a signed transaction says; it is the buyer's where the app gave no account token."""
        from appstoreserverlibrary.signed_data_verifier import VerificationException

        if len(proof) > PROOF_MAX_CHARACTERS:
            raise purchase_invalid(NAME, "it is too long")
        try:
            transaction = self._verifier.verify_and_decode_signed_transaction(proof)
            events = purchase_events(transaction, buyer=buyer)
        except VerificationException as error:
            raise purchase_invalid(NAME, error.status.name) from None
        except _NOT_AS_DOCUMENTED as error:
            raise purchase_invalid(NAME, type(error).__name__) from None
        return ProvenPurchase(events, is_test=self._environment == SANDBOX)

    async def refund(
        self,
        order: PaidOrder,  # noqa: ARG002
        amount_cents: int,
        key: str,  # noqa: ARG002
    ) -> tuple[ProviderEvent, ...]:
        """Apple alone decides on refunds, and tells of them."""
        raise provider_refused(NAME, f"a refund of {amount_cents} cents: only Apple makes them")

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:  # noqa: ARG002
        """Nothing: no order waits for a checkout here."""
        return ()

    def _told(self, delivery: Delivery) -> tuple[ResponseBodyV2DecodedPayload, str]:
        """A notification and its environment; VerificationException for what is not Apple's."""
        from appstoreserverlibrary.signed_data_verifier import (
            VerificationException,
            VerificationStatus,
        )

        try:
            payload = orjson.loads(delivery.body)["signedPayload"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise VerificationException(VerificationStatus.VERIFICATION_FAILURE) from None
        try:
            return self._verifier.verify_and_decode_notification(payload), self._environment
        except VerificationException:
            # Notifications of the sandbox name no Apple id, so that the app would seem another.
            return self._sandbox_verifier.verify_and_decode_notification(payload), SANDBOX

    def _events(self, told: ResponseBodyV2DecodedPayload, kind: str) -> tuple[ProviderEvent, ...]:
        data = told.data
        if kind not in TRANSACTION_KINDS or data is None:
            return ()
        transaction = self._verifier.verify_and_decode_signed_transaction(
            str(data.signedTransactionInfo)
        )
        renewal = None
        if data.signedRenewalInfo:
            renewal = self._verifier.verify_and_decode_renewal_info(data.signedRenewalInfo)
        return notice_events(kind, told.rawSubtype, transaction, renewal)


def _other_environment(environment: str) -> DeliveryRefused:
    return DeliveryRefused(
        DeliveryRefusal.UNREADABLE,
        f"it is of the environment {environment}, and APP_STORE_ENVIRONMENT is another",
    )
