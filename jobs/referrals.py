"""Scheduled work on referrals: codes of sign-ups are applied, and both sides rewarded."""

from __future__ import annotations

from functools import partial

import structlog

from db.core.commands import call_as_service
from db.core.retries import retried
from db.referrals.operations import BEGIN_CLAIMED, SETTLE, due
from jobs.core.declare import WorkerServices, every

AT_ONCE = 500

log = structlog.get_logger(__name__)


@every("* * * * *")
async def reward_referrals(services: WorkerServices) -> None:
    """Reward both sides of referrals whose friend has bought or used something."""
    database = services.database
    while await call_as_service(database, BEGIN_CLAIMED(at_most=AT_ONCE)) == AT_ONCE:
        pass
    rewarded = 0
    for referral_id in await due(database, AT_ONCE):
        try:
            rewarded += await retried(
                partial(call_as_service, database, SETTLE(wanted=referral_id))
            )
        except Exception as error:
            # Another run tries it again; it keeps no other waiting.
            log.exception(
                "referral.stuck", referral_id=str(referral_id), error=type(error).__name__
            )
    if rewarded:
        log.info("referrals rewarded", referrals=rewarded)
        services.wake()
