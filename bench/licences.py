"""`python -m bench licences`: licences verified and redeemed, and the vault rotated.

Games ask without a session whether keys hold, at times that are fixed beforehand, as in
`bench.webhooks`: each key for the first time, which the database answers, then all of them again,
from memory. Then our server and its peers verify and redeem as fast as they can
(`bench.licence_peers`), and everything is sealed anew (`bench.rotation`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from typing import Annotated

import asyncpg
import typer
import uvloop
from rich.console import Console

from bench.deployment import open_environment, start_tallygraph
from bench.licence_data import Licences
from bench.licence_peers import REDEEMERS, VERIFY, Comparison, compare, licence_bytes
from bench.licence_report import show, write
from bench.processes import Postgres
from bench.rotation import Rotation, measure_rotation
from bench.webhooks import Connections, at_a_pace

WARM_SECONDS = 1.0
# The first answer of a process is not kept, and a change in the log is about to be told of.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Amounts:
    """How much is measured."""

    pace: float = 1_000
    seconds: float = 10.0
    rounds: int = 5
    round_seconds: float = 3.0
    redeemed: int = 2_000
    sealed: int = 1_000_000
    reads: float = 50
    with_postgraphile: bool = True


@dataclass
class LicenceFigures:
    """Milliseconds of verifications, sorted; the peers; the rotation."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    peers: Comparison = field(default_factory=Comparison)
    rotation: Rotation = field(default_factory=Rotation)


async def verify(
    licences: Licences, port: int, pace: float, seconds: float
) -> tuple[list[float], list[float]]:
    """Milliseconds of verifying each key for the first time, and all of them again."""
    keys = await licences.make(int(pace * seconds))
    await asyncio.sleep(min(SETTLE_SECONDS, seconds))
    async with Connections(port).open() as connections:
        first, again = [
            await at_a_pace(connections, _requests(port, keys), pace, seconds) for _ in range(2)
        ]
    return sorted(taken for _, taken in first), sorted(taken for _, taken in again)


def _requests(port: int, keys: list[str]) -> Iterator[Callable[[], bytes]]:
    for key in cycle(keys):
        yield partial(licence_bytes, port, None, VERIFY, key)


async def measure(amounts: Amounts) -> LicenceFigures:
    """Starts everything in a folder of its own, warms it up, measures, and takes it all away."""
    figures = LicenceFigures()
    async with open_environment(users=0, busy_users=0) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        try:
            postgres = await Postgres.find(environment.owner_url)
            people = await Licences(environment, owner).people(REDEEMERS)
            licences = Licences(replace(environment, people=people), owner)
            if amounts.rounds:
                with start_tallygraph(environment) as server:
                    warm_seconds = min(WARM_SECONDS, amounts.seconds)
                    await verify(licences, server.port, amounts.pace, warm_seconds)
                    figures.first, figures.again = await verify(
                        licences, server.port, amounts.pace, amounts.seconds
                    )
                    figures.peers = await compare(
                        licences,
                        postgres,
                        server,
                        rounds=amounts.rounds,
                        seconds=amounts.round_seconds,
                        count=amounts.redeemed,
                        with_postgraphile=amounts.with_postgraphile,
                    )
            if amounts.sealed:
                figures.rotation = await measure_rotation(
                    licences,
                    postgres,
                    count=amounts.sealed,
                    pace=amounts.reads,
                    seconds=amounts.seconds,
                )
        finally:
            await owner.close()
    return figures


def main(
    pace: Annotated[float, typer.Option(help="Verifications in a second.")] = Amounts.pace,
    seconds: Annotated[float, typer.Option(help="How long it goes on.")] = Amounts.seconds,
    rounds: Annotated[int, typer.Option(help="How often each server's turn comes.")] = (
        Amounts.rounds
    ),
    redeemed: Annotated[int, typer.Option(help="Keys that are redeemed in a round.")] = (
        Amounts.redeemed
    ),
    sealed: Annotated[int, typer.Option(help="Values that are sealed anew.")] = Amounts.sealed,
    reads: Annotated[float, typer.Option(help="Reads in a second meanwhile.")] = Amounts.reads,
    without_postgraphile: Annotated[
        bool, typer.Option("--without-postgraphile", help="Leave PostGraphile out.")
    ] = False,
    write_files: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks-licences.md and its chart.")
    ] = False,
) -> None:
    """Licences verified and redeemed, next to peers, and the vault rotated."""
    amounts = Amounts(
        pace=pace,
        seconds=seconds,
        rounds=rounds,
        redeemed=redeemed,
        sealed=sealed,
        reads=reads,
        with_postgraphile=not without_postgraphile,
    )
    figures = asyncio.run(measure(amounts), loop_factory=uvloop.new_event_loop)
    show(figures, amounts, Console(highlight=False))
    if write_files:
        write(figures, amounts)


if __name__ == "__main__":
    typer.run(main)
