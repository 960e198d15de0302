"""Jobs of stores: what sellers got follows disputes, and domains are looked at again."""

from __future__ import annotations

import asyncio
from uuid import UUID

from db.core.dns_records import LookupFailed
from db.core.pool import Database
from db.stores import operations
from db.stores.domains import is_proven
from jobs.core.declare import WorkerServices, every, job
from payments.inbox import inbox_of
from payments.onboarding import accounts_at
from settings import Settings

# About an hour; what is still undone then is a dead job, which an admin may retry.
TRANSFER_ATTEMPTS = 20
DOMAINS_AT_ONCE = 100
DOMAINS_TOGETHER = 10


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


@every("*/5 * * * *")
async def look_at_domains(database: Database, settings: Settings) -> None:
    """Look whether stores' domains name them, those that are due."""
    due = await operations.due_domains(database, DOMAINS_AT_ONCE)
    for n in range(0, len(due), DOMAINS_TOGETHER):
        together = due[n : n + DOMAINS_TOGETHER]
        await asyncio.gather(*(_look(database, settings, *one) for one in together))


async def _look(database: Database, settings: Settings, store_id: UUID, domain: str) -> None:
    """Notes what a domain's name servers say; while they say nothing, nothing is noted."""
    try:
        proven = await is_proven(domain, store_id, settings.dns_servers)
    except LookupFailed:
        return
    await operations.note_domain(database, store_id, domain, is_proven=proven)
