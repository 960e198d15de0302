"""Plans over the API: what the user sees and changes, what an error tells, what admins give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor

from ..conftest import MakeUser
from .conftest import Ask

SEEN = """{ viewer { plan { id } subscription {
  status plan { id } scheduledPlan { id } startedAt currentPeriodEnd graceEndsAt endedAt } } }"""
CHANGE = """mutation($plan: ID!) { changePlan(input: {planId: $plan}) {
  subscription { status scheduledPlan { id } }
  user { plan { id } }
  errors { code message path
    ... on PaymentRequired { amountCents currency credits periodEnd } } } }"""
CANCEL = "mutation { cancelPlan { subscription { status scheduledPlan { id } } errors { code } } }"
GIVE = """mutation($user: ID!, $plan: ID!, $until: DateTime, $key: String!) {
  givePlan(input: {
    userId: $user, planId: $plan, until: $until, reason: "a prize", idempotencyKey: $key}) {
    subscription { status currentPeriodEnd } user { plan { id } } errors { code path } } }"""


@pytest.fixture
async def actor(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """A member on the free plan."""
    actor = await make_user(credits=0)
    await owner.execute("update users set plan_id = 'free' where id = $1", actor.user_id)
    return actor


async def pay(owner: asyncpg.Connection, actor: Actor, plan: str = "pro") -> None:
    """The user has paid for a plan."""
    await owner.execute(
        "select app.start_plan($1, $2, null, $3)", actor.user_id, plan, str(uuid4())
    )


async def test_who_never_subscribed_has_a_plan_and_no_subscription(ask: Ask, actor: Actor) -> None:
    seen = (await ask(SEEN, actor=actor))["data"]["viewer"]
    assert seen == {"plan": {"id": "plan_free"}, "subscription": None}


async def test_a_plan_that_costs_more_says_what(ask: Ask, actor: Actor) -> None:
    payload = (await ask(CHANGE, {"plan": "pro"}, actor=actor))["data"]["changePlan"]
    (error,) = payload.pop("errors")
    assert payload == {"subscription": None, "user": None}
    period_end = datetime.fromisoformat(error.pop("periodEnd"))
    assert timedelta(days=27) < period_end - datetime.now(UTC) < timedelta(days=32)
    assert error == {
        "code": "PAYMENT_REQUIRED",
        "message": "This plan begins when it is paid. Make a checkout for it with `createCheckout`.",
        "path": ["input", "planId"],
        "amountCents": 1000,
        "currency": "USD",
        "credits": 100,
    }


async def test_a_paid_plan_is_seen_cancelled_and_taken_up_again(
    ask: Ask, actor: Actor, owner: asyncpg.Connection
) -> None:
    await pay(owner, actor)
    seen = (await ask(SEEN, actor=actor))["data"]["viewer"]
    assert seen["plan"] == seen["subscription"]["plan"] == {"id": "plan_pro"}
    assert seen["subscription"]["status"] == "ACTIVE"
    for _ in range(2):
        payload = (await ask(CANCEL, actor=actor))["data"]["cancelPlan"]
        assert payload == {
            "subscription": {"status": "CANCELLING", "scheduledPlan": {"id": "plan_free"}},
            "errors": [],
        }
    for plan in ("plan_pro", "pro"):
        payload = (await ask(CHANGE, {"plan": plan}, actor=actor))["data"]["changePlan"]
        assert payload["errors"] == []
        assert payload["subscription"] == {"status": "ACTIVE", "scheduledPlan": None}
        assert payload["user"] == {"plan": {"id": "plan_pro"}}
    actions = await owner.fetch(
        "select action from audit_log where user_id = $1 order by id", actor.user_id
    )
    assert [row["action"] for row in actions] == ["cancel_plan", "resume_plan"]


async def test_guests_choose_no_plan(ask: Ask, actor: Actor, owner: asyncpg.Connection) -> None:
    await owner.execute("update users set is_anonymous = true where id = $1", actor.user_id)
    answer = await ask(CHANGE, {"plan": "pro"}, actor=actor)
    assert answer["data"]["changePlan"] is None
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_stranger_sees_nothing_of_it(
    ask: Ask, actor: Actor, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    await pay(owner, actor)
    text = f'{{ node(id: "planSubscription_{actor.user_id}") {{ id }} }}'
    assert (await ask(text, actor=await make_user()))["data"] == {"node": None}
    assert (await ask(text, actor=actor))["data"]["node"] is not None


async def test_an_admin_gives_a_plan_once_and_takes_it_back(
    ask: Ask, actor: Actor, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    admin = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    until = (datetime.now(UTC) + timedelta(days=90)).isoformat()

    async def give(plan: str, key: str, until: str | None = None) -> Any:
        variables = {
            "user": f"user_{actor.user_id}", "plan": plan, "until": until, "key": key,
        }  # fmt: skip
        return (await ask(GIVE, variables, actor=admin))["data"]["givePlan"]

    for _ in range(2):
        given = await give("enterprise", "one", until)
        assert given["errors"] == []
        assert given["user"] == {"plan": {"id": "plan_enterprise"}}
        assert given["subscription"]["status"] == "ACTIVE"
    balance = "select balance from wallets where user_id = $1"
    assert await owner.fetchval(balance, actor.user_id) == 5000
    assert (await give("enterprise", "one"))["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert (await give("pro", "two", past))["errors"] == [
        {"code": "BAD_USER_INPUT", "path": ["input", "until"]}
    ]
    taken = await give("free", "three")
    assert taken["user"] == {"plan": {"id": "plan_free"}}
    assert taken["subscription"]["status"] == "ENDED"
    noted = await owner.fetch(
        "select detail ->> 'by' as by, detail ->> 'plan' as plan from audit_log"
        " where user_id = $1 and action = 'give_plan' order by id",
        actor.user_id,
    )
    assert [tuple(row) for row in noted] == [
        (f"user_{admin.user_id}", "plan_enterprise"),
        (f"user_{admin.user_id}", "plan_free"),
    ]


async def test_giving_plans_is_for_admins(ask: Ask, actor: Actor) -> None:
    variables = {"user": f"user_{actor.user_id}", "plan": "enterprise", "key": "k"}
    answer = await ask(GIVE, variables, actor=actor)
    assert answer["data"]["givePlan"] is None
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
