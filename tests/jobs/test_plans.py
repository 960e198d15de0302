"""The clock of plans: it settles who is due, goes on where a worker died, and stops for nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from db.core.actor import Actor
from db.core.pool import Database
from jobs import plans as clock
from jobs.core.declare import declared_work
from settings import Settings

from ..conftest import MakeUser
from ..db.ledger import Ledger
from ..db.plans import Plans


@pytest.fixture
def plans(database: Database, owner: asyncpg.Connection) -> Plans:
    """The functions of plans."""
    return Plans(database, owner)


async def lapsed(plans: Plans, make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """A user whose period was over a day ago."""
    actor = await make_user(credits=0)
    await owner.execute("update users set plan_id = 'free' where id = $1", actor.user_id)
    await plans.start(actor)
    await plans.pass_period(actor, days=1)
    return actor


def test_all_of_it_is_scheduled() -> None:
    work = declared_work()
    assert {"settle_plans", "remind_of_plans"} <= work.schedule.keys()
    assert clock.note_low_balance in work.on_connect


async def test_two_workers_settle_each_user_once(
    plans: Plans,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.credits.AT_ONCE", 2)
    actors = [await lapsed(plans, make_user, owner) for _ in range(5)]
    await asyncio.gather(*(clock.settle_plans(database, settings) for _ in range(3)))
    for actor in actors:
        assert await plans.state(actor) == ("PAST_DUE", "pro", None)
        assert (await plans.told(actor)).count("planPastDue") == 1
    at_once = settings.model_copy(update={"plan_grace_days": 0})
    for actor in actors:
        await plans.pass_time(actor, days=7)
    await clock.settle_plans(database, at_once)
    for actor in actors:
        assert await plans.state(actor) == ("ENDED", "free", None)


async def test_a_worker_that_dies_leaves_the_rest_to_the_next(
    plans: Plans,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actors = [await lapsed(plans, make_user, owner) for _ in range(4)]
    settled = 0

    async def dies(*arguments: object) -> int:
        nonlocal settled
        if settled == 2:
            raise asyncio.CancelledError
        settled += 1
        return await settle_one(*arguments)  # type: ignore[arg-type]

    from jobs.credits import settle_one

    monkeypatch.setattr("jobs.credits.settle_one", dies)
    with pytest.raises(asyncio.CancelledError):
        await clock.settle_plans(database, settings)
    monkeypatch.undo()
    await clock.settle_plans(database, settings)
    for actor in actors:
        assert await plans.state(actor) == ("PAST_DUE", "pro", None)
        assert (await plans.told(actor)).count("planPastDue") == 1


async def test_one_that_cannot_be_settled_stops_no_other(
    plans: Plans,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
) -> None:
    actors = [await lapsed(plans, make_user, owner) for _ in range(3)]
    stuck = min(actors, key=lambda actor: str(actor.user_id))
    ledger = Ledger(database, owner)
    await ledger.grant(stuck, 5, days=1)
    await ledger.expire_grant(stuck, 5)
    before = await owner.fetchval("select balance from wallets where user_id = $1", stuck.user_id)
    set_balance = "update wallets set balance = $2 where user_id = $1"
    await owner.execute(set_balance, stuck.user_id, 0)
    with capture_logs() as logs:
        await clock.settle_plans(database, settings)
    told = [line["user_id"] for line in logs if line["event"] == "credits.wallet_stuck"]
    assert told == [str(stuck.user_id)]
    await owner.execute(set_balance, stuck.user_id, before)
    await clock.settle_plans(database, settings)
    for actor in actors:
        assert (await plans.state(actor))[0] == "PAST_DUE"
        await ledger.assert_sound(actor)


async def test_users_are_reminded_once_before_the_end(
    plans: Plans,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
) -> None:
    soon, later = await make_user(credits=0), await make_user(credits=0)
    for actor in (soon, later):
        await plans.start(actor)
    await plans.pass_period(soon, seconds=-timedelta(days=2).total_seconds())
    for _ in range(2):
        await clock.remind_of_plans(database, settings)
    assert (await plans.told(soon)).count("planLapsesSoon") == 1
    assert "planLapsesSoon" not in await plans.told(later)
    # The next end is another one.
    await plans.start(soon)
    await clock.remind_of_plans(database, settings)
    assert (await plans.told(soon)).count("planLapsesSoon") == 1


async def test_workers_tell_the_ledger_when_credits_are_low(
    database: Database, owner: asyncpg.Connection, settings: Settings
) -> None:
    for bound in (9, 5):
        await clock.note_low_balance(
            database, settings.model_copy(update={"low_balance_credits": bound})
        )
        assert await owner.fetchval("select low_balance from credit_alerts") == bound
