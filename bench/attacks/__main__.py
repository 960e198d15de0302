"""`python -m bench.attacks`: attacks a server beside honest users; `--write` renews the page."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.attacks.attackers import ATTACKS
from bench.attacks.measure import Lengths, measure
from bench.attacks.report import show, write

DEFAULTS = Lengths()
console = Console(highlight=False, width=160)


def main(
    attack_seconds: Annotated[float, typer.Option(help="How long each attack goes on.")] = (
        DEFAULTS.attack_seconds
    ),
    quiet_seconds: Annotated[float, typer.Option(help="How long users are alone before it.")] = (
        DEFAULTS.quiet_seconds
    ),
    only: Annotated[list[str] | None, typer.Option(help="The beginning of an attack's name.")] = (
        None
    ),
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/security.md and its chart.")
    ] = False,
) -> None:
    """Attacks a server in each way, from one address, beside twenty honest users."""
    chosen = tuple(
        name for name in ATTACKS if not only or any(name.startswith(start) for start in only)
    )
    if not chosen:
        raise typer.BadParameter(f"choose from: {'; '.join(ATTACKS)}", param_hint="--only")
    lengths = Lengths(quiet_seconds, attack_seconds)

    def say(line: str) -> None:
        console.print(line, style="dim")

    found = asyncio.run(measure(lengths, chosen, say), loop_factory=uvloop.new_event_loop)
    show(found, console)
    if write_files:
        write(found, lengths)
        console.print("Wrote docs/security.md and docs/security.svg")


if __name__ == "__main__":
    typer.run(main)
