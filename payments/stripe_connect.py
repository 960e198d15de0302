"""Stripe Connect: accounts of sellers, what Stripe tells of them, and what they got of payments.

Accounts are of the kind Express. What is told of them comes to an endpoint with its own secret,
`POST /webhooks/stripe-connect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import structlog

from db.stores.tables import SellerAccount
from db.vault.sealing import Vault
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
from payments.events import Notice, PayoutTold, ProviderEvent, SellerAccountTold
from payments.stripe_amounts import charged_part, from_stripe, to_stripe
from payments.stripe_client import asking, check_signature
from settings import Settings

if TYPE_CHECKING:
    import stripe

NAME = "stripe-connect"
TEST_KEYS = ("sk_test_", "rk_test_")
# What Stripe says of an account that was deleted, or is another platform's.
_GONE = frozenset({"account_invalid", "resource_missing"})
_DISPUTE = "dispute"
_PAYOUTS: Mapping[str, str] = {
    "pending": "PENDING",
    "in_transit": "IN_TRANSIT",
    "paid": "PAID",
    "failed": "FAILED",
    "canceled": "CANCELLED",
}
log = structlog.get_logger("tallygraph.payments")


def make_stripe_connect(settings: Settings) -> StripeConnect | None:
    """What hears of sellers' accounts, where its secret and Stripe's key are set."""
    secret = settings.stripe_connect_webhook_secret.get_secret_value()
    key = settings.stripe_secret_key.get_secret_value()
    if not secret:
        return None
    if not key or (settings.production and key.startswith(TEST_KEYS)):
        log.error("payments.provider_off", provider=NAME, reason="STRIPE_SECRET_KEY is not set")
        return None
    return StripeConnect(settings)


class StripeConnect:
    """What Stripe tells of sellers' accounts. Nothing is paid here: that is `stripe`."""

    name = NAME
    verifies_at_once = True
    sells_itself = False

    def __init__(self, settings: Settings) -> None:
        given = settings.stripe_connect_webhook_secret.get_secret_value()
        self._secrets = [one.strip() for one in given.split(",")]
        self._is_test = settings.stripe_secret_key.get_secret_value().startswith(TEST_KEYS)
        self._vault = Vault(settings)

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:  # noqa: ARG002
        """Refuses it: buyers pay at `stripe`."""
        raise provider_refused(NAME, "a checkout, which is Stripe's")

    async def verify(self, delivery: Delivery) -> None:
        """Checks the signature under each of the secrets, then how old it is."""
        check_signature(delivery, self._secrets)

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one event about a connected account."""
        try:
            said = orjson.loads(delivery.body)
            kind, event_id = str(said["type"]), str(said["id"])
            is_live = bool(said["livemode"])
            told_at = datetime.fromtimestamp(said["created"], UTC)
            events = seller_events(
                self._vault, kind, said.get("account"), said["data"]["object"], told_at
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            detail = f"it is not as Stripe documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None
        if is_live and self._is_test:
            raise DeliveryRefused(
                DeliveryRefusal.UNREADABLE, "it is of live mode, and the key is of test mode"
            )
        return Notice(event_id, kind, events, is_test=not is_live, occurred_at=told_at)

    async def refund(
        self,
        order: PaidOrder,  # noqa: ARG002
        amount_cents: int,  # noqa: ARG002
        key: str,  # noqa: ARG002
    ) -> tuple[ProviderEvent, ...]:
        """Refuses it: nothing was paid here."""
        raise provider_refused(NAME, "a refund, which is Stripe's")

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:  # noqa: ARG002
        """Nothing: no order is paid here."""
        return ()


def seller_events(
    vault: Vault, kind: str, account: Any, said: Mapping[str, Any], told_at: datetime
) -> tuple[ProviderEvent, ...]:
    """What an event of a connected account says; nothing for what is none of our concern."""
    if not isinstance(account, str):
        return ()
    names: dict[str, Any] = {
        "references": (),
        "account_indexes": tuple(
            one.hex() for one in vault.blinds(SellerAccount.account_index, account)
        ),
        "told_at": told_at,
    }
    if kind == "account.updated":
        return (_account_told(names, said),)
    if kind == "account.application.deauthorized":
        gone = {"charges_enabled": False, "payouts_enabled": False, "details_submitted": False}
        return (replace(_account_told(names, gone), is_gone=True),)
    if kind.startswith("payout."):
        return (
            PayoutTold(
                **names,
                payout_id=str(said["id"]),
                amount_cents=from_stripe(said["amount"], said["currency"]),
                currency=str(said["currency"]).upper(),
                status=_PAYOUTS[said["status"]],
                arrives_at=datetime.fromtimestamp(said["arrival_date"], UTC),
            ),
        )
    return ()


def _account_told(names: Mapping[str, Any], said: Mapping[str, Any]) -> SellerAccountTold:
    return SellerAccountTold(
        **names,
        charges_enabled=bool(said["charges_enabled"]),
        payouts_enabled=bool(said["payouts_enabled"]),
        details_submitted=bool(said["details_submitted"]),
        is_gone=False,
    )


class StripeSellers:
    """Express accounts at Stripe, and transfers to them."""

    def __init__(self, settings: Settings, client: Callable[[], stripe.StripeClient]) -> None:
        self._vault = Vault(settings)
        self._made = client

    @property
    def _client(self) -> Any:
        return self._made()

    async def create_account(
        self, store_id: UUID, *, email: str | None, business_name: str, attempt: str
    ) -> str:
        """The name of a new account; the same for the same attempt."""
        asked: dict[str, Any] = {
            "type": "express",
            "business_profile": {"name": business_name},
            "capabilities": {
                "card_payments": {"requested": True},
                "transfers": {"requested": True},
            },
            "metadata": {"store_id": str(store_id)},
        }
        if email is not None:
            asked["email"] = email
        with asking("an account"):
            made = await self._client.v1.accounts.create_async(
                asked, {"idempotency_key": f"account:{store_id}:{attempt}"}
            )
            return str(made.id)

    async def account_page(
        self,
        account: str,
        return_url: str,
        refresh_url: str,
        *,
        attempt: str,  # noqa: ARG002
    ) -> str | None:
        """Where its owner tells Stripe about themselves; nothing for an account that is gone."""
        import stripe

        asked = {
            "account": account,
            "return_url": return_url,
            "refresh_url": refresh_url,
            "type": "account_onboarding",
        }
        with asking("an account's page"):
            try:
                made = await self._client.v1.account_links.create_async(asked)
            except (stripe.InvalidRequestError, stripe.PermissionError) as error:
                if error.code in _GONE:
                    return None
                raise
            return str(made.url)

    async def ask_account(
        self,
        account: str,
        *,
        attempt: str,  # noqa: ARG002
    ) -> tuple[ProviderEvent, ...]:
        """How an account stands now."""
        asked_at = datetime.now(UTC)
        with asking("an account"):
            said = (await self._client.v1.accounts.retrieve_async(account)).to_dict()
        try:
            return seller_events(self._vault, "account.updated", account, said, asked_at)
        except (KeyError, TypeError) as error:
            raise provider_failed(NAME, f"an account: {type(error).__name__}") from None

    async def reverse_transfer(self, payment_id: str, amount_cents: int, key: str) -> None:
        """Takes back what a seller got of a payment, and the fee with it; once for each key.

        Of what refunds took back before there is only the rest.
        """
        charge = await self._charge(payment_id)
        transfer = charge["transfer"]
        left = transfer["amount"] - transfer["amount_reversed"]
        # The seller may have got it in another currency than it was charged in.
        part = to_stripe(amount_cents, charge["currency"]) * transfer["amount"] // charge["amount"]
        part = charged_part(min(part, left), _currency_of(transfer, charge))
        if _reversal(transfer, key) is not None or part <= 0:
            return
        with asking("a transfer's reversal"):
            await self._client.v1.transfers.reversals.create_async(
                transfer["id"],
                {
                    "amount": part,
                    "refund_application_fee": True,
                    "metadata": {_DISPUTE: key},
                },
                {"idempotency_key": f"reversal:{key}"},
            )

    async def return_transfer(self, payment_id: str, key: str) -> None:
        """Gives what was taken back under that key to the seller again, less the fee; once."""
        charge = await self._charge(payment_id)
        taken = _reversal(charge["transfer"], key)
        if taken is None:
            return
        amount = int(taken["amount"])
        fee = int(charge.get("application_fee_amount") or 0) * amount // charge["amount"]
        currency = _currency_of(charge["transfer"], charge)
        with asking("a transfer"):
            await self._client.v1.transfers.create_async(
                {
                    "amount": amount - charged_part(fee, currency),
                    "currency": currency,
                    "destination": charge["transfer_data"]["destination"],
                    "metadata": {_DISPUTE: key},
                },
                {"idempotency_key": f"return:{key}"},
            )

    async def _charge(self, payment_id: str) -> dict[str, Any]:
        """What was charged, with its transfer and what of that was reversed."""
        with asking("a payment"):
            found = await self._client.v1.payment_intents.retrieve_async(
                payment_id, {"expand": ["latest_charge.transfer"]}
            )
        charge = found.to_dict().get("latest_charge")
        if not isinstance(charge, dict) or not isinstance(charge.get("transfer"), dict):
            raise provider_refused(NAME, "a transfer of a payment that has none")
        return charge


def _currency_of(transfer: Mapping[str, Any], charge: Mapping[str, Any]) -> str:
    return str(transfer.get("currency") or charge["currency"])


def _reversal(transfer: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """What was taken back of a transfer under a key; Stripe forgets idempotency keys in a day."""
    made: list[dict[str, Any]] = transfer["reversals"]["data"]
    return next((one for one in made if one["metadata"].get(_DISPUTE) == key), None)
