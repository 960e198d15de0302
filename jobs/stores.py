"""Jobs of stores: what sellers got follows disputes."""

from __future__ import annotations

from jobs.core.declare import WorkerServices, job
from payments.inbox import inbox_of
from payments.onboarding import accounts_at

# About an hour; what is still undone then is a dead job, which an admin may retry.
TRANSFER_ATTEMPTS = 20


@job("settle_transfer", attempts=TRANSFER_ATTEMPTS)
async def settle_transfer(
    services: WorkerServices,
    *,
    provider: str,
    payment: str,
    dispute: str,
    amount_cents: int,
    step: str,
) -> None:
    """Take back what a seller got of a disputed payment, or give it again once that is won."""
    providers = services.of(inbox_of).providers
    if getattr(providers.get(provider), "sellers", None) is None:
        return
    sellers = accounts_at(providers, provider)
    move = sellers.reverse_transfer if step == "REVERSE" else sellers.return_transfer
    await move(payment, amount_cents, dispute)
