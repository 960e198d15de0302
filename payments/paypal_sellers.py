"""Sellers at PayPal: how they let whoever runs the service sell for them, and how they stand.

A seller has an account of their own at PayPal, or makes one there. A partner referral leads them to
the page where they agree; PayPal knows the referral by a tracking id of ours, and tells which
merchant it led to. PayPal pays the seller directly: nothing is transferred, and nothing reversed.

Source: https://developer.paypal.com/docs/multiparty/seller-onboarding/ and the references of
Partner Referrals v2 and Managing Seller Accounts v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from db.stores.tables import SellerAccount
from db.vault.sealing import Vault
from payments.base import provider_failed, provider_refused
from payments.events import AccountName, ProviderEvent, SellerAccountTold
from payments.paypal_client import NAME, PayPalClient

COMPLETED = "MERCHANT.ONBOARDING.COMPLETED"
REVOKED = "MERCHANT.PARTNER-CONSENT.REVOKED"
# What sellers agree to: that orders are made and captured for them, refunded, and charged a fee.
FEATURES = ("PAYMENT", "REFUND", "PARTNER_FEE")


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantChanged(ProviderEvent):
    """A seller agreed, or took that back: PayPal is asked how they stand now."""

    merchant: str | None
    tracking: str | None
    is_revoked: bool


def merchant_event(kind: str, said: Mapping[str, Any]) -> MerchantChanged | None:
    """What an event about a seller says; nothing for any other.

    Raises KeyError or TypeError for one that is not as PayPal documents it.
    """
    if kind not in {COMPLETED, REVOKED}:
        return None
    merchant, tracking = (_name(said.get(one)) for one in ("merchant_id", "tracking_id"))
    if merchant is None and tracking is None:
        raise KeyError("merchant_id")
    return MerchantChanged(
        references=(), merchant=merchant, tracking=tracking, is_revoked=kind == REVOKED
    )


class PayPalSellers:
    """What a process asks PayPal about sellers with.

    Until PayPal has told its name, an account is called by its tracking id, which is the id of its
    row; then its name takes that place.
    """

    def __init__(self, client: PayPalClient, vault: Vault) -> None:
        self._client = client
        self._vault = vault

    async def create_account(
        self,
        store_id: UUID,  # noqa: ARG002
        *,
        email: str | None,  # noqa: ARG002
        business_name: str,  # noqa: ARG002
        attempt: str,
    ) -> str:
        """The tracking id: the seller's own account is PayPal's to make."""
        return attempt

    async def account_page(
        self,
        account: str,  # noqa: ARG002
        return_url: str,
        refresh_url: str,  # noqa: ARG002
        *,
        attempt: str,
    ) -> str | None:
        """Where its owner signs in at PayPal and agrees, as often as it takes."""
        made = await self._client.post(
            "/v2/customer/partner-referrals",
            _referral(attempt, return_url),
            f"referral:{attempt}:{uuid4()}",
        )
        if not made.is_success:
            raise provider_refused(NAME, f"a referral, status {made.status}")
        try:
            links = {link["rel"]: str(link["href"]) for link in made.body["links"]}
            return links["action_url"]
        except (KeyError, TypeError):
            raise provider_failed(NAME, "a referral without an address") from None

    async def ask_account(self, account: str, *, attempt: str) -> tuple[ProviderEvent, ...]:
        """How an account stands now; nothing before its owner was at PayPal."""
        merchant = None if account == attempt else account
        return await self.look(
            MerchantChanged(references=(), merchant=merchant, tracking=attempt, is_revoked=False)
        )

    async def look(self, changed: MerchantChanged) -> tuple[ProviderEvent, ...]:
        """How the seller of an event stands now, whatever came before and after it."""
        asked_at = datetime.now(UTC)
        merchant = await self._merchant(changed.tracking) or changed.merchant
        said = await self._integration(merchant) if merchant else None
        if merchant is None:
            return ()
        try:
            return (self._told(changed, merchant, said, asked_at),)
        except (KeyError, TypeError) as error:
            raise provider_failed(NAME, f"a seller: {type(error).__name__}") from None

    async def reverse_transfer(self, payment_id: str, amount_cents: int, key: str) -> None:
        """Nothing: PayPal takes what is disputed from the seller itself."""

    async def return_transfer(self, payment_id: str, key: str) -> None:
        """Nothing: PayPal gives the seller itself what is won."""

    async def _merchant(self, tracking: str | None) -> str | None:
        """PayPal's name of whoever a referral led to; nothing before, and for an unknown one."""
        if tracking is None:
            return None
        answer = await self._client.get(
            self._integrations(f"?{urlencode({'tracking_id': tracking})}")
        )
        if answer.status == 404:
            return None
        if not answer.is_success or not isinstance(answer.body, dict):
            raise provider_failed(NAME, f"a seller by their referral, status {answer.status}")
        return _name(answer.body.get("merchant_id"))

    async def _integration(self, merchant: str) -> dict[str, Any] | None:
        """How a seller stands; nothing for one who has no tie to this partner."""
        answer = await self._client.get(self._integrations(f"/{quote(merchant, safe='')}"))
        if answer.status in {403, 404}:
            return None
        if not answer.is_success or not isinstance(answer.body, dict):
            raise provider_failed(NAME, f"a seller, status {answer.status}")
        return answer.body

    def _integrations(self, rest: str) -> str:
        partner = quote(self._client.partner_id, safe="")
        return f"/v1/customer/partners/{partner}/merchant-integrations{rest}"

    def _told(
        self,
        changed: MerchantChanged,
        merchant: str,
        said: Mapping[str, Any] | None,
        asked_at: datetime,
    ) -> SellerAccountTold:
        has_agreed = said is not None and self._has_agreed(said)
        can_sell = (
            said is not None
            and has_agreed
            and said["payments_receivable"] is True
            and said["primary_email_confirmed"] is True
        )
        column = SellerAccount.account_index
        names = [one for one in (merchant, changed.merchant, changed.tracking) if one]
        indexes = [index.hex() for name in names for index in self._vault.blinds(column, name)]
        return SellerAccountTold(
            references=(),
            account_indexes=tuple(dict.fromkeys(indexes)),
            charges_enabled=can_sell,
            payouts_enabled=can_sell,
            details_submitted=said is not None,
            is_gone=said is None or (changed.is_revoked and not has_agreed),
            told_at=asked_at,
            named=self._named(changed.tracking, merchant),
        )

    def _has_agreed(self, said: Mapping[str, Any]) -> bool:
        """Whether the seller lets this partner act for them."""
        return any(
            party.get("partner_client_id") == self._client.client_id
            for one in said.get("oauth_integrations") or ()
            if one.get("integration_type") == "OAUTH_THIRD_PARTY"
            for party in one.get("oauth_third_party") or ()
        )

    def _named(self, tracking: str | None, merchant: str) -> AccountName | None:
        """PayPal's name, sealed for the row that the tracking id names."""
        try:
            account_id = UUID(tracking or "")
        except ValueError:
            return None
        sealed = self._vault.seal(SellerAccount.sealed_account, account_id, merchant)
        index = self._vault.blind(SellerAccount.account_index, merchant)
        return AccountName(account_id, sealed.hex(), index.hex())


def _referral(tracking: str, return_url: str) -> dict[str, Any]:
    """What a seller is asked to agree to."""
    integration = {
        "integration_method": "PAYPAL",
        "integration_type": "THIRD_PARTY",
        "third_party_details": {"features": list(FEATURES)},
    }
    return {
        "tracking_id": tracking,
        "partner_config_override": {"return_url": return_url},
        "operations": [
            {
                "operation": "API_INTEGRATION",
                "api_integration_preference": {"rest_api_integration": integration},
            }
        ],
        "products": ["EXPRESS_CHECKOUT"],
        "legal_consents": [{"type": "SHARE_DATA_CONSENT", "granted": True}],
    }


def _name(said: Any) -> str | None:
    return said if isinstance(said, str) and said else None
