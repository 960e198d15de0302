"""`python -m bench.live`: measures, prints, and with `--write` renews docs/benchmarks-live.md."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.__main__ import chosen, say
from bench.deployment import MissingPeerError
from bench.live.figures import SERVERS, WRITERS, Options
from bench.live.measure import measure
from bench.live.report import show, write

DEFAULTS = Options()
console = Console(highlight=False)


def main(
    rounds: Annotated[int, typer.Option(help="How often each server's turn comes.")] = (
        DEFAULTS.rounds
    ),
    seconds: Annotated[float, typer.Option(help="How long events are committed.")] = (
        DEFAULTS.seconds
    ),
    subscribers: Annotated[
        list[int] | None, typer.Option(help="How many subscribe; may be given several times.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join((*SERVERS, WRITERS))}.")
    ] = None,
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks-live.md and its chart.")
    ] = False,
) -> None:
    """Compares live delivery with Strawberry's own handler and with graphql-ws on Node."""
    names = chosen(only, (*SERVERS, WRITERS)) or (*SERVERS, WRITERS)
    options = Options(
        servers=tuple(name for name in SERVERS if name in names),
        with_writers=WRITERS in names,
        subscribers=tuple(subscribers or DEFAULTS.subscribers),
        rounds=rounds,
        seconds=seconds,
    )
    try:
        report = asyncio.run(measure(options, say), loop_factory=uvloop.new_event_loop)
    except MissingPeerError as missing:
        console.print(f"\n{missing}")
        raise typer.Exit(1) from None
    console.print()
    show(report, console)
    if write_files:
        write(report)
        console.print("Wrote docs/benchmarks-live.md and docs/benchmarks-live.svg")


if __name__ == "__main__":
    typer.run(main)
