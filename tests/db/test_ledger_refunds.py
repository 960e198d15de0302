"""Refunds go back to the grants they came from, and transfers move credits as they are."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database

from ..conftest import MakeUser
from .ledger import Ledger, refusal, refused_with


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The functions, and the ledger as its owner reads it."""
    return Ledger(database, owner)


async def test_a_refund_goes_back_to_the_very_grants(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 3, "PLAN", days=1)
    await ledger.grant(actor, 3, "PURCHASE")
    spend = await ledger.spend(actor, 5)
    await ledger.refund(spend, 3)  # the last taken first: two purchased, one of the plan's
    assert await ledger.remaining(actor) == [1, 3]
    await ledger.refund(spend)
    assert await ledger.remaining(actor) == [3, 3]
    assert (await ledger.history(actor))[2:] == [
        ("SPEND", -5, 0, 1),
        ("REFUND", 3, 0, 4),
        ("REFUND", 2, 0, 6),
    ]
    await ledger.assert_sound(actor)


async def test_a_captures_refund_is_of_what_was_captured(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 3, "PLAN", days=1)
    await ledger.grant(actor, 3, "PURCHASE")
    await ledger.capture(await ledger.hold(actor, 5), 4)
    assert await ledger.remaining(actor) == [0, 2]
    capture = await ledger.last(actor)
    with refused_with("BAD_USER_INPUT"):
        await ledger.refund(capture, 5)
    await ledger.refund(capture)
    assert await ledger.remaining(actor) == [3, 3]
    await ledger.assert_sound(actor)


async def test_what_an_expired_grant_had_paid_comes_back_with_the_time_it_had_left(
    ledger: Ledger, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 5, "PLAN", days=30)
    await ledger.grant(actor, 1, "PURCHASE")
    spend = await ledger.spend(actor, 6)
    # A month and a day later: what was spent a month ago would have lasted 30 days more then.
    await owner.execute("alter table credit_transactions disable trigger refuse_change")
    await owner.execute(
        "update credit_transactions set created_at = created_at - interval '31 days'"
        " where user_id = $1",
        actor.user_id,
    )
    await owner.execute("alter table credit_transactions enable trigger refuse_change")
    await owner.execute(
        "update credit_grants set expires_at = now() - interval '1 day'"
        " where user_id = $1 and source = 'PLAN'",
        actor.user_id,
    )
    await ledger.refund(spend)
    rows = await owner.fetch(
        "select source, remaining, expires_at - now() as lasts from credit_grants"
        " where user_id = $1 and remaining > 0 order by source",
        actor.user_id,
    )
    assert [(row["source"], row["remaining"]) for row in rows] == [("PURCHASE", 1), ("REFUND", 5)]
    assert abs(rows[1]["lasts"] - timedelta(days=30)) < timedelta(minutes=5)
    assert await ledger.wallet(actor) == (6, 0)
    await ledger.assert_sound(actor)


async def test_no_more_is_refunded_than_was_spent(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=10)
    spend = await ledger.spend(actor, 4)
    results = await asyncio.gather(
        *(ledger.refund(spend, 3) for _ in range(5)), return_exceptions=True
    )
    refused = [refusal(r) for r in results if isinstance(r, BaseException)]
    assert refused == ["BAD_USER_INPUT"] * 4
    await ledger.refund(spend)
    for amount in (None, 1):
        with refused_with("BAD_USER_INPUT"):
            await ledger.refund(spend, amount)
    assert await ledger.wallet(actor) == (10, 0)
    await ledger.assert_sound(actor)


async def test_a_refunds_key_gives_the_same_refund_again(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=10)
    spend = await ledger.spend(actor, 4)
    ids = await asyncio.gather(*(ledger.refund(spend, 2, "key") for _ in range(5)))
    assert len(set(ids)) == 1
    with refused_with("IDEMPOTENCY_CONFLICT"):
        await ledger.refund(spend, 1, "key")
    assert await ledger.wallet(actor) == (8, 0)


async def test_only_what_used_credits_is_refunded(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=10)
    spend = await ledger.spend(actor, 4)
    refund = await ledger.refund(spend)
    await ledger.hold(actor, 1)
    for movement in (uuid4(), refund, await ledger.last(actor)):
        with refused_with("NOT_FOUND"):
            await ledger.refund(movement)
    for amount in (0, -1, 5):
        with refused_with("BAD_USER_INPUT"):
            await ledger.refund(spend, amount)
    assert await ledger.wallet(actor) == (10, 1)


async def grants(owner: asyncpg.Connection, actor: Actor) -> list[tuple[str, int, bool]]:
    """Source, what is left, and whether it expires, of every grant of a user's."""
    rows = await owner.fetch(
        "select source, remaining, expires_at is not null as expires from credit_grants"
        " where user_id = $1 order by source, amount",
        actor.user_id,
    )
    return [tuple(row) for row in rows]


async def test_transferred_credits_keep_their_source_and_their_expiry(
    ledger: Ledger, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    giver, taker = await make_user(credits=0), await make_user(credits=2)
    await ledger.grant(giver, 3, "PLAN", days=1)
    await ledger.grant(giver, 3, "PURCHASE")
    sent = await ledger.transfer(giver, taker, 5, "key")
    assert await ledger.transfer(giver, taker, 5, "key") == sent
    assert await grants(owner, taker) == [
        ("ADMIN", 2, False),
        ("PLAN", 3, True),
        ("PURCHASE", 2, False),
    ]
    assert (await ledger.wallet(giver), await ledger.wallet(taker)) == ((1, 0), (7, 0))
    assert (await ledger.history(giver))[2:] == [("TRANSFER", -5, 0, 1)]
    assert (await ledger.history(taker))[1:] == [("TRANSFER", 5, 0, 7)]
    for actor in (giver, taker):
        await ledger.assert_sound(actor)


async def test_a_transfer_needs_two_users_and_credits_that_are_free(
    ledger: Ledger, make_user: MakeUser
) -> None:
    giver, taker = await make_user(credits=5), await make_user(credits=0)
    await ledger.hold(giver, 3)
    with refused_with("INSUFFICIENT_CREDITS"):
        await ledger.transfer(giver, taker, 3)
    with refused_with("BAD_USER_INPUT"):
        await ledger.transfer(giver, giver, 1)
    with refused_with("NOT_FOUND"):
        await ledger.transfer(giver, Actor("authenticated", uuid4()), 1)
    assert (await ledger.wallet(giver), await ledger.wallet(taker)) == ((5, 3), (0, 0))


async def test_transfers_in_both_directions_do_not_wait_for_each_other(
    ledger: Ledger, make_user: MakeUser
) -> None:
    one, other = await make_user(credits=30), await make_user(credits=30)
    await asyncio.gather(
        *(ledger.transfer(one, other, 1) for _ in range(25)),
        *(ledger.transfer(other, one, 1) for _ in range(25)),
    )
    assert (await ledger.wallet(one), await ledger.wallet(other)) == ((30, 0), (30, 0))
    for actor in (one, other):
        await ledger.assert_sound(actor)
