"""`tallygraph reminders …`."""

import asyncio

import asyncpg
import typer

from cli.core.terminal import owner_url
from settings import get_settings

commands = typer.Typer(no_args_is_help=True, help="Reminders.")


@commands.callback()
def reminders() -> None:
    """Reminders."""


@commands.command("upkeep")
def upkeep() -> None:
    """What is done for them at night and on schedule."""
    from db.core.registry import models

    for expiry in models()["reminders"].expiries:
        typer.echo(expiry.name)
    for name in asyncio.run(scheduled()):
        typer.echo(name)


async def scheduled() -> list[str]:
    """The scheduled work whose name speaks of them."""
    owner = await asyncpg.connect(owner_url(get_settings()))
    try:
        rows = await owner.fetch("select name from scheduled_runs where name like '%reminders'")
    finally:
        await owner.close()
    return [row["name"] for row in rows]
