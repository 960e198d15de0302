"""An operator sees how the switches stand and turns them; it is audited."""

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

Command = Callable[..., Awaitable[str]]


@pytest.fixture
def switches(database: Database) -> Command:
    """`await switches("set", …, status=0)` is what `tallygraph switches set …` prints."""

    async def run(*arguments: str, status: int = 0) -> str:
        runner = CliRunner(env={"COLUMNS": "160"})
        done = await asyncio.to_thread(runner.invoke, app, ["switches", *arguments])
        assert done.exit_code == status, done.output
        return done.output

    return run


async def test_an_operator_turns_a_switch_and_sees_who_did(
    switches: Command, owner: asyncpg.Connection
) -> None:
    why = f"test {uuid4()}"
    try:
        assert await switches("set", "ai-enabled", "off", "--reason", why) == "ai-enabled is off.\n"
        lines = [re.sub(r"\s+", " ", one).strip() for one in (await switches()).splitlines()]
        assert any(one.startswith("ai-enabled off ") for one in lines)
        assert any(one.startswith("sync-enabled on ") for one in lines)
        assert any("ai-enabled off" in one and why in one for one in lines)
        noted = "select count(*) from audit_log where action = 'set_switch' and detail ->> 'reason' = $1"
        assert await owner.fetchval(noted, why) == 1
    finally:
        await owner.execute("update switches set ai_enabled = true")


async def test_a_switch_that_there_is_not_is_said(switches: Command) -> None:
    assert "credits-unlimited" in await switches("set", "gold", "on", "--reason", "r", status=2)
