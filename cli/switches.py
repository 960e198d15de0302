"""`tallygraph switches …`: how the product runs for everybody, and turning that."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.core.terminal import console, operator, owner_url, result_console, run
from cli.credits import minute
from settings import get_settings

commands = typer.Typer(help="Switches: what is on or off for everybody.")


class SwitchChoice(StrEnum):
    """Names of switches."""

    SYNC_ENABLED = "sync-enabled"
    CREDITS_UNLIMITED = "credits-unlimited"
    AI_ENABLED = "ai-enabled"
    READ_ONLY = "read-only"


ABOUT = {
    SwitchChoice.SYNC_ENABLED: "devices synchronize; off, they stay local",
    SwitchChoice.CREDITS_UNLIMITED: "no use of credits is charged; it is logged all the same",
    SwitchChoice.AI_ENABLED: "an AI can be asked",
    SwitchChoice.READ_ONLY: "maintenance: only admins change anything",
}


class Position(StrEnum):
    """How a switch stands."""

    ON = "on"
    OFF = "off"


@commands.callback(invoke_without_command=True)
def switches(
    context: typer.Context,
    changes: Annotated[int, typer.Option(min=0, max=1000, help="How many changes to show.")] = 5,
) -> None:
    """Lists the switches, and who turned them last."""
    if context.invoked_subcommand is not None:
        return
    from db.switches.administration import read_board

    state, turned = run(read_board(owner_url(get_settings()), changes))
    board = Table("Switch", "Now", "On means", box=SIMPLE_HEAD)
    for name, about in ABOUT.items():
        is_on = getattr(state, name.replace("-", "_"))
        board.add_row(name, "on" if is_on else "off", about)
    result_console().print(board)
    if turned:
        history = Table("Turned (UTC)", "Switch", "To", "By", "Why", box=SIMPLE_HEAD)
        for entry in turned:
            detail = json.loads(entry["detail"])
            history.add_row(
                minute(entry["created_at"]),
                detail["switch"].replace("_", "-"),
                "on" if detail["value"] else "off",
                detail.get("by", ""),
                detail.get("reason", ""),
            )
        result_console().print(history)


@commands.command("set")
def set_switch(
    name: Annotated[SwitchChoice, typer.Argument(help="Which switch.")],
    position: Annotated[Position, typer.Argument(help="on or off.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
) -> None:
    """Turns a switch for everybody; every process follows within five seconds."""
    from db.switches.administration import turn

    url, column = owner_url(get_settings()), name.value.replace("-", "_")
    run(turn(url, column, is_on=position is Position.ON, by=operator(), reason=reason.strip()))
    console.print(f"{name.value} is {position.value}.")
