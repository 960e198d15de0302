"""Buying: an order is opened, its provider makes a checkout, and the buyer is sent there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.affiliates import operations as affiliates
from db.billing import operations
from db.billing.operations import Buyer, OpenOrder
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.sales import operations as sales
from db.stores.tables import SellerAccount
from db.vault.sealing import Vault, process_vault
from payments.base import KeepsCustomers, NewCheckout, PaymentProvider, Split, provider_refused
from payments.registry import (
    PaymentServices,
    configured_providers,
    provider_not_configured,
)


@dataclass(frozen=True, slots=True)
class Bought:
    """An order, the address at which it is paid, and until when.

    What a code made free has no such address: it is paid.
    """

    order_id: UUID
    url: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Guest:
    """Who buys without an account: their e-mail, and the hash of the network they come from."""

    email: str
    network: bytes


def checkouts_of(services: PaymentServices) -> Checkouts:
    """The checkouts of a process."""
    settings = services.settings
    return Checkouts(
        services.database,
        configured_providers(settings),
        origins=(settings.base_url, *settings.redirect_origins),
        takes_any_return=not settings.production,
        vault=Vault.of(services),
    )


class Checkouts:
    """What a process makes checkouts with; no transaction is open while a provider is asked."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, PaymentProvider],
        *,
        origins: Sequence[str],
        takes_any_return: bool,
        vault: Vault | None = None,
    ) -> None:
        self._database = database
        self._vault = vault or process_vault()
        self.providers = dict(providers)
        self._origins = origins
        self._takes_any_return = takes_any_return

    async def create(
        self,
        actor: Actor,
        *,
        product_id: str,
        provider: str,
        success_url: str | None,
        cancel_url: str | None,
        idempotency_key: str,
        discount_code: str | None = None,
        guest: Guest | None = None,
        affiliate_code: str | None = None,
    ) -> Bought:
        """Opens an order and has a checkout made for it; the same key gives the same again.

        Where the provider fails, the order stays, and the same key asks it again. A `guest` buys
        of a store without an account, a discount code is a store's. Of an `affiliate_code` that
        does not apply nobody is told.
        """
        operations.check_checkout(
            success_url,
            cancel_url,
            idempotency_key,
            origins=self._origins,
            takes_any=self._takes_any_return,
        )
        seller = self.providers.get(provider)
        if seller is None:
            raise provider_not_configured("input", "provider")
        if seller.sells_itself:
            raise provider_refused(provider, "a checkout for what is sold in an app")
        wanted = {
            "product_id": product_id,
            "provider": provider,
            "success_url": success_url,
            "cancel_url": cancel_url,
            "idempotency_key": idempotency_key,
        }
        order = await self._opened(actor, wanted, discount_code, guest)
        if affiliate_code is not None:
            await affiliates.recommend_order(self._database, order.id, affiliate_code)
        if order.checkout_url is not None or order.amount_cents == 0:
            return Bought(order.id, order.checkout_url, order.expires_at)
        made = await seller.create_checkout(await self._described(order))
        if made.customer_id is not None and order.user_id is not None:
            await operations.note_payment_customer(
                self._database, order.user_id, provider, made.customer_id
            )
        url, expires_at = await operations.note_checkout(
            self._database, order.id, made.url, made.expires_at, made.references
        )
        return Bought(order.id, url, expires_at)

    async def _opened(
        self,
        actor: Actor,
        wanted: dict[str, Any],
        discount_code: str | None,
        guest: Guest | None,
    ) -> OpenOrder:
        if guest is not None:
            return await sales.open_guest_order(
                self._database,
                email=guest.email,
                network=guest.network,
                discount_code=discount_code,
                **wanted,
            )
        if discount_code is not None:
            return await sales.open_discounted_order(
                self._database, actor, discount_code=discount_code, **wanted
            )
        return await operations.open_order(self._database, actor, **wanted)

    async def portal(self, actor: Actor, *, provider: str, return_url: str | None) -> str:
        """The address of the page where a user sees what they paid a provider, and with what."""
        operations.check_portal(return_url, origins=self._origins, takes_any=self._takes_any_return)
        shop: object = self.providers.get(provider)
        if not isinstance(shop, KeepsCustomers):
            raise provider_not_configured("input", "provider")
        assert actor.user_id is not None
        customer = await operations.find_payment_customer(self._database, actor.user_id, provider)
        if customer is None:
            raise DomainError(
                ErrorCode.INVALID_STATE,
                "Nothing was bought at this provider yet, so it has nothing to show. Buy something "
                "with `createCheckout` first.",
                ("input", "provider"),
            )
        return await shop.create_portal(customer, return_url)

    def _split(self, buyer: Buyer) -> Split | None:
        """Who gets the money of a store's sale.

        An account may be gone since the order was opened: nobody pays for what its seller would not
        be paid for.
        """
        if not buyer.is_paid_to_seller:
            return None
        if buyer.seller_account_id is None or buyer.sealed_account is None:
            raise DomainError(
                ErrorCode.INVALID_STATE,
                "This store cannot be paid at this provider any more. Choose another.",
                ("input", "provider"),
            )
        column = SellerAccount.sealed_account
        account = self._vault.open(column, buyer.seller_account_id, buyer.sealed_account)
        return Split(account, buyer.fee_cents)

    async def _described(self, order: OpenOrder) -> NewCheckout:
        buyer = await operations.buyer_of(self._database, order.id)
        return NewCheckout(
            order_id=order.id,
            user_id=order.user_id,
            email=buyer.email,
            product_id=order.product_id,
            product_name=buyer.product_name,
            kind=order.kind,
            amount_cents=order.amount_cents,
            currency=order.currency,
            interval=order.billing_interval,
            price_id=order.price_id,
            success_url=order.success_url,
            cancel_url=order.cancel_url,
            locale=buyer.locale,
            customer_id=buyer.customer_id,
            split=self._split(buyer),
            expires_at=buyer.holds_until,
        )
