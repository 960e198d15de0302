"""`python -m bench`: measures, prints, and with `--write` renews docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from bench.deployment import Deployment, MissingPeerError, open_deployment
from bench.figures import Options, Round, speed
from bench.licences import main as measure_licences
from bench.measure import measure
from bench.membership import MEMBERS, measure_membership
from bench.memory import measure_memory
from bench.organizations import measure_organizations
from bench.report import show, write
from bench.slow_clients import WITH, WITHOUT, measure_slow_clients
from bench.workloads import NAMES, PEERS, TALLYGRAPH

DEFAULTS = Options()
app = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    help="Compares Tallygraph with its peers. Without a command it measures every workload.",
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


def chosen(given: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names that were given, in their usual order."""
    wrong = set(given or ()) - set(known)
    if wrong:
        raise typer.BadParameter(f"{', '.join(sorted(wrong))}: choose from {', '.join(known)}")
    return tuple(name for name in known if name in (given or ()))


def say(line: str) -> None:
    """What is being done: on a terminal always in the same line."""
    if console.is_terminal:
        console.print(f"\r\x1b[2K{line}", end="", style="dim", soft_wrap=True)
    else:
        console.print(line)


def run[Found](
    options: Options,
    measurement: Callable[[Deployment], Coroutine[Any, Any, Found]],
    peers: tuple[str, ...] = (),
) -> Found:
    """Starts everything and runs a measurement to its end."""

    async def whole() -> Found:
        say("Starting and filling a database, starting the servers")
        async with open_deployment(options.users, options.busy_users, peers) as deployment:
            return await measurement(deployment)

    try:
        found = asyncio.run(whole(), loop_factory=uvloop.new_event_loop)
    except MissingPeerError as missing:
        console.print(f"\n{missing}")
        raise typer.Exit(1) from None
    console.print()
    return found


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
    documents: Annotated[int, typer.Option(help="Documents in the rotation of D2.")] = (
        DEFAULTS.different_documents
    ),
    only: Annotated[list[str] | None, typer.Option(help="A workload, such as Q1.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A peer to leave out.")] = None,
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks.md and its chart.")
    ] = False,
) -> None:
    """Measures every workload, unless a command names another measurement."""
    left_out = chosen(without, PEERS)
    options = context.obj = Options(
        users=users,
        busy_users=min(users, DEFAULTS.busy_users),
        connections=connections,
        rounds=rounds,
        seconds=seconds,
        peers=tuple(peer for peer in PEERS if peer not in left_out),
        workloads=chosen(only, NAMES) or NAMES,
        different_documents=documents,
    )
    if context.invoked_subcommand is not None:
        return
    report = run(options, lambda deployment: measure(deployment, options, say), options.peers)
    show(report, console)
    if write_files:
        write(report)
        console.print("Wrote docs/benchmarks.md and docs/benchmarks.svg")


@app.command("memory")
def memory(
    context: typer.Context,
    documents: Annotated[int, typer.Option(help="How many different documents.")] = 100_000,
) -> None:
    """How much our memory grows over documents that were never seen before."""
    before, after = run(context.obj, lambda deployment: measure_memory(deployment, documents, say))
    console.print(
        f"{documents:,} different documents: {before:.1f} MiB before, {after:.1f} MiB after, "
        f"{after - before:+.1f} MiB"
    )


@app.command("slow-clients")
def slow_clients(
    context: typer.Context,
    clients: Annotated[int, typer.Option(help="How many slow clients.")] = 500,
) -> None:
    """The p99 of Q1 while others send their requests a byte a second, and without them."""
    options = context.obj
    result = run(
        options, lambda deployment: measure_slow_clients(deployment, options, clients, say)
    )

    def p99(one: Round) -> float:
        return one.p99_milliseconds

    for name in (WITHOUT, WITH):
        console.print(f"p99 {name}: {result.median(name, p99):.1f} ms")
    pairs = zip(result.rounds[WITH], result.rounds[WITHOUT], strict=True)
    ratios = [p99(slow) / p99(quick) for slow, quick in pairs]
    console.print(
        f"With {clients} slow clients it is {statistics.median(ratios):.2f}× "
        f"({min(ratios):.2f}–{max(ratios):.2f})"
    )


@app.command("membership")
def membership(context: typer.Context) -> None:
    """A list of 50 under `Member`, beside the same list under `Owner`."""
    result = asyncio.run(measure_membership(context.obj, say), loop_factory=uvloop.new_event_loop)
    console.print()
    for name, told in ((TALLYGRAPH, "Owner"), (MEMBERS, "Member")):
        console.print(
            f"{told}: {result.median(name, speed):,.0f} requests/s, "
            f"p50 {result.median(name, lambda one: one.p50_milliseconds):.1f} ms, "
            f"Postgres {result.median(name, lambda one: one.database_microseconds):.0f} µs"
        )
    ratios = [1 / ratio for ratio in result.ratios(MEMBERS)]
    console.print(
        f"Under Member it is {statistics.median(ratios):.2f}× as fast "
        f"({min(ratios):.2f}–{max(ratios):.2f}); the goal is 0.9×"
    )


@app.command("organizations")
def organizations(context: typer.Context) -> None:
    """Workflows under row-level security, and made with limits, beside the same without."""
    found = asyncio.run(measure_organizations(context.obj, say))
    console.print()
    for one in found:
        console.print(str(one))


app.command("licences")(measure_licences)

if __name__ == "__main__":
    app()
