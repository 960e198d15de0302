"""Makes the keys of licences that were sold, with secrets that the database does not have."""

from __future__ import annotations

from uuid import UUID

from db.licences.keys import LicenceKeys, new_key
from db.licences.operations import keep_sold_key
from jobs.core.declare import WorkerServices, job

ATTEMPTS = 20


@job("make_licence_key", attempts=ATTEMPTS)
async def make_licence_key(services: WorkerServices, *, licence_id: UUID) -> None:
    """Makes the key of a licence; run again, the licence keeps the one that it has."""
    key = services.of(LicenceKeys.of).sealed(licence_id, new_key())
    await keep_sold_key(services.database, licence_id, key)
    services.wake()
