"""Scheduled work on the ledger: credits that expire, plans' credits, and the consistency check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from db.core.actor import SERVICE
from db.core.outages import cannot_serve
from db.core.pool import Database, Transaction
from db.core.retries import retried
from db.credits.operations import DEBTS, EXPIRED_GRANTS, OVERDUE_HOLDS, PLANS_MONTHS, Sweep
from db.credits.proof import Proof, prove_ledger
from jobs.core.declare import every

# So many wallets are looked up together; each is locked by itself.
AT_ONCE = 500
FIRST_ID = UUID(int=0)
# The hourly proof looks at a little more than an hour, so that two of them leave no gap.
RECENT = timedelta(minutes=70)

log = structlog.get_logger(__name__)


async def in_transaction[T](database: Database, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """The work in a transaction of the server's own, again after a deadlock."""

    async def attempt() -> T:
        async with database.transaction(SERVICE) as transaction:
            return await work(transaction)

    return await retried(attempt)


async def settle_all(database: Database, sweep: Sweep) -> int:
    """Settles every wallet that is due, each in a transaction of its own; returns what came of it.

    None of them waits for another: one that cannot be settled is reported and passed over.
    """
    settled, after = 0, FIRST_ID
    while True:
        users = await in_transaction(database, partial(sweep.next_users, after, AT_ONCE))
        for user_id in users:
            settled += await settle_one(database, sweep, user_id)
        if len(users) < AT_ONCE:
            return settled
        after = users[-1]


async def settle_one(database: Database, sweep: Sweep, user_id: UUID) -> int:
    """Settles one wallet; a fault in the books is an error in the log, an outage is raised."""
    try:
        return await in_transaction(database, partial(sweep.settle, user_id))
    except asyncpg.PostgresError as error:
        if cannot_serve(error):
            raise
        log.error("credits.wallet_stuck", user_id=str(user_id), fault=error)
        return 0


async def expire_holds(database: Database) -> int:
    """Release every hold whose time is over; returns how many."""
    return await settle_all(database, OVERDUE_HOLDS)


@every("* * * * *")
async def expire_credits(database: Database) -> None:
    """Take the grants whose time is over out of their wallets."""
    if wallets := await settle_all(database, EXPIRED_GRANTS):
        log.info("credits expired", wallets=wallets)


@every("* * * * *")
async def pay_debts(database: Database) -> None:
    """Pay what users owe with what has come back to them, such as holds that were released."""
    if wallets := await settle_all(database, DEBTS):
        log.info("debts paid", wallets=wallets)


@every("*/5 * * * *")
async def give_plan_credits(database: Database) -> None:
    """Give every user whose plan's month is over the next month's credits."""
    if users := await settle_all(database, PLANS_MONTHS):
        log.info("plan credits given", users=users)


@every("23 * * * *")
async def prove_recent_wallets(database: Database) -> None:
    """Prove the wallets that changed in the last hour."""
    report(await prove_ledger(database, datetime.now(UTC) - RECENT))


@every("41 2 * * *")
async def prove_all_wallets(database: Database) -> None:
    """Prove every wallet."""
    report(await prove_ledger(database))


def report(proof: Proof) -> None:
    """Says how a proof went; a discrepancy is an error, for whatever watches the logs."""
    if not proof.discrepancies:
        log.info("credits.proved", wallets=proof.wallets)
        return
    log.error("credits.proof_failed", wallets=proof.wallets, discrepancies=len(proof.discrepancies))
    for one in proof.discrepancies[:20]:
        log.error("credits.discrepancy", user_id=str(one.user_id), discrepancy=one.discrepancy)
