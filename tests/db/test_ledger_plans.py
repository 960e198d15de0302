"""A plan gives credits each month and caps what may be used of them in a day; some have no limit."""

from __future__ import annotations

import asyncio

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.pool import Database

from ..conftest import MakeUser
from .ledger import Ledger, refusal, refused_with

FREE_MONTHLY, FREE_DAILY = 10, 5


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The functions, and the ledger as its owner reads it."""
    return Ledger(database, owner)


@pytest.fixture
async def subscriber(make_user: MakeUser, owner: asyncpg.Connection, ledger: Ledger) -> Actor:
    """A user of the plan `free`: 10 credits of it in the wallet, 5 of them for a day."""
    actor = await make_user(credits=0)
    await owner.execute("update users set plan_id = 'free' where id = $1", actor.user_id)
    await ledger.grant(actor, FREE_MONTHLY, "PLAN", days=30)
    return actor


async def yesterday(owner: asyncpg.Connection, actor: Actor) -> None:
    """Lets everything so far have happened a day earlier."""
    await owner.execute(
        "update wallets set daily_used_on = daily_used_on - 1 where user_id = $1", actor.user_id
    )
    await owner.execute(
        "update credit_holds set created_at = created_at - interval '1 day' where user_id = $1",
        actor.user_id,
    )


async def test_a_days_credits_are_used_once_and_there_again_the_next_day(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    await ledger.spend(subscriber, 3)
    with refused_with("DAILY_LIMIT_REACHED") as refused:
        await ledger.spend(subscriber, 3)
    detail = orjson.loads(refused.value.detail or "")
    midnight = await owner.fetchval(
        "select to_char(date_trunc('day', now() at time zone 'UTC') + interval '1 day',"
        """ 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    )
    assert detail == {"limit": 5, "remaining": 2, "resets_at": midnight}
    await ledger.spend(subscriber, 2)
    await yesterday(owner, subscriber)
    await ledger.spend(subscriber, 5)
    assert await ledger.wallet(subscriber) == (0, 0)
    await ledger.assert_sound(subscriber)


async def test_an_empty_wallet_is_no_matter_of_the_day(ledger: Ledger, subscriber: Actor) -> None:
    with refused_with("INSUFFICIENT_CREDITS"):
        await ledger.spend(subscriber, FREE_MONTHLY + 1)


@pytest.mark.parametrize("source", ["SIGNUP_BONUS", "PURCHASE", "ADMIN", "REFERRAL", "REFUND"])
async def test_what_was_bought_or_given_comes_on_top(
    ledger: Ledger, subscriber: Actor, source: str
) -> None:
    await ledger.grant(subscriber, 20, source)
    await ledger.spend(subscriber, 15)
    assert await ledger.remaining(subscriber) == [5, 10]
    await ledger.spend(subscriber, 10)
    with refused_with("DAILY_LIMIT_REACHED"):
        await ledger.spend(subscriber, 1)
    await ledger.assert_sound(subscriber)


async def test_without_a_plan_there_is_no_cap(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 20, "PLAN")
    await ledger.spend(actor, 20)


async def test_a_hold_counts_when_it_is_made_and_no_longer_when_it_is_released(
    ledger: Ledger, subscriber: Actor
) -> None:
    hold = await ledger.hold(subscriber, 4)
    with refused_with("DAILY_LIMIT_REACHED"):
        await ledger.hold(subscriber, 2)
    await ledger.release(hold)
    hold = await ledger.hold(subscriber, 5)
    await ledger.capture(hold, 2)
    await ledger.spend(subscriber, 3)
    with refused_with("DAILY_LIMIT_REACHED"):
        await ledger.spend(subscriber, 1)
    await ledger.assert_sound(subscriber)


