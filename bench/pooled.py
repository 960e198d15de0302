"""`python -m bench.pooled`: what PgBouncer costs, beside connections of our own."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated

import psutil
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.deployment import (
    Deployment,
    Environment,
    Server,
    free_port,
    on_core,
    open_environment,
    our_variables,
    python,
    running,
)
from bench.figures import Round, speed
from bench.measure import Loader, Say
from bench.processes import Postgres, cpu_seconds
from bench.rounds import measure_round
from bench.workloads import WORKLOADS
from tests.bouncer import Bouncer, running_bouncer, userlist

DIRECT = "direct"
PREPARED = "PgBouncer, prepared statements"
UNPREPARED = "PgBouncer, none"
CHOSEN = ("Q1", "Q2", "M1")
CONNECTIONS = 32
USERS = 1_000
# As examples/pgbouncer.ini has it.
SERVER_CONNECTIONS = 20

console = Console(highlight=False, width=120)


@dataclass
class Way:
    """One way to the database: a server, what stands between, and what its rounds took."""

    server: Server
    bouncer: Bouncer | None
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    between_microseconds: dict[str, list[float]] = field(default_factory=dict)

    def bouncer_seconds(self) -> float:
        """The processor time of what stands between."""
        if self.bouncer is None or self.bouncer.process is None:
            return 0.0
        return cpu_seconds(psutil.Process(self.bouncer.process.pid))

    async def measure(self, loader: Loader, seconds: float, postgres: Postgres, name: str) -> None:
        """One turn of one workload."""
        answered: list[float] = []

        async def load() -> list[float]:
            answered.extend(await loader.load(seconds))
            return answered

        before = self.bouncer_seconds()
        self.rounds.setdefault(name, []).append(
            await measure_round([self.server], load(), postgres)
        )
        spent = (self.bouncer_seconds() - before) / len(answered) * 1e6
        self.between_microseconds.setdefault(name, []).append(spent)


async def open_ways(environment: Environment, stack: ExitStack) -> list[Way]:
    """A server for each way, on one database."""
    users = await userlist(environment.database)
    ways = []
    for name, preparing in ((DIRECT, None), (PREPARED, True), (UNPREPARED, False)):
        port = free_port()
        variables = our_variables(environment, port)
        bouncer = None
        if preparing is not None:
            bouncer = stack.enter_context(
                running_bouncer(
                    environment.database,
                    users,
                    preparing=preparing,
                    default_pool_size=str(SERVER_CONNECTIONS),
                )
            )
            variables |= {
                "DATABASE_URL": bouncer.url,
                "DATABASE_DIRECT_URL": environment.owner_url,
                "DATABASE_PREPARED_STATEMENTS": str(preparing).lower(),
            }
        command = python("cli", "serve")
        server = stack.enter_context(running(name, port, command, environment.folder, **variables))
        ways.append(Way(server, bouncer))
    return ways


async def measure(rounds: int, seconds: float, users: int, say: Say) -> list[Way]:
    """All ways in turn, several times over; who is first changes every round."""
    async with open_environment(users, users) as environment:
        with ExitStack() as stack:
            ways = await open_ways(environment, stack)
            deployment = Deployment(environment, {way.server.name: way.server for way in ways})
            postgres = await Postgres.find(environment.owner_url)
            with on_core(-1):
                for workload in (one for one in WORKLOADS if one.name in CHOSEN):
                    loaders = [
                        Loader(deployment, workload, way.server, CONNECTIONS) for way in ways
                    ]
                    for loader in loaders:
                        await loader.load(seconds / 2)
                    for number in range(rounds):
                        say(f"{workload.name}: round {number + 1} of {rounds}")
                        pairs = list(zip(ways, loaders, strict=True))
                        first = number % len(pairs)
                        for way, loader in pairs[first:] + pairs[:first]:
                            await way.measure(loader, seconds, postgres, workload.name)
            return ways


def show(ways: list[Way]) -> None:
    """Prints the table: medians, and ratios to the direct way round by round."""
    table = Table(
        "", "Way", "requests/s", "of direct", "p50 ms", "server µs", "PgBouncer µs", "Postgres µs"
    )
    direct = ways[0]
    for name in CHOSEN:
        for way in ways:
            rounds = way.rounds[name]

            def median(read: Callable[[Round], float], rounds: list[Round] = rounds) -> float:
                return statistics.median(map(read, rounds))

            ratios = [
                speed(one) / speed(other)
                for one, other in zip(rounds, direct.rounds[name], strict=True)
            ]
            table.add_row(
                name,
                way.server.name,
                f"{median(speed):,.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                f"{median(lambda one: one.p50_milliseconds):.1f}",
                f"{median(lambda one: one.server_microseconds):.0f}",
                f"{statistics.median(way.between_microseconds[name]):.0f}",
                f"{median(lambda one: one.database_microseconds):.0f}",
            )
    console.print(table)


def main(
    rounds: Annotated[int, typer.Option(help="How often each way's turn comes.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = 2.0,
    users: Annotated[int, typer.Option(help="Users in the database.")] = USERS,
) -> None:
    """Compares the ways to the database."""

    def say(line: str) -> None:
        console.print(line, style="dim")

    show(asyncio.run(measure(rounds, seconds, users, say), loop_factory=uvloop.new_event_loop))


if __name__ == "__main__":
    typer.run(main)
