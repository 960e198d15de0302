"""`tallygraph webhooks …` and `payments show`, as an operator runs them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import app
from db.embedded.database import EmbeddedDatabase
from payments.inbox import WebhookInbox
from settings import Settings, get_settings

from .conftest import MakeUser
from .payments.conftest import Shop, open_shop

RUN = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture
async def sandbox_shop(database: Any, owner: Any, settings: Settings, make_user: MakeUser) -> Shop:
    """The shop that sells with the sandbox."""
    return await open_shop("sandbox", database, owner, settings, make_user)


@pytest.fixture
def run(cluster: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command beside the test's own loop; its status and what it prints."""
    monkeypatch.setenv("DATABASE_OWNER_URL", cluster.owner_url)
    get_settings.cache_clear()

    async def command(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(RUN.invoke, app, list(arguments))
        return done.exit_code, done.output

    yield command
    monkeypatch.undo()
    get_settings.cache_clear()


async def test_an_operator_looks_at_a_webhook_and_has_it_replayed(
    sandbox_shop: Shop, run: Any
) -> None:
    buyer = await sandbox_shop.buyer()
    told = await sandbox_shop.order(buyer)
    inbox = WebhookInbox(sandbox_shop.database, {}, is_production=False)
    await sandbox_shop.receive(sandbox_shop.driver.delivery("SUCCEEDED", told))
    webhook = (await sandbox_shop.webhook(told))["id"]
    await inbox.process(webhook)  # by a worker without the provider's secret
    status, listed = await run("webhooks", "list", "--status", "quarantined", "--limit", "1000")
    assert status == 0
    assert "PROVIDER_OFF" in listed
    assert str(webhook) in listed
    status, shown = await run("webhooks", "show", f"webhookEvent_{webhook}")
    assert status == 0
    for part in ("status: QUARANTINED", "its provider is not configured", told.payment, "header"):
        assert part in shown
    status, said = await run("webhooks", "replay", str(webhook))
    assert (status, "is queued" in said) == (0, True)
    await sandbox_shop.process()
    status, said = await run("webhooks", "replay", str(webhook))
    assert (status, "nothing was done again" in said) == (0, True)
    status, printed = await run("payments", "show", f"user_{buyer.user_id}")
    assert status == 0
    for part in ("credits-50", "5.00 USD", "PAID", "SUCCEEDED", told.payment, str(told.order_id)):
        assert part in printed


async def test_what_is_not_there_is_said(sandbox_shop: Shop, run: Any) -> None:
    for command in (
        ("webhooks", "show", str(uuid4())),
        ("webhooks", "replay", str(uuid4())),
        ("webhooks", "show", "none"),
        ("webhooks", "list", "--status", "none"),
        ("webhooks", "list", "--provider", "nobody"),
        ("payments", "show", f"{uuid4()}@example.test"),
    ):
        status, said = await run(*command)
        assert status == 1, command
        assert "Traceback" not in said
    buyer = await sandbox_shop.buyer()
    assert await run("payments", "show", f"user_{buyer.user_id}") == (0, "No orders.\n")
