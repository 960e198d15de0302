"""Selling: a store's account is made at its provider, which its owner tells the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from db.billing import operations as billing
from db.core.actor import Actor
from db.core.pool import Database
from db.core.row_ids import new_row_id
from db.stores import operations
from db.stores.operations import SellerOnboarding
from db.stores.tables import SellerAccount
from db.vault.sealing import Vault
from payments.base import PaymentProvider, PaysSellers, provider_failed
from payments.inbox import WebhookInbox, inbox_of
from payments.registry import PaymentServices, provider_not_configured

# Where an owner whose app named no page comes back to.
RETURN_PAGE = "/payments/{provider}/onboarded"
# One is made anew where the provider does not know it any more.
ATTEMPTS = 2


def sellers_of(services: PaymentServices) -> Sellers:
    """The sellers of a process."""
    settings = services.settings
    return Sellers(
        services.database,
        inbox_of(services),
        Vault.of(services),
        base_url=settings.base_url,
        origins=(settings.base_url, *settings.redirect_origins),
        takes_any_return=not settings.production,
    )


class Sellers:
    """What a process makes accounts of sellers with; no transaction is open meanwhile."""

    def __init__(
        self,
        database: Database,
        inbox: WebhookInbox,
        vault: Vault,
        *,
        base_url: str,
        origins: Sequence[str],
        takes_any_return: bool,
    ) -> None:
        self._database = database
        self.inbox = inbox
        self._vault = vault
        self._base_url = base_url
        self._origins = origins
        self._takes_any_return = takes_any_return

    async def onboard(
        self, actor: Actor, store_id: UUID, *, provider: str, return_url: str | None
    ) -> str:
        """The page where the owner of a store tells its provider about themselves.

        The first time makes the account; one that the provider does not know any more is forgotten,
        and another made.
        """
        billing.check_portal(return_url, origins=self._origins, takes_any=self._takes_any_return)
        sellers = accounts_at(self.inbox.providers, provider)
        page = return_url or self._base_url + RETURN_PAGE.format(provider=provider)
        for _ in range(ATTEMPTS):
            wanted = await operations.begin_onboarding(self._database, actor, store_id, provider)
            account_id, account = await self._account(actor, sellers, store_id, provider, wanted)
            url = await sellers.account_page(account, page, page, attempt=str(account_id))
            if url is not None:
                return url
            await operations.forget_account(self._database, account_id)
        raise provider_failed(provider, "an account that it does not know once it is made")

    async def refresh(self, actor: Actor, store_id: UUID, *, provider: str) -> None:
        """Asks the provider how a store's account stands, where it has one."""
        sellers = accounts_at(self.inbox.providers, provider)
        wanted = await operations.begin_onboarding(self._database, actor, store_id, provider)
        if wanted.account_id is None or wanted.sealed_account is None:
            return
        await self.inbox.refuse_missing_keys()
        account = self._opened(wanted.account_id, wanted.sealed_account)
        events = await sellers.ask_account(account, attempt=str(wanted.account_id))
        await self.inbox.apply(self.inbox.providers[provider], "account", events)

    async def _account(
        self,
        actor: Actor,
        sellers: PaysSellers,
        store_id: UUID,
        provider: str,
        wanted: SellerOnboarding,
    ) -> tuple[UUID, str]:
        if wanted.account_id is not None and wanted.sealed_account is not None:
            return wanted.account_id, self._opened(wanted.account_id, wanted.sealed_account)
        account_id = new_row_id()
        account = await sellers.create_account(
            store_id,
            email=wanted.email,
            business_name=wanted.business_name,
            attempt=str(account_id),
        )
        sealed = self._vault.seal(SellerAccount.sealed_account, account_id, account)
        index = self._vault.blind(SellerAccount.account_index, account)
        if await operations.note_account(
            self._database, store_id, provider, account_id, sealed, index
        ):
            return account_id, account
        # Another was made at the same time: that one is completed.
        kept = await operations.begin_onboarding(self._database, actor, store_id, provider)
        if kept.account_id is None or kept.sealed_account is None:
            raise provider_failed(provider, "an account that was gone once it was made")
        return kept.account_id, self._opened(kept.account_id, kept.sealed_account)

    def _opened(self, account_id: UUID, sealed: bytes) -> str:
        return self._vault.open(SellerAccount.sealed_account, account_id, sealed)


def accounts_at(providers: Mapping[str, PaymentProvider], provider: str) -> PaysSellers:
    """The accounts that a provider keeps; PROVIDER_NOT_CONFIGURED where it keeps none."""
    sellers: object = getattr(providers.get(provider), "sellers", None)
    if not isinstance(sellers, PaysSellers):
        raise provider_not_configured("input", "provider")
    return sellers
