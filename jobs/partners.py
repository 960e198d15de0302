"""Work on partners: requests are brought to whom they are for and expire; the two are compared."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from db.core.commands import call_as_service
from db.core.pool import Database
from db.core.retention import CHUNK_ROWS
from db.partners.operations import EXPIRE, QUEUE_MISSING_COMPARISONS, compare, deliver
from jobs.core.declare import WorkerServices, every, job

# Within the five minutes that a request is open.
DELIVERY_ATTEMPTS = 8
COMPARING_ATTEMPTS = 5


@job("deliver_partner_request", attempts=DELIVERY_ATTEMPTS)
async def deliver_partner_request(services: WorkerServices, *, request_id: UUID) -> None:
    """Tell the address's owner, so that asking a known and an unknown one takes the same."""
    await deliver(services.database, request_id)
    services.wake()


@job("compare_partners", attempts=COMPARING_ATTEMPTS)
async def compare_partners(
    database: Database, wake: Callable[[], None], *, one: UUID, other: UUID
) -> None:
    """Compare two partners by their newest profiles; both are told live."""
    await compare(database, one, other)
    wake()


@every("*/10 * * * *")
async def sweep_comparisons(database: Database) -> None:
    """Have partners compared who were brought by an import, or connected before this was done."""
    await call_as_service(database, QUEUE_MISSING_COMPARISONS(at_most=CHUNK_ROWS))


@every("* * * * *")
async def end_partner_requests(database: Database) -> None:
    """Expire requests, each chunk in its own transaction; both sides are told live."""
    while await call_as_service(database, EXPIRE(at_most=CHUNK_ROWS)) == CHUNK_ROWS:
        pass
