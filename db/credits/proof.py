"""The check that the ledger is consistent, wallet by wallet, and the alarm when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import call_rows
from db.core.pool import Database, Transaction
from db.credits.operations import LEDGER_DISCREPANCIES

WALLETS_AT_ONCE = 200
UNPROVEN = "the history is too long to be proven before the statement timeout"
# The record of a proof names so many discrepancies; the count of all is beside them.
DISCREPANCIES_KEPT = 100
FIRST_ID = UUID(int=0)

_NEXT_WALLETS = text("""
    select user_id from wallets where user_id > :after and updated_at >= :changed_since
    order by user_id limit :at_most
""")
_RECORD = text("""
    insert into ledger_proofs (started_at, wallets, faults, fault_count)
    values (:started_at, :wallets, :faults, :fault_count)
""")
# Every wallet is proven once a day, so a discrepancy shows until a day without it is over.
_STATE = text("""
    select coalesce((select max(fault_count) from ledger_proofs
                     where finished_at > now() - interval '25 hours'), 0) as discrepancies,
        (select extract(epoch from now() - max(finished_at))::integer from ledger_proofs)
            as age_seconds
""")
# An alarm is for every admin, whatever else they want to be told.
_TELL_ADMINS = text("""
    insert into notifications (user_id, type, title_key, message_key, data)
    select id, 'GENERAL', 'notifications.ledgerUnsound.title',
           'notifications.ledgerUnsound.message', :data
    from users where role = 'admin' and status = 'active'
""")


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something wrong in one user's books."""

    user_id: UUID
    discrepancy: str


@dataclass(frozen=True, slots=True)
class Proof:
    """How many wallets were looked at, and everything that is wrong with them."""

    wallets: int
    discrepancies: list[Discrepancy]


async def ledger_state(transaction: Transaction) -> dict[str, int | None]:
    """The most discrepancies that a proof of the last day found, and the age of the last one."""
    row = await transaction.fetch_one(_STATE)
    assert row is not None
    return dict(row)


async def prove_ledger(
    database: Database,
    changed_since: datetime | None = None,
    tell: Callable[[int], None] = lambda _wallets: None,
) -> Proof:
    """Looks over all wallets, or those that changed since; records what it found.

    `tell` is told after each part how many wallets have been looked at.

    Each part is one statement, so that it sees the ledger in one snapshot. Every admin is told of a
    discrepancy, too.
    """
    started_at = datetime.now(UTC)
    proof = await _look(database, changed_since or datetime.min.replace(tzinfo=UTC), tell)
    async with database.transaction(SERVICE) as transaction:
        await _record(transaction, started_at, proof)
    return proof


async def _look(database: Database, changed_since: datetime, tell: Callable[[int], None]) -> Proof:
    wallets, discrepancies, after = 0, list[Discrepancy](), FIRST_ID
    while True:
        async with database.transaction(SERVICE) as transaction:
            rows = await transaction.fetch_all(
                _NEXT_WALLETS, after=after, changed_since=changed_since, at_most=WALLETS_AT_ONCE
            )
        ids = [row["user_id"] for row in rows]
        wallets += len(ids)
        discrepancies += await _discrepancies_of(database, ids)
        tell(wallets)
        if len(ids) < WALLETS_AT_ONCE:
            return Proof(wallets, discrepancies)
        after = ids[-1]


async def _discrepancies_of(database: Database, ids: list[UUID]) -> list[Discrepancy]:
    """What is wrong with these wallets, in halves when one statement takes too long."""
    try:
        return await _find(database, ids) if ids else []
    except (asyncpg.QueryCanceledError, TimeoutError):
        if len(ids) == 1:
            return [Discrepancy(ids[0], UNPROVEN)]
    middle = len(ids) // 2
    return await _discrepancies_of(database, ids[:middle]) + await _discrepancies_of(
        database, ids[middle:]
    )


async def _find(database: Database, ids: list[UUID]) -> list[Discrepancy]:
    async with database.transaction(SERVICE) as transaction:
        rows = await call_rows(transaction, LEDGER_DISCREPANCIES(wallet_ids=ids))
    return [Discrepancy(row["user_id"], row["discrepancy"]) for row in rows]


async def _record(transaction: Transaction, started_at: datetime, proof: Proof) -> None:
    named: list[dict[str, Any]] = [
        {"userId": str(one.user_id), "discrepancy": one.discrepancy}
        for one in proof.discrepancies[:DISCREPANCIES_KEPT]
    ]
    await transaction.execute(
        _RECORD,
        started_at=started_at,
        wallets=proof.wallets,
        faults=named,
        fault_count=len(proof.discrepancies),
    )
    if proof.discrepancies:
        await transaction.execute(_TELL_ADMINS, data={"faults": len(proof.discrepancies)})
