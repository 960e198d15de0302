"""Scheduled work on the ledger: credits run out, plans give theirs, keys go, and the ledger is verified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from db.core.actor import Actor
from db.core.pool import Database
from db.core.retention import purge
from db.credits import proof as proof_module
from db.credits.proof import Discrepancy, prove_ledger
from jobs.core.declare import declared_work
from jobs.credits import expire_credits, give_plan_credits, prove_recent_wallets
from jobs.generations import end_overdue_work

from ..conftest import MakeUser
from ..running import ROOT
from .ledger import Ledger, refused_with


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The functions, and the ledger as its owner reads it."""
    return Ledger(database, owner)


def test_all_of_it_is_scheduled() -> None:
    assert declared_work().schedule.keys() >= {
        "end_overdue_work",
        "expire_credits",
        "give_plan_credits",
        "prove_recent_wallets",
        "prove_all_wallets",
        "purge_old_rows",
    }


async def test_expired_credits_leave_a_wallet_that_nobody_moves(
    ledger: Ledger, make_user: MakeUser, database: Database
) -> None:
    actors = [await make_user(credits=1) for _ in range(3)]
    for actor in actors:
        await ledger.grant(actor, 5, "PLAN", days=1)
        await ledger.expire_grant(actor, 5)
    await expire_credits(database)
    for actor in actors:
        assert await ledger.wallet(actor) == (1, 0)
        assert (await ledger.history(actor))[-1] == ("EXPIRY", -5, 0, 1)
        await ledger.assert_sound(actor)


