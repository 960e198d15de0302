"""An operator lists organizations, gives plans that were agreed on, and changes what plans allow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.core.pool import Database

from .conftest import MakeUser
from .workflows import found_organization

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def organizations(database: Database) -> Run:
    """`await organizations("list", …, status=0)` is what the command prints."""

    async def run(*arguments: str, status: int = 0) -> str:
        runner = CliRunner(env={"COLUMNS": "200"})
        done = await asyncio.to_thread(runner.invoke, app, ["organizations", *arguments])
        assert done.exit_code == status, done.output
        return done.output

    return run


async def test_a_plan_is_agreed_on_and_the_month_begins_on_another_day(
    organizations: Run, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    made = await found_organization(owner, actor, plan="free")
    email = await owner.fetchval("select email from users where id = $1", actor.user_id)
    assert str(made) in await organizations("list", email)
    assert str(made) not in await organizations("list", "no such name")
    shown = await organizations("show", f"organization_{made}")
    assert [line.split()[:3] for line in shown.splitlines() if line.split()[:1] == ["calls"]] == [
        ["calls", "50", "0"]
    ]
    reason = ("--reason", "a contract")
    assert "no such plan" in await organizations("give-plan", str(made), "nope", *reason, status=1)
    await organizations("give-plan", str(made), "enterprise", *reason)
    await organizations("reset-day", str(made), "17")
    row = await owner.fetchrow(
        "select plan_id, usage_reset_day from organizations where id = $1", made
    )
    assert tuple(row) == ("enterprise", 17)
    noted = await owner.fetch(
        "select action, subject from organization_audit_log where organization_id = $1 order by id",
        made,
    )
    assert [tuple(one) for one in noted] == [
        ("give_plan", "enterprise"),
        ("set_usage_reset_day", None),
    ]
    await organizations("reset-day", str(made), "29", status=2)
    await organizations("show", str(uuid4()), status=1)
    await organizations("show", "nope", status=1)


async def test_a_plan_that_a_provider_renews_is_not_given_over(
    organizations: Run, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    made = await found_organization(owner, await make_user(), plan="starter")
    await owner.execute(
        "insert into provider_subscriptions (organization_id, provider, plan_id, billing_interval, status)"
        " values ($1, 'stripe', 'starter', 'MONTH', 'PENDING')",
        made,
    )
    await owner.execute(
        "update provider_subscriptions set status = 'ACTIVE', provider_subscription_id = $2"
        " where organization_id = $1",
        made, str(made),
    )  # fmt: skip
    refused = await organizations("give-plan", str(made), "pro", "--reason", "r", status=1)
    assert "has a subscription" in refused


async def test_plans_are_data(organizations: Run, owner: asyncpg.Connection) -> None:
    limits = ("--workflows", "2", "--calls", "70", "--campaigns", "-1", "--seats", "3")
    try:
        for price in ("900", "1100"):
            await organizations(
                "save-plan", "studio", "--name", "Studio", *limits, "--month-cents", price
            )
        row = await owner.fetchrow("select * from organization_plans where id = 'studio'")
        assert (row["calls_per_month"], row["seats"], row["month_cents"]) == (70, 3, 1100)
        listed = await organizations("plans")
        assert any(
            {"studio", "70", "any", "11.00"} <= {*line.split()} for line in listed.splitlines()
        )
        refused = await organizations("save-plan", "st;udio", "--name", "S", *limits, status=1)
        assert "small letters and digits" in refused
    finally:
        await owner.execute("delete from organization_plans where name in ('Studio', 'S')")
