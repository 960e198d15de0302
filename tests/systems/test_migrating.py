"""A server goes on serving while the release after it migrates the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from alembic import command
from alembic.config import Config
from structlog.testing import capture_logs

from db.core.functions import Function
from db.core.registry import metadata
from db.core.rereading import reread_name
from db.migrations import migrate as migrating
from db.migrations.functions import declared_functions, newest_revision
from db.migrations.migrate import alembic_config, migrate
from db.migrations.steps import VERSIONS
from settings import Settings
from tests.running import RunningServer

from .client import Client

NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", "{newest_revision()}"


def upgrade():
    op.add_column("wallets", sa.Column("motto", sa.Text(), nullable=True))
    op.grant("select (motto)", "wallets", "authenticated")


def downgrade():
    op.drop_column("wallets", "motto")
"""
OVERLOAD = "app.spend_credits(text, integer, text, text, text)"
REREAD = "app.reread_wallets_next"
READ = "{ viewer { id credits { balance } creditTransactions(first: 3) { nodes { amount } } } }"
SPEND = """mutation($key: String!) {
  spendCredits(input: {amount: 1, idempotencyKey: $key}) {
    viewer { credits { balance } creditTransactions(first: 1) { nodes { amount } } } errors { code message }
  }
}"""


def next_release() -> tuple[Function, ...]:
    """Ours, with a command that takes one argument more and a column more to read again."""

    def changed(function: Function) -> Function:
        match function.name:
            case "app.spend_credits":
                text = function.text.replace("spend_credits(", "spend_credits(note text, ", 1)
                return replace(function, signature=OVERLOAD, text=text)
            case name if name == f"app.{reread_name(metadata.tables['wallets'])}":
                text = function.text.replace("returns table (", "returns table (motto text, ")
                text = text.replace("select ", "select t.motto, ", 1).replace(name, REREAD)
                return replace(function, signature=f"{REREAD}(uuid)", text=text)
            case "app.schema_revision":
                return replace(function, text=function.text.replace(newest_revision(), "9999"))
        return function

    return tuple(map(changed, declared_functions()))


@pytest.fixture
async def owner(server: RunningServer) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the running server's database."""
    connection = await asyncpg.connect(server.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def settings_there(server: RunningServer) -> Settings:
    """The running server's settings."""
    return Settings(data_directory=server.data_directory)


@pytest.fixture
async def prepared(
    server: RunningServer,
    settings_there: Settings,
    owner: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """Has `migrate` be the next release's, and takes it back at the end."""

    def with_next(owner_url: str) -> Config:
        config = alembic_config(owner_url)
        config.set_main_option("version_locations", f"{VERSIONS}:{tmp_path}")
        return config

    (tmp_path / "9999_motto.py").write_text(NEXT)
    with monkeypatch.context() as patched:
        patched.setattr(migrating, "alembic_config", with_next)
        patched.setattr(migrating, "declared_functions", next_release)
        patched.setattr(migrating, "newest_revision", lambda: "9999")
        yield
    config = with_next(server.owner_url)
    await asyncio.to_thread(command.downgrade, config, newest_revision())
    await migrate(server.owner_url, settings_there)
    await owner.execute(f"drop function if exists {OVERLOAD}, {REREAD}(uuid)")


async def use(client: Client, ended: asyncio.Event, done: list[int]) -> None:
    """Reads and spends until the migration has ended, and a while longer; nothing is refused."""
    left = 10
    while left:
        left -= ended.is_set()
        spent = (await client.ask(SPEND, {"key": str(uuid4())}))["spendCredits"]
        assert spent["errors"] == []
        balance = spent["viewer"]["credits"]["balance"]
        assert spent["viewer"]["creditTransactions"]["nodes"] == [{"amount": -1}]
        assert (await client.ask(READ))["viewer"]["credits"]["balance"] == balance
        done.append(balance)


async def until_it_waits(migration: asyncio.Task[None]) -> None:
    """Until a migration has said that it found a table too busy to be locked."""
    with capture_logs() as logs:
        while not any(line["event"] == "migrate.tables_are_busy" for line in logs):
            assert not migration.done()
            await asyncio.sleep(0.05)


async def test_requests_are_answered_before_during_and_after_a_migration(
    server: RunningServer, settings_there: Settings, owner: asyncpg.Connection, prepared: None
) -> None:
    ended, done = asyncio.Event(), []
    async with httpx.AsyncClient(timeout=30) as http:
        clients = [Client(server.url, http) for _ in range(4)]
        for client in clients:
            await client.sign_up()
            user_id = (client.user_id or "").removeprefix("user_")
            await owner.execute("select app.grant_credits($1, 'ADMIN', 100000)", user_id)
        users = [asyncio.create_task(use(client, ended, done)) for client in clients]
        while len(done) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with owner.transaction():
            await owner.execute("lock table wallets in access share mode")
            migration = asyncio.create_task(migrate(server.owner_url, settings_there))
            await until_it_waits(migration)
        before = len(done)
        await migration
        ended.set()
        await asyncio.gather(*users)
    assert await owner.fetchval("select app.schema_revision()") == "9999"
    assert await owner.fetchval(f"select '{OVERLOAD}'::regprocedure::oid > 0")
    assert await owner.fetchval(f"select count(motto) from {REREAD}(null)") == 0
    assert len(done) > before