async def test_a_sweep_ends_more_than_it_looks_up_at_once(
    ledger: Ledger,
    make_user: MakeUser,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.credits.AT_ONCE", 2)
    actors = [await make_user(credits=3) for _ in range(5)]
    for actor in actors:
        await ledger.hold(actor, 1, "0 seconds")
        await ledger.hold(actor, 2, "0 seconds")
    await end_overdue_work(database)
    assert [await ledger.wallet(actor) for actor in actors] == [(3, 0)] * 5


# What would stop a sweep in one wallet, and the sweep that it would stop.
STUCK = [
    ("update wallets set held = 0 where user_id = $1", end_overdue_work),
    ("update wallets set balance = 0, held = 0 where user_id = $1", expire_credits),
    ("update wallets set balance = 1000000000 where user_id = $1", give_plan_credits),
]


@pytest.mark.parametrize(("damage", "sweep"), STUCK)
async def test_an_inconsistent_wallet_stops_no_other_wallets_sweep(
    ledger: Ledger,
    make_user: MakeUser,
    database: Database,
    owner: asyncpg.Connection,
    damage: str,
    sweep: Callable[[Database], Awaitable[None]],
) -> None:
    actors = [await make_user(credits=1) for _ in range(5)]
    victim = sorted(actors, key=lambda actor: str(actor.user_id))[0]
    for actor in actors:
        await owner.execute("update users set plan_id = 'pro' where id = $1", actor.user_id)
        await owner.execute(
            "update wallets set plan_credits_due_at = now() where user_id = $1", actor.user_id
        )
        await ledger.grant(actor, 5, "PURCHASE", days=1)
        await ledger.hold(actor, 1, "0 seconds")
        await ledger.expire_grant(actor, 5)
    before = await owner.fetchrow("select * from wallets where user_id = $1", victim.user_id)
    await owner.execute(damage, victim.user_id)
    with capture_logs() as logs:
        await sweep(database)
    stuck = [line["user_id"] for line in logs if line["event"] == "credits.wallet_stuck"]
    assert stuck == [str(victim.user_id)]
    await owner.execute(
        "update wallets set balance = $2, held = $3 where user_id = $1",
        victim.user_id,
        before["balance"],
        before["held"],
    )
    for sweep_all in (end_overdue_work, expire_credits, give_plan_credits):
        await sweep_all(database)
    for actor in actors:
        assert await ledger.wallet(actor) == (101, 0)
        await ledger.assert_sound(actor)


async def test_overdue_holds_are_released(
    ledger: Ledger, make_user: MakeUser, database: Database
) -> None:
    actor = await make_user(credits=5)
    await ledger.hold(actor, 2, "0 seconds")
    kept = await ledger.hold(actor, 1)
    await end_overdue_work(database)
    assert await ledger.wallet(actor) == (5, 1)
    await ledger.release(kept)
    await ledger.assert_sound(actor)


async def test_plans_credits_come_by_themselves(
    ledger: Ledger, make_user: MakeUser, database: Database, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    await owner.execute("update users set plan_id = 'pro' where id = $1", actor.user_id)
    await owner.execute(
        "update wallets set plan_credits_due_at = now() where user_id = $1", actor.user_id
    )
    await give_plan_credits(database)
    await give_plan_credits(database)
    assert await ledger.wallet(actor) == (101, 0)
    await ledger.assert_sound(actor)


async def test_keys_are_kept_for_thirty_days(
    ledger: Ledger, make_user: MakeUser, database: Database, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=10)
    first = await ledger.spend(actor, 1, "key")
    for days, again in ((29, True), (31, False)):
        await owner.execute(
            "update idempotency_keys set created_at = now() - make_interval(days => $2)"
            " where user_id = $1",
            actor.user_id,
            days,
        )
        _ = [gone async for gone in purge(database)]
        assert (await ledger.spend(actor, 1, "key") == first) is again


# Each makes books that only a fault of ours could make, and what is to be said of them.
COOKING = {
    "update wallets set balance = balance + 1 where user_id = $1": {
        "the wallet differs from its history",
        "the wallet differs from its grants and holds",
    },
    "update wallets set debt = debt + 1 where user_id = $1": {
        "what is owed differs from its entries"
    },
    "update wallets set held = held - 1 where user_id = $1": {
        "the wallet differs from its history",
        "the wallet differs from its grants and holds",
    },
    "update credit_grants set remaining = remaining - 1 where user_id = $1 and remaining > 1": {
        "a grant differs from its entries",
        "the wallet differs from its grants and holds",
    },
    "update credit_holds set amount = amount + 1 where user_id = $1 and status = 'OPEN'": {
        "a hold differs from its entries",
        "a hold differs from its parts",
        "the wallet differs from its grants and holds",
    },
    "update credit_holds set status = 'RELEASED', resolved_at = now()"
    " where user_id = $1 and status = 'OPEN'": {
        "a hold differs from its entries",
        "the wallet differs from its grants and holds",
    },
    "update credit_holds set expires_at = now() - interval '16 minutes'"
    " where user_id = $1 and status = 'OPEN'": {"a hold outlived its time by more than 15 minutes"},
    "update credit_grants set expires_at = now() - interval '61 minutes'"
    " where user_id = $1 and remaining > 1": {"a grant outlived its time by more than an hour"},
    "insert into credit_transactions (user_id, type, amount, balance_after)"
    " values ($1, 'SPEND', -1, 9)": {
        "a movement has no entries",
        "balance_after differs from the sum so far",
        "the wallet differs from its history",
    },
    "insert into credit_refund_parts (refund_id, position, spend_id, amount)"
    " select id, 9, id, 1 from credit_transactions where user_id = $1 and type = 'REFUND'": {
        "a refund differs from its parts"
    },
    "insert into credit_refund_parts (refund_id, position, spend_id, amount)"
    " select id, 9, id, 2 from credit_transactions where user_id = $1 and type = 'SPEND'": {
        "more was refunded than spent"
    },
    "alter table credit_transfers disable trigger user;"
    " delete from credit_transfers where sent_id in"
    " (select id from credit_transactions where user_id = '{}')": {
        "a transfer did not arrive as it was sent"
    },
    "alter table credit_transactions disable trigger user;"
    " update credit_transactions set used = used + 1 where user_id = '{}' and type = 'SPEND'": {
        "a movement differs from its entries"
    },
    "alter table credit_entries disable trigger user;"
    " update credit_entries set amount = amount + 1 where account = 'ISSUED' and transaction_id in"
    " (select id from credit_transactions where user_id = '{}')": {
        "the entries of a movement do not sum to zero"
    },
}


@pytest.mark.parametrize("cooking", COOKING)
async def test_every_kind_of_cooked_books_is_noticed(
    ledger: Ledger, make_user: MakeUser, owner: asyncpg.Connection, cooking: str
) -> None:
    actor, other = await make_user(credits=10), await make_user(credits=0)
    await ledger.hold(actor, 2)
    await ledger.refund(await ledger.spend(actor, 2), 1)
    await ledger.transfer(actor, other, 1)
    await ledger.assert_sound(actor)
    transaction = owner.transaction()
    await transaction.start()
    try:
        if "$1" in cooking:
            await owner.execute(cooking, actor.user_id)
        else:
            await owner.execute(cooking.format(actor.user_id))
        rows = await owner.fetch(
            "select discrepancy from app.ledger_discrepancies($1)", [actor.user_id]
        )
    finally:
        await transaction.rollback()
    assert {row["discrepancy"] for row in rows} == COOKING[cooking]


def test_every_discrepancy_has_its_cooked_books() -> None:
    sql = (ROOT / "db/credits/upkeep.sql").read_text()
    said = {part.split("'")[1] for part in sql.split("_id, ")[1:] if part.startswith("'")}
    assert said == set().union(*COOKING.values())


async def test_a_proof_is_recorded_and_a_discrepancy_told_to_the_admins(
    ledger: Ledger, make_user: MakeUser, database: Database, owner: asyncpg.Connection
) -> None:
    victim, admin = await make_user(credits=10), await make_user(credits=0)
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    await owner.execute("update wallets set balance = 11 where user_id = $1", victim.user_id)
    try:
        with capture_logs() as logs:
            await prove_recent_wallets(database)
    finally:
        await owner.execute("update wallets set balance = 10 where user_id = $1", victim.user_id)
        await owner.execute("update users set role = 'user' where id = $1", admin.user_id)
    assert [line["log_level"] for line in logs if line["event"] == "credits.proof_failed"] == [
        "error"
    ]
    faults = await owner.fetchval("select faults from ledger_proofs order by id desc limit 1")
    assert str(victim.user_id) in faults
    told = await owner.fetchval(
        "select title_key from notifications where user_id = $1", admin.user_id
    )
    assert told == "notifications.ledgerUnsound.title"


async def test_a_proof_of_all_looks_at_every_wallet_in_parts(
    make_user: MakeUser,
    database: Database,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        await make_user(credits=1)
    monkeypatch.setattr("db.credits.proof.WALLETS_AT_ONCE", 2)
    proof = await prove_ledger(database)
    assert proof.wallets == await owner.fetchval("select count(*) from wallets")
    recorded = await owner.fetchrow(
        "select wallets, fault_count from ledger_proofs order by id desc limit 1"
    )
    assert tuple(recorded) == (proof.wallets, len(proof.discrepancies))


async def test_long_histories_are_proven_in_smaller_parts_and_one_too_long_is_a_discrepancy(
    make_user: MakeUser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = [await make_user(credits=1) for _ in range(5)]
    long = actors[2].user_id
    look, parts = proof_module._find, list[list[UUID]]()

    async def slow(database: Database, ids: list[UUID]) -> list[Discrepancy]:
        if len(ids) > 2 or long in ids:
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")
        parts.append(ids)
        return await look(database, ids)

    monkeypatch.setattr(proof_module, "_find", slow)
    proof = await prove_ledger(database)
    assert [found for found in proof.discrepancies if found.user_id == long] == [
        Discrepancy(long, proof_module.UNPROVEN)
    ]
    assert sum(len(ids) for ids in parts) == proof.wallets - 1


async def test_an_unknown_user_has_no_wallet(ledger: Ledger) -> None:
    with refused_with("NOT_FOUND"):
        await ledger.grant(Actor("authenticated", uuid4()), 1)
