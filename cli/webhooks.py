"""`tallygraph webhooks …`: what payment providers delivered, and having it processed again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, fail, id_of, owner_url, result_console
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

commands = typer.Typer(no_args_is_help=True, help="What payment providers delivered.")

Webhook = Annotated[
    UUID,
    typer.Argument(
        help="The webhook: webhookEvent_… or its UUID.",
        parser=id_of("webhookEvent", "tallygraph webhooks list"),
    ),
]


@commands.command("list")
def list_command(
    status: Annotated[
        str | None, typer.Option(help="RECEIVED, PROCESSED, PARKED or QUARANTINED; all, unsaid.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
) -> None:
    """Lists deliveries, newest first."""
    from db.billing.operating import list_webhooks
    from db.webhooks.tables import WebhookStatus
    from payments.registry import MAKERS

    wanted = status.upper() if status else None
    if wanted is not None and wanted not in WebhookStatus.__members__:
        fail(f"There is no status {status}; there are: {', '.join(WebhookStatus.__members__)}.")
    if provider is not None and provider not in MAKERS:
        fail(f"There is no payment provider {provider}; there are: {', '.join(MAKERS)}.")
    found = asyncio.run(list_webhooks(owner_url(get_settings()), wanted, provider, limit))
    if not found:
        console.print("No webhooks.")
        return
    result_console().print(webhooks_table(found))


@commands.command("show")
def show(webhook: Webhook) -> None:
    """Prints one delivery as it came, and what became of it."""
    from db.billing.operating import read_webhook

    found = asyncio.run(read_webhook(owner_url(get_settings()), webhook))
    if found is None:
        fail(f"There is no webhook {webhook}. `tallygraph webhooks list` lists them.")
    for name in ("received_at", "provider", "kind", "event_id", "status", "reason", "detail"):
        _line(name, found[name])
    for name in ("verified", "deliveries", "attempts", "processed_at", "order_id", "waits_for"):
        _line(name, found[name])
    for name, value in json.loads(found["headers"]).items():
        _line(f"header {name}", value)
    _line("query", found["query"])
    typer.echo("")
    typer.echo(readable(found["body"]))


@commands.command("replay")
def replay(webhook: Webhook) -> None:
    """Has a delivery processed again that is quarantined, parked or waits; done ones stay done."""
    from db.billing.operating import read_webhook, replay_webhook

    url = owner_url(get_settings())
    if asyncio.run(replay_webhook(url, webhook)):
        console.print(f"{webhook} is queued; a worker processes it.", markup=False)
        return
    if asyncio.run(read_webhook(url, webhook)) is None:
        fail(f"There is no webhook {webhook}. `tallygraph webhooks list` lists them.")
    console.print(f"{webhook} has been processed; nothing was done again.", markup=False)


def webhooks_table(webhooks: list[Record]) -> Table:
    """The deliveries in one line each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("Received (UTC)", "Provider", "Kind", "Status", "Reason", "Times", "Id"):
        table.add_column(name, no_wrap=name not in ("Kind", "Reason"), overflow="fold")
    for webhook in webhooks:
        table.add_row(
            f"{webhook['received_at']:%Y-%m-%d %H:%M:%S}",
            Text(webhook["provider"]),
            Text(webhook["kind"]),
            webhook["status"],
            webhook["reason"] or "",
            str(webhook["deliveries"]),
            str(webhook["id"]),
        )
    return table


def readable(body: str) -> str:
    """A body of JSON with a line for each value, any other as it is; nothing moves the cursor."""
    try:
        return json.dumps(json.loads(body), indent=2)
    except ValueError:
        return "".join(c if c.isprintable() or c == "\n" else " " for c in body)


def _line(name: str, value: object) -> None:
    if value is not None and value != "":
        text = "".join(c if c.isprintable() else " " for c in str(value))
        typer.echo(f"{name.replace('_', ' ')}: {text}")
