"""Scheduled work on guests: the last writes of merged ones, and the end of those who stay away."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from db.core.actor import SERVICE
from db.core.outages import cannot_serve
from db.core.pool import Database
from db.core.retries import retried
from db.guests.operations import ENDED_AT_ONCE, end_idle, settle_merge, unsettled_merges
from jobs.core.declare import every
from settings import Settings

log = structlog.get_logger(__name__)


@every("* * * * *")
async def settle_merges(database: Database) -> None:
    """Move what guests wrote between their merge and the end of their tokens."""
    async with database.transaction(SERVICE) as transaction:
        guests = await unsettled_merges(transaction)
    for guest_id in guests:
        await _settle(database, guest_id)


async def _settle(database: Database, guest_id: UUID) -> None:
    """Settles one merge; a fault in it is an error in the log, an outage is raised."""

    async def attempt() -> int:
        async with database.transaction(SERVICE) as transaction:
            return await settle_merge(transaction, guest_id)

    try:
        late = await retried(attempt)
    except asyncpg.PostgresError as error:
        if cannot_serve(error):
            raise
        log.error("guests.merge_stuck", guest_id=str(guest_id), fault=error)
    else:
        if late:
            log.info("late rows of merged guests moved", rows=late)


@every("43 3 * * *")
async def end_idle_guests(database: Database, settings: Settings) -> None:
    """Queue the erasing of guests who have used nothing for `GUEST_DAYS`."""
    ended = 0
    while found := await end_idle(database, timedelta(days=settings.guest_days)):
        ended += found
        if found < ENDED_AT_ONCE:
            break
    if ended:
        log.info("guests.ended", guests=ended)
