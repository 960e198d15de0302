"""Jobs of stores: what sellers got follows disputes."""

from __future__ import annotations

from db.stores import operations
from jobs.core.declare import WorkerServices, job
from payments.inbox import inbox_of
from payments.onboarding import accounts_at

# About an hour; what is still undone then is a dead job, which an admin may retry.
TRANSFER_ATTEMPTS = 20


@job("settle_transfer", attempts=TRANSFER_ATTEMPTS)
async def settle_transfer(services: WorkerServices, *, provider: str, dispute: str) -> None:
    """Take back what a seller got of a disputed payment, and give it again once that is won."""
    providers = services.of(inbox_of).providers
    if getattr(providers.get(provider), "sellers", None) is None:
        return
    sellers = accounts_at(providers, provider)
    # It may be won while it is being reversed.
    while True:
        due = await operations.due_transfer(services.database, provider, dispute)
        if due.step is None or due.payment is None or due.amount_cents is None:
            return
        if due.step == "REVERSE":
            await sellers.reverse_transfer(due.payment, due.amount_cents, dispute)
        else:
            await sellers.return_transfer(due.payment, dispute)
        await operations.note_transfer(services.database, provider, dispute, due.step)
