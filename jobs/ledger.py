"""What the clock does for the ledger: credits that run out, plans' credits, and the proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from db.actor import SERVICE
from db.credits.operations import expire_grants, grant_plan_credits, plan_credits_due
from db.credits.proof import Proof, prove_ledger
from db.pool import Database, Transaction
from db.retries import retried

# So many wallets are locked together: who spends from one of them waits for no more than these.
AT_ONCE = 100
# The hourly proof looks at a little more than an hour, so that two of them leave no gap.
RECENT = timedelta(minutes=70)

log = structlog.get_logger(__name__)


async def in_transaction[T](database: Database, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """The work in a transaction of the server's own, again after a deadlock."""

    async def attempt() -> T:
        async with database.transaction(SERVICE) as transaction:
            return await work(transaction)

    return await retried(attempt)


async def expire_credits(database: Database) -> None:
    """Take the grants whose time is over out of their wallets."""
    total = 0
    while wallets := await in_transaction(database, lambda t: expire_grants(t, AT_ONCE)):
        total += wallets
    if total:
        log.info("credits expired", wallets=total)


async def give_plan_credits(database: Database) -> None:
    """Give every user whose plan's month is over the next month's credits."""
    given = 0
    while due := await in_transaction(database, lambda t: plan_credits_due(t, AT_ONCE)):
        for user_id in due:
            given += await in_transaction(database, partial(grant_plan_credits, user_id=user_id))
    if given:
        log.info("plan credits given", users=given)


async def prove_recent(database: Database) -> None:
    """Prove the wallets that changed in the last hour."""
    report(await prove_ledger(database, datetime.now(UTC) - RECENT))


async def prove_all(database: Database) -> None:
    """Prove every wallet."""
    report(await prove_ledger(database))


def report(proof: Proof) -> None:
    """Says how a proof went; a fault is an error, for whatever watches the logs."""
    if not proof.faults:
        log.info("credits.proved", wallets=proof.wallets)
        return
    log.error("credits.proof_failed", wallets=proof.wallets, faults=len(proof.faults))
    for one in proof.faults[:20]:
        log.error("credits.fault", user_id=str(one.user_id), fault=one.fault)
