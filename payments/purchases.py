"""Purchases that an app proves: each is given to its buyer once, whoever tells of it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from db.core.actor import Actor
from db.core.errors import REFUSAL_SQLSTATE, DomainError, ErrorCode
from db.core.pool import Database
from db.core.retries import retried
from db.purchases import operations
from payments.base import PaymentProvider, SellsInApps, purchase_invalid
from payments.inbox import as_json
from payments.registry import PaymentServices, configured_providers, provider_not_configured

_LEFT_OUT = frozenset(
    {
        ErrorCode.PURCHASE_INVALID,
        ErrorCode.PURCHASE_IN_USE,
        ErrorCode.INVALID_STATE,
        ErrorCode.NOT_FOUND,
    }
)
# More than a store's account has of what still counts.
RESTORED_AT_MOST = 50


def purchases_of(services: PaymentServices) -> Purchases:
    """The purchases of a process."""
    settings = services.settings
    return Purchases(
        services.database, configured_providers(settings), is_production=settings.production
    )


class Purchases:
    """What a process takes proofs with; no transaction is open while a store is asked."""

    def __init__(
        self, database: Database, providers: Mapping[str, PaymentProvider], *, is_production: bool
    ) -> None:
        self._database = database
        self.providers = dict(providers)
        self._is_production = is_production

    async def validate(self, actor: Actor, *, provider: str, proof: str) -> UUID:
        """Gives a user what a proof says that they bought; its order, the same for the same proof.

        PURCHASE_INVALID for what proves nothing, PURCHASE_IN_USE for what is another user's,
        LIMIT_EXCEEDED for too many in an hour.
        """
        store: object = self.providers.get(provider)
        if not isinstance(store, SellsInApps):
            raise provider_not_configured("input", "provider")
        assert actor.user_id is not None
        buyer = actor.user_id
        await operations.take_proof(self._database, buyer)
        proven = await store.read_purchase(proof, buyer)
        if proven.is_test and self._is_production:
            raise purchase_invalid(provider, "it is of the store's test mode")
        events = [as_json(event) for event in proven.events]
        return await retried(
            lambda: operations.claim_purchase(self._database, buyer, provider, events)
        )

    async def restore(self, actor: Actor, *, provider: str, proofs: Sequence[str]) -> int:
        """The same for all that a store's account has; how many of them are the user's.

        What is not theirs, or over, is left out; where nothing else is left, the first refusal of
        these is raised.
        """
        if len(proofs) > RESTORED_AT_MOST:
            raise DomainError(
                ErrorCode.BAD_USER_INPUT,
                f"At most {RESTORED_AT_MOST} proofs are taken at once.",
                ("input", "proofs"),
            )
        restored, refused = 0, None
        for proof in proofs:
            try:
                await self.validate(actor, provider=provider, proof=proof)
                restored += 1
            except (DomainError, asyncpg.PostgresError) as error:
                if _code_of(error) not in _LEFT_OUT:
                    raise
                refused = refused or error
        if refused is not None and not restored:
            raise refused
        return restored


def _code_of(error: Exception) -> str | None:
    """The code of a refusal, ours or the database's."""
    if isinstance(error, DomainError):
        return error.code
    is_refusal = getattr(error, "sqlstate", None) == REFUSAL_SQLSTATE
    return getattr(error, "hint", None) if is_refusal else None