async def test_yesterdays_hold_gives_nothing_back_to_today(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    hold = await ledger.hold(subscriber, 5)
    await yesterday(owner, subscriber)
    await ledger.spend(subscriber, 4)
    await ledger.release(hold)
    with refused_with("DAILY_LIMIT_REACHED"):
        await ledger.spend(subscriber, 2)
    await ledger.spend(subscriber, 1)


async def test_a_refund_of_today_gives_todays_credits_back(
    ledger: Ledger, subscriber: Actor
) -> None:
    spend = await ledger.spend(subscriber, 5)
    await ledger.refund(spend, 2)
    await ledger.spend(subscriber, 2)
    with refused_with("DAILY_LIMIT_REACHED"):
        await ledger.spend(subscriber, 1)
    await ledger.assert_sound(subscriber)


async def test_spends_at_once_do_not_pass_the_cap(ledger: Ledger, subscriber: Actor) -> None:
    results = await asyncio.gather(
        *(ledger.spend(subscriber, 1) for _ in range(20)), return_exceptions=True
    )
    refused = [refusal(r) for r in results if isinstance(r, BaseException)]
    assert refused == ["DAILY_LIMIT_REACHED"] * (20 - FREE_DAILY)
    assert await ledger.wallet(subscriber) == (FREE_MONTHLY - FREE_DAILY, 0)


async def test_an_unlimited_user_spends_without_debit_and_it_is_logged(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    await owner.execute(
        "update wallets set unlimited = true where user_id = $1", subscriber.user_id
    )
    spend = await ledger.spend(subscriber, 1_000)
    await ledger.capture(await ledger.hold(subscriber, 500), 200)
    await ledger.release(await ledger.hold(subscriber, 7))
    await ledger.refund(spend, 600)
    assert await ledger.wallet(subscriber) == (FREE_MONTHLY, 0)
    assert {line[1:] for line in await ledger.history(subscriber)} == {(10, 0, 10), (0, 0, 10)}
    used = await owner.fetch(
        "select type, used from credit_transactions where user_id = $1 and used <> 0"
        " order by created_at, id",
        subscriber.user_id,
    )
    assert [tuple(row) for row in used] == [("SPEND", 1_000), ("CAPTURE", 200), ("REFUND", -600)]
    with refused_with("BAD_USER_INPUT"):
        await ledger.refund(spend, 401)
    await ledger.assert_sound(subscriber)


async def test_a_hold_ends_as_it_was_made(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    async def set_unlimited(value: bool) -> None:
        await owner.execute(
            "update wallets set unlimited = $2 where user_id = $1", subscriber.user_id, value
        )

    limited = await ledger.hold(subscriber, 2)
    await set_unlimited(True)
    unlimited = await ledger.hold(subscriber, 100)
    await ledger.capture(limited, 1)
    await set_unlimited(False)
    await ledger.capture(unlimited, 100)
    assert await ledger.wallet(subscriber) == (FREE_MONTHLY - 1, 0)
    await ledger.assert_sound(subscriber)


async def due(owner: asyncpg.Connection, actor: Actor, ago: str) -> None:
    """Lets the plan's next credits have been due for a while."""
    await owner.execute(
        f"update wallets set plan_credits_due_at = now() - interval '{ago}' where user_id = $1",
        actor.user_id,
    )


async def test_a_plan_gives_its_credits_once_a_month_until_the_next(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    await due(owner, subscriber, "1 minute")
    given = await asyncio.gather(*(ledger.plan_credits(subscriber) for _ in range(5)))
    assert sorted(given) == [False, False, False, False, True]
    row = await owner.fetchrow(
        "select g.expires_at = w.plan_credits_due_at as together, g.expires_at > now() as later"
        " from wallets w join credit_grants g using (user_id)"
        " where user_id = $1 and reference_id = 'free'",
        subscriber.user_id,
    )
    assert tuple(row) == (True, True)
    assert await ledger.wallet(subscriber) == (2 * FREE_MONTHLY, 0)


async def test_months_that_nobody_looked_at_are_not_made_up_for(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    await due(owner, subscriber, "100 days")
    assert await ledger.plan_credits(subscriber)
    assert not await ledger.plan_credits(subscriber)
    assert await ledger.wallet(subscriber) == (2 * FREE_MONTHLY, 0)


async def test_who_left_the_plan_gets_nothing(
    ledger: Ledger, subscriber: Actor, owner: asyncpg.Connection
) -> None:
    await due(owner, subscriber, "1 minute")
    await owner.execute("update users set plan_id = null where id = $1", subscriber.user_id)
    assert not await ledger.plan_credits(subscriber)
    assert await ledger.wallet(subscriber) == (FREE_MONTHLY, 0)


@pytest.mark.parametrize("guest", [True, False])
async def test_signing_up_stands_for_the_first_month(
    make_user: MakeUser, owner: asyncpg.Connection, guest: bool
) -> None:
    actor = await make_user(credits=0)
    await owner.execute("update users set is_anonymous = $2 where id = $1", actor.user_id, guest)
    await owner.fetchval("select app.grant_sign_up_bonus($1)", actor.user_id)
    row = await owner.fetchrow(
        "select plan_credits_due_at = now() + interval '1 month' as a_month_later, balance"
        " from wallets where user_id = $1",
        actor.user_id,
    )
    assert row["balance"] == (3 if guest else 10)
    assert (row["a_month_later"] is None) == guest
