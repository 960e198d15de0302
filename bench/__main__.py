"""`python -m bench`: measures, prints, and with `--write` renews docs/benchmarks.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.house import MissingPeerError
from bench.measure import Options, Report, measure
from bench.report import show, write
from bench.workloads import PEERS, WORKLOADS

DEFAULTS = Options()
app = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    help="Compares Tallygraph with its peers in one interleaved run. "
    "Without a command it measures every workload.",
    pretty_exceptions_enable=False,
)


def chosen(given: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names that were given, in their usual order; all when none was."""
    wrong = set(given or ()) - set(known)
    if wrong:
        raise typer.BadParameter(f"{', '.join(sorted(wrong))}: choose from {', '.join(known)}")
    return tuple(name for name in known if not given or name in given)


@app.callback()
def main(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(help="How often each server's turn comes.")] = (
        DEFAULTS.rounds
    ),
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = DEFAULTS.seconds,
    users: Annotated[int, typer.Option(help="Users in the database.")] = DEFAULTS.users,
    connections: Annotated[int, typer.Option(help="Connections that send requests.")] = (
        DEFAULTS.connections
    ),
    only: Annotated[list[str] | None, typer.Option(help="A workload, such as Q1.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A peer to leave out.")] = None,
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks.md and its chart.")
    ] = False,
) -> None:
    """Measures every workload, unless a command names another measurement."""
    if context.invoked_subcommand is not None:
        return
    left_out = set(chosen(without, PEERS)) if without else set()
    options = Options(
        users=users,
        busy_users=min(users, DEFAULTS.busy_users),
        connections=connections,
        rounds=rounds,
        seconds=seconds,
        peers=tuple(peer for peer in PEERS if peer not in left_out),
        workloads=chosen(only, tuple(workload.name for workload in WORKLOADS)),
    )
    console = Console(highlight=False)
    report = run(options, console)
    show(report, console)
    if write_files:
        write(report)
        console.print("Wrote docs/benchmarks.md and docs/benchmarks.svg")


def progress(console: Console) -> Callable[[str], None]:
    """Says what is being done: on a terminal always in the same line."""
    if not console.is_terminal:
        return console.print
    return lambda line: console.print(f"\r\x1b[2K{line}", end="", style="dim", soft_wrap=True)


def run(options: Options, console: Console) -> Report:
    """The run, with a line that says what it is doing."""
    try:
        report = asyncio.run(
            measure(options, progress(console)), loop_factory=uvloop.new_event_loop
        )
    except MissingPeerError as missing:
        console.print(str(missing))
        raise typer.Exit(1) from None
    console.print()
    return report


if __name__ == "__main__":
    app()
