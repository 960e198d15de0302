"""Plans begin when they are paid, change, are cancelled, lapse and are refunded; credits follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database

from ..conftest import MakeUser
from .ledger import Ledger, refusal, refused_with
from .plans import BASIC, Plans


@pytest.fixture
async def plans(database: Database, owner: asyncpg.Connection) -> AsyncIterator[Plans]:
    """The functions, with a plan between the free one and the one of the demo's that is sold."""
    await owner.execute(BASIC)
    yield Plans(database, owner)
    for statement in (
        "update users set plan_id = null where plan_id = 'basic'",
        "delete from plan_subscriptions where 'basic' in (plan_id, scheduled_plan_id)",
        "delete from plan_periods where plan_id = 'basic'",
        "delete from plans where id = 'basic'",
    ):
        await owner.execute(statement)


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The ledger."""
    return Ledger(database, owner)


@pytest.fixture
async def actor(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """A member on the free plan, with nothing in the wallet."""
    actor = await make_user(credits=0)
    await owner.execute("update users set plan_id = 'free' where id = $1", actor.user_id)
    await owner.execute("insert into wallets (user_id) values ($1)", actor.user_id)
    return actor


async def test_a_payment_begins_a_plan_with_its_credits_once(
    plans: Plans, actor: Actor, ledger: Ledger
) -> None:
    begun = await plans.start(actor, "pro", reference=f"order {actor.user_id}")
    for _ in range(3):
        assert await plans.start(actor, "pro", reference=f"order {actor.user_id}") == begun
    row = await plans.subscription(actor)
    assert await plans.state(actor) == ("ACTIVE", "pro", None)
    assert row["due_at"] == row["current_period_end"]
    assert await plans.given(actor) == [("pro", 100)]
    assert await plans.told(actor) == ["planUpgraded"]
    await plans.pass_period(actor)
    assert await plans.balance(actor) == 0
    await ledger.assert_sound(actor)


async def test_an_unknown_plan_or_user_gets_nothing(plans: Plans, actor: Actor) -> None:
    with refused_with("NOT_FOUND"):
        await plans.start(actor, "gold")
    with refused_with("NOT_FOUND"):
        await plans.start(Actor("authenticated", actor.user_id and __import__("uuid").uuid4()))


async def test_a_renewal_goes_on_where_the_period_ends_by_the_calendar(
    plans: Plans, actor: Actor, owner: asyncpg.Connection
) -> None:
    await plans.start(actor)
    first = await plans.subscription(actor)
    await plans.start(actor)
    row = await plans.subscription(actor)
    assert row["current_period_end"] == await owner.fetchval(
        "select app.plan_month($1, 2)", first["started_at"]
    )
    assert await plans.given(actor) == [("pro", 100)]
    # The second month comes when the first is over, and only then.
    assert not await plans.month(actor)
    await plans.pass_time(actor, seconds=(row["due_at"] - datetime.now(UTC)).total_seconds() + 60)
    assert await plans.month(actor)
    assert not await plans.month(actor)
    assert await plans.given(actor) == [("pro", 100), ("pro", 100)]
    assert await plans.balance(actor) == 100


# A period of a year that began so many months ago, whose month's credits are due now.
IN_MONTH = (
    "update wallets set plan_credits_anchor_at = app.plan_month(now(), -$2), plan_credits_due_at ="
    " case when $2 < 12 then now() else app.plan_month(app.plan_month(now(), -$2), 12) end"
    " where user_id = $1 and $2::integer > 0",
    "update plan_periods set starts_at = app.plan_month(now(), -$2),"
    " ends_at = app.plan_month(app.plan_month(now(), -$2), 12)"
    " where user_id = $1 and $2::integer > 0",
)


async def test_a_year_gives_its_credits_month_by_month(
    plans: Plans, actor: Actor, owner: asyncpg.Connection
) -> None:
    await plans.start(actor, months=12)
    for month in range(1, 15):
        for statement in IN_MONTH:
            await owner.execute(statement, actor.user_id, month)
        assert await plans.month(actor) is (month < 12)
        assert not await plans.month(actor)
    # What the twelve gave is all: the thirteenth is not paid.
    assert await plans.given(actor) == [("pro", 100)] * 12


async def test_months_that_nobody_looked_at_are_not_made_up_for(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, months=12)
    await plans.pass_time(actor, days=100)
    assert await plans.month(actor)
    assert not await plans.month(actor)
    assert await plans.given(actor) == [("pro", 100)] * 2
    assert await plans.balance(actor) == 100


async def test_an_upgrade_in_mid_month_gives_the_difference_for_the_rest(
    plans: Plans, actor: Actor, owner: asyncpg.Connection, ledger: Ledger
) -> None:
    await plans.start(actor, "basic")
    await plans.pass_time(actor, days=14)
    row = await plans.subscription(actor)
    quote = await owner.fetchrow("select * from app.quote_plan($1, 'pro')", actor.user_id)
    part = (row["current_period_end"] - datetime.now(UTC)) / (
        row["current_period_end"] - row["current_period_start"]
    )
    assert quote["kind"] == "UPGRADE"
    assert abs(quote["amount_cents"] - 600 * part) <= 1
    await plans.start(actor, "pro", until=quote["paid_until"])
    assert await plans.state(actor) == ("ACTIVE", "pro", None)
    assert await plans.given(actor) == [("basic", 40), ("pro", quote["credits"])]
    assert 0 <= 60 * part - quote["credits"] < 1
    after = await plans.subscription(actor)
    assert after["current_period_end"] == row["current_period_end"]
    await plans.pass_period(actor)
    assert await plans.balance(actor) == 0
    assert await plans.settle(actor)
    assert await plans.state(actor) == ("PAST_DUE", "pro", None)
    await ledger.assert_sound(actor)


async def test_a_whole_month_of_a_higher_plan_begins_now(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, "basic")
    await plans.pass_time(actor, days=14)
    await plans.start(actor, "pro")
    row = await plans.subscription(actor)
    assert await plans.given(actor) == [("basic", 40), ("pro", 100)]
    assert row["current_period_end"] - row["current_period_start"] >= timedelta(days=28)


async def test_two_upgrades_at_once_give_one(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, "basic")
    await plans.pass_time(actor, days=1)
    until = (await plans.subscription(actor))["current_period_end"]
    periods = await asyncio.gather(
        *(plans.start(actor, "pro", until, reference=f"up {actor.user_id}") for _ in range(5))
    )
    assert len(set(periods)) == 1
    assert len(await plans.given(actor)) == 2
    # A second order of the same upgrade is a payment of its own: it counts beside the first.
    await plans.start(actor, "pro", until, reference=f"again {actor.user_id}")
    assert (await plans.subscription(actor))["current_period_end"] == until
    assert len(await plans.given(actor)) == 2


async def test_a_lower_plan_follows_when_the_period_ends(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, "pro")
    for _ in range(2):
        await plans.change(actor, "basic")
    assert await plans.state(actor) == ("ACTIVE", "pro", "basic")
    await plans.change(actor, "pro")
    assert await plans.state(actor) == ("ACTIVE", "pro", None)
    await plans.change(actor, "basic")
    await plans.pass_period(actor)
    await plans.settle(actor)
    assert await plans.state(actor) == ("PAST_DUE", "basic", None)
    await plans.start(actor, "basic")
    assert await plans.state(actor) == ("ACTIVE", "basic", None)
    assert await plans.given(actor) == [("pro", 100), ("basic", 40)]


async def test_a_lower_plan_that_is_paid_ahead_follows(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, "pro")
    await plans.start(actor, "basic")
    assert await plans.state(actor) == ("ACTIVE", "pro", "basic")
    with refused_with("INVALID_STATE"):
        await plans.change(actor, "pro")
    with refused_with("INVALID_STATE"):
        await plans.cancel(actor)
    await plans.pass_period(actor)
    assert await plans.settle(actor)
    assert await plans.state(actor) == ("ACTIVE", "basic", None)
    assert await plans.given(actor) == [("pro", 100), ("basic", 40)]
    assert await plans.balance(actor) == 40


async def test_a_cancelled_plan_ends_with_its_period(plans: Plans, actor: Actor) -> None:
    await plans.start(actor)
    for _ in range(2):
        await plans.cancel(actor)
    assert await plans.state(actor) == ("CANCELLING", "pro", "free")
    assert not await plans.settle(actor)
    await plans.change(actor, "pro")
    assert await plans.state(actor) == ("ACTIVE", "pro", None)
    await plans.change(actor, "free")
    await plans.pass_period(actor)
    assert await plans.settle(actor)
    assert await plans.state(actor) == ("ENDED", "free", None)
    assert await plans.given(actor) == [("pro", 100), ("free", 10)]
    assert await plans.balance(actor) == 10
    assert not await plans.settle(actor)


async def test_who_does_not_pay_lapses_after_the_grace(
    plans: Plans, actor: Actor, ledger: Ledger
) -> None:
    await plans.start(actor)
    assert await plans.remind(actor, timedelta(days=40))
    assert not await plans.remind(actor, timedelta(days=40))
    await plans.pass_period(actor)
    assert actor.user_id in await plans.due()
    assert await plans.settle(actor)
    assert not await plans.settle(actor)
    assert await plans.state(actor) == ("PAST_DUE", "pro", None)
    assert not await plans.month(actor)
    assert await plans.balance(actor) == 0
    await plans.pass_time(actor, days=7)
    assert await plans.settle(actor)
    assert await plans.state(actor) == ("ENDED", "free", None)
    assert await plans.given(actor) == [("pro", 100), ("free", 10)]
    assert await plans.told(actor) == [
        "planUpgraded", "planLapsesSoon", "planPastDue", "planLapsed",
    ]  # fmt: skip
    await ledger.assert_sound(actor)


async def test_a_payment_within_the_grace_goes_on_from_the_end(plans: Plans, actor: Actor) -> None:
    await plans.start(actor)
    await plans.pass_period(actor, days=3)
    await plans.settle(actor)
    ended = (await plans.subscription(actor))["current_period_end"]
    await plans.start(actor)
    row = await plans.subscription(actor)
    assert (row["status"], row["current_period_start"]) == ("ACTIVE", ended)
    assert await plans.given(actor) == [("pro", 100)] * 2


async def test_a_payment_after_the_lapse_begins_anew(plans: Plans, actor: Actor) -> None:
    await plans.start(actor)
    await plans.pass_period(actor, days=8)
    await plans.settle(actor)
    assert await plans.state(actor) == ("ENDED", "free", None)
    await plans.start(actor)
    row = await plans.subscription(actor)
    assert datetime.now(UTC) - row["started_at"] < timedelta(minutes=1)
    assert await plans.given(actor) == [("pro", 100), ("free", 10), ("pro", 100)]


async def test_a_payment_races_the_lapse(plans: Plans, actor: Actor, ledger: Ledger) -> None:
    await plans.start(actor)
    await plans.pass_period(actor, days=8)
    await asyncio.gather(plans.settle(actor), plans.start(actor), plans.month(actor))
    # Whoever is first: the plan is paid, and its month was given once.
    assert await plans.state(actor) == ("ACTIVE", "pro", None)
    assert (await plans.given(actor)).count(("pro", 100)) == 2
    await ledger.assert_sound(actor)


async def test_a_refund_takes_the_plan_and_what_is_left_of_its_credits(
    plans: Plans, actor: Actor, ledger: Ledger
) -> None:
    await ledger.grant(actor, 7, "PURCHASE")
    await plans.start(actor, reference=f"r {actor.user_id}")
    await ledger.spend(actor, 30)
    hold = await ledger.hold(actor, 10)
    assert await plans.end(actor, f"r {actor.user_id}") == 30
    assert await plans.end(actor, f"r {actor.user_id}") == 0
    assert await plans.state(actor) == ("ENDED", "free", None)
    assert await ledger.wallet(actor) == (17, 10)
    await ledger.release(hold)
    assert await plans.balance(actor) == 7
    # No month of the free plan before the one that was given would have ended.
    assert not await plans.month(actor)
    assert await plans.end(actor, "unknown") is None
    await ledger.assert_sound(actor)


async def test_a_refund_of_an_upgrade_leaves_the_plan_below(plans: Plans, actor: Actor) -> None:
    await plans.start(actor, "basic")
    await plans.pass_time(actor, days=5)
    until = (await plans.subscription(actor))["current_period_end"]
    await plans.start(actor, "pro", until, f"up {actor.user_id}")
    assert await plans.end(actor, f"up {actor.user_id}") == 0
    assert await plans.state(actor) == ("ACTIVE", "basic", None)
    assert await plans.balance(actor) == 40


async def test_a_refund_of_a_renewal_leaves_the_period_before(plans: Plans, actor: Actor) -> None:
    await plans.start(actor)
    before = (await plans.subscription(actor))["current_period_end"]
    await plans.start(actor, reference=f"next {actor.user_id}")
    await plans.end(actor, f"next {actor.user_id}")
    row = await plans.subscription(actor)
    assert (row["status"], row["current_period_end"]) == ("ACTIVE", before)


async def test_payments_told_of_in_another_order_come_to_the_same(
    plans: Plans, actor: Actor
) -> None:
    now = datetime.now(UTC)
    await plans.start(actor, "pro", now + timedelta(days=30))
    await plans.start(actor, "pro", now + timedelta(days=90))
    await plans.start(actor, "pro", now + timedelta(days=60))
    row = await plans.subscription(actor)
    assert row["current_period_end"] == now + timedelta(days=90)
    await plans.start(actor, "basic", now + timedelta(days=80))
    beside = await plans.subscription(actor)
    assert (beside["plan_id"], beside["current_period_end"]) == ("pro", row["current_period_end"])


async def test_what_is_paid_for_the_past_gives_nothing(plans: Plans, actor: Actor) -> None:
    with refused_with("INVALID_STATE"):
        await plans.start(actor, "pro", datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize("plan", ["pro", "basic"])
async def test_a_plan_of_a_higher_price_has_to_be_paid(
    plans: Plans, actor: Actor, plan: str
) -> None:
    with refused_with("PAYMENT_REQUIRED"):
        await plans.change(actor, plan)
    with refused_with("BAD_USER_INPUT"):
        await plans.change(actor, "enterprise")
    await plans.cancel(actor)
    await plans.change(actor, "free")
    assert await plans.subscription(actor) is None


async def test_changes_at_once_have_one_order(plans: Plans, actor: Actor) -> None:
    await plans.start(actor)
    results = await asyncio.gather(
        *(plans.change(actor, plan) for plan in ("basic", "free", "pro") * 3),
        plans.cancel(actor),
        return_exceptions=True,
    )
    assert [refusal(r) for r in results if r is not None] == []
    assert (await plans.state(actor)) in {
        ("ACTIVE", "pro", None), ("ACTIVE", "pro", "basic"), ("CANCELLING", "pro", "free"),
    }  # fmt: skip


async def test_every_notification_of_plans_has_its_texts(owner: asyncpg.Connection) -> None:
    said = {
        f"notifications.{name}.{part}"
        for name in ("planUpgraded", "planLapsesSoon", "planPastDue", "planLapsed", "creditsLow")
        for part in ("title", "message")
    }
    rows = await owner.fetch(
        "select key, count(*) as locales from translations where key = any ($1) group by key",
        list(said),
    )
    assert {row["key"]: row["locales"] for row in rows} == dict.fromkeys(said, 10)


async def test_a_notification_names_the_plan_by_the_key_of_its_text(
    plans: Plans, actor: Actor, owner: asyncpg.Connection
) -> None:
    await plans.start(actor, "basic")
    await plans.start(actor, "pro")
    rows = await owner.fetch(
        "select data from notifications where user_id = $1 order by created_at", actor.user_id
    )
    assert [json.loads(row["data"]) for row in rows] == [
        {"plan": "Basic", "credits": 40},
        {"planKey": "plan.pro.name", "credits": 100},
    ]


# What is given at first, what is done, and how often the user has been told of low credits by then.
LOW = [
    (10, [("spend", 4), ("spend", 1), ("spend", 1)], [0, 1, 1]),
    (10, [("hold", 5), ("spend", 1)], [1, 1]),
    (10, [("spend", 10)], [1]),
    (6, [("hold", 1), ("release", 0), ("hold", 1)], [1, 1, 1]),
    (6, [("spend", 1), ("grant", 10), ("spend", 9), ("spend", 1), ("spend", 5)], [1, 1, 1, 2, 2]),
    (5, [("spend", 1)], [0]),
    (3000, [("spend", 1500), ("spend", 1495)], [0, 1]),
]


@pytest.mark.parametrize(("credits", "steps", "told"), LOW)
async def test_low_credits_are_told_of_once_for_each_crossing(
    plans: Plans,
    ledger: Ledger,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    credits: int,
    steps: list[tuple[str, int]],
    told: list[int],
) -> None:
    await owner.execute("select app.set_low_balance(5)")
    actor = await make_user(credits=credits)
    holds = []
    for (step, amount), times in zip(steps, told, strict=True):
        if step == "hold":
            holds.append(await ledger.hold(actor, amount))
        elif step == "release":
            await ledger.release(holds[-1])
        elif step == "grant":
            await ledger.grant(actor, amount)
        else:
            await ledger.spend(actor, amount)
        assert (await plans.told(actor)) == ["creditsLow"] * times, (step, amount)


async def test_nobody_is_told_of_low_credits_where_the_bound_is_none(
    plans: Plans, ledger: Ledger, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    await owner.execute("select app.set_low_balance(0)")
    actor = await make_user(credits=6)
    await ledger.spend(actor, 6)
    assert await plans.told(actor) == []
    await owner.execute("select app.set_low_balance(5)")


async def test_spends_at_once_tell_of_low_credits_once(
    plans: Plans, ledger: Ledger, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    await owner.execute("select app.set_low_balance(5)")
    actor = await make_user(credits=10)
    await asyncio.gather(*(ledger.spend(actor, 1) for _ in range(10)))
    assert await plans.told(actor) == ["creditsLow"]


async def test_an_order_in_a_paid_period_costs_the_difference_for_what_is_left(
    plans: Plans, actor: Actor, owner: asyncpg.Connection, ledger: Ledger
) -> None:
    await owner.execute(
        "insert into products (id, name, kind, plan_id)"
        " values ('basic-month', 'Basic', 'PLAN', 'basic')"
    )
    await owner.execute(
        "insert into product_prices (product_id, provider, amount_cents, currency, billing_interval)"
        " values ('basic-month', 'sandbox', 400, 'USD', 'MONTH')"
    )
    try:
        assert (await opened(owner, actor, "basic-month"))["amount_cents"] == 400
        await plans.start(actor, "basic")
        await plans.pass_time(actor, days=14)
        row = await plans.subscription(actor)
        part = (row["current_period_end"] - datetime.now(UTC)) / (
            row["current_period_end"] - row["current_period_start"]
        )
        order = await opened(owner, actor, "pro-month")
        assert order["paid_until"] == row["current_period_end"]
        assert 0 <= order["amount_cents"] - 600 * part <= 1
        await owner.execute(
            "select app.apply_payment('sandbox', $1, jsonb_build_object('type', 'PaymentSucceeded',"
            " 'payment_id', $2::text, 'amount_cents', $3::integer, 'currency', 'USD', 'references', '[]'::jsonb))",
            order["id"], str(order["id"]), order["amount_cents"],
        )  # fmt: skip
        assert await plans.state(actor) == ("ACTIVE", "pro", None)
        (basic, pro) = await plans.given(actor)
        assert basic == ("basic", 40)
        assert 0 <= 60 * part - pro[1] < 1
        after = await plans.subscription(actor)
        assert after["current_period_end"] == row["current_period_end"]
        # The next one is a month.
        assert (await opened(owner, actor, "pro-month"))["amount_cents"] == 1000
        await ledger.assert_sound(actor)
    finally:
        await owner.execute("delete from orders where product_id = 'basic-month'")
        await owner.execute("delete from product_prices where product_id = 'basic-month'")
        await owner.execute("delete from products where id = 'basic-month'")


async def opened(owner: asyncpg.Connection, actor: Actor, product: str) -> asyncpg.Record:
    """An order that the user opens for a product."""
    async with owner.transaction():
        await owner.execute("select set_config('app.user_id', $1, true)", actor.user_claim)
        return await owner.fetchrow(
            "select * from app.open_order($1, 'sandbox', null, null, gen_random_uuid()::text)",
            product,
        )


async def test_an_upgrade_costs_whole_units_where_there_are_no_others(
    plans: Plans, actor: Actor, owner: asyncpg.Connection
) -> None:
    await plans.start(actor, "basic")
    await plans.pass_time(actor, days=14)
    attempt = owner.transaction()
    await attempt.start()
    try:
        await owner.execute("update plans set currency = 'JPY' where id in ('basic', 'pro')")
        await owner.execute(
            "insert into products (id, name, kind, plan_id) values ('yen-b', 'B', 'PLAN', 'basic'),"
            " ('yen-p', 'P', 'PLAN', 'pro')"
        )
        await owner.execute(
            "insert into product_prices (product_id, provider, amount_cents, currency, billing_interval)"
            " values ('yen-b', 'stripe', 40000, 'JPY', 'MONTH'), ('yen-p', 'stripe', 99900, 'JPY', 'MONTH')"
        )
        cents = await owner.fetchval(
            "select u.amount_cents from product_prices p, app.upgrade_at_provider($1, 'pro', p) u"
            " where p.product_id = 'yen-p'",
            actor.user_id,
        )
        exact = await owner.fetchval(
            "select amount_cents from app.quote_plan($1, 'pro', 99900, 40000)", actor.user_id
        )
    finally:
        await attempt.rollback()
    assert cents % 100 == 0
    assert 0 <= cents - exact < 100
