"""Scheduled work on referrals: codes of sign-ups are applied, and both sides rewarded."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import structlog

from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database
from db.core.retries import retried
from db.referrals.operations import BEGIN_CLAIMED, SETTLE, TAKE_BACK, due, refunded
from jobs.core.declare import WorkerServices, every

AT_ONCE = 500

log = structlog.get_logger(__name__)


@every("* * * * *")
async def reward_referrals(services: WorkerServices) -> None:
    """Reward both sides once the friend has bought or used something; take it back on refunds."""
    database = services.database
    while await call_as_service(database, BEGIN_CLAIMED(at_most=AT_ONCE)) == AT_ONCE:
        pass
    rewarded = await _each(database, SETTLE, await due(database, AT_ONCE))
    taken_back = await _each(database, TAKE_BACK, await refunded(database, AT_ONCE))
    if rewarded or taken_back:
        log.info("referrals rewarded", referrals=rewarded, taken_back=taken_back)
        services.wake()


async def _each(database: Database, function: SqlFunction[bool], ids: list[UUID]) -> int:
    """Calls a function for each referral; of how many something came."""
    done = 0
    for referral_id in ids:
        try:
            done += await retried(partial(call_as_service, database, function(wanted=referral_id)))
        except Exception as error:
            # Another run tries it again; it keeps no other waiting.
            log.exception(
                "referral.stuck", referral_id=str(referral_id), error=type(error).__name__
            )
    return done
