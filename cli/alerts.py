"""`tallygraph alerts`: what is watched, what was measured last, and what is beyond its limit."""

from __future__ import annotations

import asyncio

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.core.terminal import owner_url, result_console
from settings import get_settings

commands = typer.Typer(help="Alerts: what is watched, and what is beyond its limit.")


@commands.callback(invoke_without_command=True)
def alerts() -> None:
    """Shows all alerts, those that fire first."""
    from db.monitoring.operating import read_alerts
    from db.monitoring.rules import ALERTS, shown

    rows = asyncio.run(read_alerts(owner_url(get_settings())))
    found = [row for row in rows if row["id"] in ALERTS]
    console = result_console()
    if not found:
        console.print("Nothing has been measured yet: a worker does it every minute.")
        return
    table = Table("Watched", "Measured", "Limit", "State", "Since (UTC)", box=SIMPLE_HEAD)
    for row in sorted(found, key=lambda row: row["status"] != "FIRING"):
        fires = row["status"] == "FIRING"
        table.add_row(
            ALERTS[row["id"]].title,
            shown(row["id"], row["measured"]),
            shown(row["id"], row["threshold"]),
            "[red]firing[/red]" if fires else "[green]ok[/green]",
            f"{row['changed_at']:%Y-%m-%d %H:%M}" if row["changed_at"] else "",
        )
    console.print(table)
