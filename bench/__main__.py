"""`python -m bench`: measures, prints, and with `--write` renews docs/benchmarks.md."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.measure import Options, measure
from bench.report import show, write

DEFAULTS = Options()


def main(
    rounds: Annotated[int, typer.Option(help="How often each server's turn comes.")] = (
        DEFAULTS.rounds
    ),
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = DEFAULTS.seconds,
    users: Annotated[int, typer.Option(help="People in the database.")] = DEFAULTS.users,
    connections: Annotated[int, typer.Option(help="Connections that send requests.")] = (
        DEFAULTS.connections
    ),
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks.md and its chart.")
    ] = False,
) -> None:
    """Compares Tallygraph with a bare ASGI app that runs the same SQL, in one interleaved run."""
    console = Console(highlight=False)
    options = Options(users, min(users, DEFAULTS.busy_users), connections, rounds, seconds)
    report = asyncio.run(
        measure(options, lambda line: console.print(f"[dim]{line}[/dim]")),
        loop_factory=uvloop.new_event_loop,
    )
    show(report, console)
    if write_files:
        write(report)
        console.print("Wrote docs/benchmarks.md and docs/benchmarks.svg")


if __name__ == "__main__":
    typer.run(main)
