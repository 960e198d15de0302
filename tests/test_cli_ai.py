"""An operator sees what plans allow of language models, and sets it."""

from __future__ import annotations

import asyncio

import asyncpg
from typer.testing import CliRunner

from cli.main import app
from db.core.pool import Database

SET = [
    "set-budget",
    "analysis",
    "--answer",
    "100",
    "--context",
    "300",
    "--daily",
    "1000",
    "--held",
    "3",
]


async def ai(*arguments: str, status: int = 0) -> str:
    """What `tallygraph ai …` prints."""
    runner = CliRunner(env={"COLUMNS": "160"})
    done = await asyncio.to_thread(runner.invoke, app, ["ai", *arguments])
    assert done.exit_code == status, done.output
    return done.output


async def test_an_operator_sets_the_budget_of_a_plan(
    database: Database, owner: asyncpg.Connection
) -> None:
    named = ["--plan", "pro", "--model", "claude-haiku-4-5", "--per-credit", "500"]
    assert await ai(*SET, "--plan", "no-such-plan", status=1) == "There is no plan no-such-plan.\n"
    try:
        assert await ai(*SET, *named) == "analysis of pro is set.\n"
        lines = [line.split() for line in (await ai("budgets")).splitlines()]
        assert ["analysis", "pro", "claude-haiku-4-5", "100", "300", "1000", "3", "500"] in lines
        assert any(line[:3] == ["chat", "(all", "others)"] for line in lines)
    finally:
        await owner.execute("delete from ai_budgets where plan_id = 'pro'")
