"""An operator reads what a user has of plans, and gives one; it is audited and done once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.core.pool import Database

Plans = Callable[..., Awaitable[str]]


@pytest.fixture
def plans(database: Database) -> Plans:
    """`await plans("show", …, status=0)` is what `tallygraph plans show …` prints."""

    async def run(*arguments: str, status: int = 0) -> str:
        runner = CliRunner(env={"COLUMNS": "160"})
        done = await asyncio.to_thread(runner.invoke, app, ["plans", *arguments])
        assert done.exit_code == status, done.output
        return done.output

    return run


async def test_a_plan_is_given_once_read_and_ended(plans: Plans, owner: asyncpg.Connection) -> None:
    email = f"{uuid4()}@example.test"
    await owner.execute(
        "with u as (insert into users (email, email_key) values ($1, $1) returning id)"
        " select app.grant_sign_up_bonus(id) from u",
        email,
    )
    assert "Nothing was paid for a plan yet." in await plans("show", email)
    for _ in range(2):
        said = await plans(
            "give", email, "pro", "--reason", "a prize", "--until", "2099-12-31", "--key", "k"
        )
        assert f"{email} has the plan Pro." in said
    rows = [
        re.sub(r"[\s│┃]+", " ", line).strip() for line in (await plans("show", email)).splitlines()
    ]
    assert rows[:4] == [email, "Plan Pro", "Subscription active", "Paid until 2100-01-01"]
    assert sum(" Pro given 100 given:" in row for row in rows) == 1
    noted = "select count(*) from audit_log l join users u on u.id = l.user_id where email = $1 and action = 'give_plan'"
    assert await owner.fetchval(noted, email) == 1
    assert "has the plan Free." in await plans("give", email, "free", "--reason", "over")
    assert "Subscription  ended" in await plans("show", email)
    assert "There is no such plan." in await plans("give", email, "gold", "--reason", "r", status=1)
    assert "Nobody has the e-mail" in await plans("show", "nobody@example.test", status=1)
