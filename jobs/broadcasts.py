"""Jobs of broadcasts: users are notified some at a time, with room for everything else between."""

from __future__ import annotations

import asyncio
from time import monotonic
from uuid import UUID

import structlog

from db.broadcasts import operations
from db.core.pool import Database
from db.core.retries import retried
from jobs.core.declare import RetryLater, WorkerServices, every, job

# A batch locks the quotas of its users, and the events of others wait for its end: about 10 ms.
USERS_AT_ONCE = 50
ACCOUNTS_LOOKED_AT = 1_000
# Then other jobs have the worker's place, and it waits behind them.
TURN_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def note_failure(database: Database, *, broadcast_id: UUID, error: Exception) -> None:
    """Notes a failure; the schedule tries again, until it has been too often."""
    has_failed = await operations.note_failure(database, broadcast_id)
    say = log.error if has_failed else log.warning
    say(
        "broadcast failed",
        broadcast_id=str(broadcast_id),
        for_good=has_failed,
        error=type(error).__name__,
    )


@job("send_broadcast", attempts=1, when_dead=note_failure)
async def send_broadcast(services: WorkerServices, *, broadcast_id: UUID) -> None:
    """Notify the next users of a broadcast; each batch is committed, so that another goes on."""
    if not await retried(lambda: operations.begin(services.database, broadcast_id)):
        return
    ends_at = monotonic() + TURN_SECONDS
    while await _send_batch(services, broadcast_id):
        if monotonic() > ends_at:
            raise RetryLater(0, "others have their turn")
    log.info("broadcast ended", broadcast_id=str(broadcast_id))


async def _send_batch(services: WorkerServices, broadcast_id: UUID) -> bool:
    """Notifies some users, then leaves the database to others for as long as that took."""
    began_at = monotonic()
    has_more = await retried(
        lambda: operations.send_batch(
            services.database,
            broadcast_id,
            at_most=USERS_AT_ONCE,
            window_size=ACCOUNTS_LOOKED_AT,
        )
    )
    services.wake()
    await asyncio.sleep(monotonic() - began_at)
    return has_more


@every("* * * * *")
async def resume_broadcasts(database: Database) -> None:
    """Put in line what has not ended and is not in line any more."""
    await operations.enqueue_unfinished(database)
