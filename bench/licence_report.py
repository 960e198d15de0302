"""The figures of licences: tables for the terminal and for docs/benchmarks-licences.md."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bench.chart import block, picture
from bench.figures import Result, speed
from bench.generations import percentile
from bench.processes import usable_cores
from bench.report import DOCS, markdown_table, ratio_text
from bench.rotation import RATE_GOAL, READS_GOAL, Rotation
from bench.workloads import TALLYGRAPH

if TYPE_CHECKING:
    from bench.licences import Amounts, LicenceFigures

VERIFIED_GOAL = 2.0
GOALS_HEADER = ("What", "Against", "Ours", "Theirs", "Goal", "Reached (min–max)")
PACED_HEADER = ("Milliseconds", "n", "p50", "p90", "p99")


def _mark(is_reached: bool) -> str:
    return "✓" if is_reached else "✗"


def _compared(result: Result) -> list[list[str]]:
    """A line for each peer: requests a second of one process on one core."""
    lines = []
    for peer, goal in result.workload.goals.items():
        if peer not in result.servers:
            continue
        ratios = result.ratios(peer)
        ours, theirs = (f"{result.median(one, speed):,.0f}/s" for one in (TALLYGRAPH, peer))
        reached = f"{_mark(statistics.median(ratios) >= goal)} {ratio_text(ratios)}"
        lines.append(
            [f"`{result.workload.name}`", peer, ours, theirs, f"≥ {goal:g}× as fast", reached]
        )
    return lines


def _rotated(rotation: Rotation) -> list[list[str]]:
    """The rotation's rate, and what readers notice of it."""
    rate = f"{rotation.rate:,.0f}/s"
    alone, meanwhile = (
        f"{statistics.median(taken):.1f} ms" for taken in (rotation.alone, rotation.meanwhile)
    )
    kept = f"{rotation.unharmed:.2f}×"
    return [
        [
            f"{rotation.rows:,} values sealed anew",
            "",
            rate,
            "",
            f"≥ {RATE_GOAL:,.0f}/s",
            f"{_mark(rotation.rate >= RATE_GOAL)} {rate}",
        ],
        [
            "Reads meanwhile, p50",
            "without it",
            meanwhile,
            alone,
            f"≥ {READS_GOAL:g}× as fast",
            f"{_mark(rotation.unharmed >= READS_GOAL)} {kept}",
        ],
    ]


def lines(figures: LicenceFigures, amounts: Amounts) -> list[list[str]]:
    """A line for each goal."""
    found = [line for result in figures.peers.results for line in _compared(result)]
    if figures.again:
        p50 = percentile(figures.again, 0.5)
        found.append(
            [
                f"A verification at {amounts.pace:,.0f}/s",
                "",
                f"{p50:.1f} ms",
                "",
                f"p50 ≤ {VERIFIED_GOAL:g} ms",
                f"{_mark(p50 <= VERIFIED_GOAL)} {p50:.1f} ms",
            ]
        )
    if figures.rotation.rows:
        found += _rotated(figures.rotation)
    return found


def paced(figures: LicenceFigures) -> list[list[str]]:
    """A line for each kind of request that was sent at a pace."""
    kinds = (
        ("A key verified for the first time", figures.first),
        ("A key verified again", figures.again),
        ("A read of 20 licences and their keys", figures.rotation.alone),
        ("The same while the vault is rotated", figures.rotation.meanwhile),
    )
    return [
        [
            name,
            f"{len(taken):,}",
            *(f"{percentile(taken, share):.1f}" for share in (0.5, 0.9, 0.99)),
        ]
        for name, taken in kinds
        if taken
    ]


def spent(rotation: Rotation) -> str:
    """Where the time of a rotation goes."""
    of_each = [used / rotation.rows * 1e6 for used in (rotation.processor, rotation.database)]
    return (
        f"Each value takes {of_each[0]:.0f} µs of the rotating process's processor and "
        f"{of_each[1]:.0f} µs of Postgres's."
    )


def show(figures: LicenceFigures, amounts: Amounts, console: Console) -> None:
    """Prints the run."""
    for title, header, found in (
        ("Goals", GOALS_HEADER, lines(figures, amounts)),
        ("At a steady pace", PACED_HEADER, paced(figures)),
    ):
        table = Table(*header, title=title, title_justify="left")
        for line in found:
            table.add_row(*line)
        console.print(table)
    for result in figures.peers.results:
        for server in result.servers:
            used = result.median(server, lambda one: one.server_microseconds)
            database = result.median(server, lambda one: one.database_microseconds)
            console.print(
                f"{result.workload.name}, {server}: {used:.0f} µs, Postgres {database:.0f} µs"
            )
    if figures.rotation.rows:
        console.print(spent(figures.rotation))
    if figures.peers.missing:
        console.print(figures.peers.missing)


def chart(figures: LicenceFigures) -> str:
    """docs/benchmarks-licences.svg: longer is faster."""
    return picture(
        "Requests per second of licences, of Tallygraph and its peers",
        "Requests per second of one server process on one core; each block has its own scale.",
        "Behind a peer's figure: ours divided by it.",
        [block(result) for result in figures.peers.results],
    )


def write(figures: LicenceFigures, amounts: Amounts) -> None:
    """Renews the page and its chart."""
    page = PAGE.format(
        goals=markdown_table(GOALS_HEADER, lines(figures, amounts)),
        paced=markdown_table(PACED_HEADER, paced(figures)),
        spent=spent(figures.rotation),
        pace=f"{amounts.pace:,.0f}",
        reads=f"{amounts.reads:,.0f}",
        rounds=amounts.rounds,
        cores=usable_cores(),
    )
    (DOCS / "benchmarks-licences.md").write_text(page)
    (DOCS / "benchmarks-licences.svg").write_text(chart(figures))


PAGE = """# Benchmarks of licences

How fast are licences verified and redeemed, and what does it take to seal all of them by another
key?

![Requests per second](benchmarks-licences.svg)

{goals}

Ratios compare two within one round; each figure is the median over the rounds.

- **bare** is `bench/peers/bare_licences.py`: an application without GraphQL on the same HTTP
  server, event loop and driver, which verifies and redeems by the statements that ours makes. It
  limits nobody's rate, counts nothing and logs nothing.
- **bare with memory** is the same, and keeps answers for as long as our server does. Nothing tells
  it of bans. What is left of a request then is HTTP: of ours that includes the bounds of an
  address, its budget in the headers, and the metrics.
- **postgraphile** calls the same SQL function, in the database each time. It is given the key's
  blind index, so it hashes nothing.
- **Sealed anew**: a process reads licences in batches, opens each key, seals it by the new master
  key, proves that it opens, makes its blind index and writes both. {spent}
- **Reads** are of 20 licences of a user with their keys, {reads} a second, over HTTP.

## At a steady pace

{paced}

Verifications come at {pace} a second to one process, each at a time that is fixed beforehand: its
time counts from then.

## How it is measured

```
npm ci --prefix bench/peers/postgraphile
.venv/bin/python -m bench licences   # --help lists the options; --write renews this page
```

{cores} cores, {rounds} rounds after one to warm up, all in turn, Postgres embedded with fsync
on. Expect absolute figures to differ on another machine; compare the ratios.
"""
