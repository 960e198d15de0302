"""The figures of a run: tables for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.chart import chart
from bench.documents import OURS, worded
from bench.figures import Report, Result, Round, speed
from bench.processes import usable_cores
from bench.workloads import PEERS, TALLYGRAPH

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES: tuple[tuple[str, Callable[[Round], float], str], ...] = (
    ("Requests/s", speed, ",.0f"),
    ("p50 ms", lambda one: one.p50_milliseconds, ",.1f"),
    ("p99 ms", lambda one: one.p99_milliseconds, ",.1f"),
    ("Server CPU µs", lambda one: one.server_microseconds, ",.0f"),
    ("Postgres CPU µs", lambda one: one.database_microseconds, ",.0f"),
)
HEADER = ("", "Server", *(name for name, _, _ in FIGURES), "Ours is (min–max)")
GOALS_HEADER = ("", "Against", "Goal", "Reached (min–max)", "p99 ms, ours and theirs")


def ratio_text(ratios: list[float]) -> str:
    """Ours over a peer's: the median of the rounds, and their range."""
    middle, least, most = (
        f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"
        for ratio in (statistics.median(ratios), min(ratios), max(ratios))
    )
    return f"{middle}× ({least}–{most})"


def rows(report: Report) -> list[list[str]]:
    """One line for each workload and server; a dash where a server does not take part."""
    lines = []
    for result in report.results:
        for server in (TALLYGRAPH, *(p for p in PEERS if p in report.options.peers)):
            if server not in result.servers:
                lines.append([result.workload.name, server, *["–"] * (len(FIGURES) + 1)])
                continue
            figures = [format(result.median(server, read), shape) for _, read, shape in FIGURES]
            ratio = "" if server == TALLYGRAPH else ratio_text(result.ratios(server))
            lines.append([result.workload.name, server, *figures, ratio])
    return lines


def goals(report: Report) -> list[list[str]]:
    """One line for each goal: what we meant to reach, and what was measured."""
    lines = []
    for result in report.results:
        for peer, goal in result.workload.goals.items():
            if peer not in result.servers:
                continue
            ratios = result.ratios(peer)
            tails = [
                f"{result.median(server, lambda one: one.p99_milliseconds):,.1f}"
                for server in (TALLYGRAPH, peer)
            ]
            mark = "✓" if statistics.median(ratios) >= goal else "✗"
            reached = f"{mark} {ratio_text(ratios)}"
            lines.append([result.workload.name, peer, f"≥ {goal:g}×", reached, " and ".join(tails)])
    return lines


def memory_text(report: Report) -> str:
    """The servers' memory in one sentence."""
    return "Resident memory in MiB, idle and after the load: " + ", ".join(
        f"{server} {idle:.0f} and {report.loaded_memory[server]:.0f}"
        for server, idle in report.idle_memory.items()
    )


def generator_share(report: Report) -> float:
    """The largest share of a core that the load generator took in any round."""
    return max(
        one.generator_share
        for result in report.results
        for rounds in result.rounds.values()
        for one in rounds
    )


def show(report: Report, console: Console) -> None:
    """Prints the run."""
    for title, header, lines in (
        ("Medians over all rounds", HEADER, rows(report)),
        ("Goals", GOALS_HEADER, goals(report)),
    ):
        table = Table(title=title, title_justify="left", padding=(0, 0))
        for position, name in enumerate(header):
            # The heads are broken between words, so that the table fits in 80 columns.
            table.add_column(
                name.replace(" ", "\n"), no_wrap=True, justify="right" if position > 1 else "left"
            )
        for line, following in zip_longest(lines, lines[1:], fillvalue=[""]):
            table.add_row(*line, end_section=line[0] != following[0])
        console.print(table)
    console.print(memory_text(report))


def markdown_table(header: tuple[str, ...], lines: list[list[str]]) -> str:
    """A table for the page."""
    rule = "|---|---|" + "---:|" * (len(header) - 2)
    return "\n".join(["| " + " | ".join(line) + " |" for line in (header, *lines)]).replace(
        "|\n", f"|\n{rule}\n", 1
    )


def workload_text(result: Result) -> str:
    """What a workload asks, for the page."""
    document = worded(result.workload.document, OURS)
    indented = "\n".join(f"  {line}".rstrip() for line in document.splitlines())
    title = f"- **{result.workload.name}**, {result.workload.title}"
    return f"{title}\n\n  ```graphql\n{indented}\n  ```\n"


def page(report: Report) -> str:
    """docs/benchmarks.md."""
    options = report.options
    return PAGE.format(
        goals=markdown_table(GOALS_HEADER, goals(report)),
        table=markdown_table(HEADER, rows(report)),
        memory=memory_text(report),
        generator=f"{generator_share(report):.0%}",
        workloads="\n".join(map(workload_text, report.results)),
        cores=usable_cores(),
        connections=options.connections,
        rounds=options.rounds,
        seconds=options.seconds,
        users=f"{options.users:,}",
        busy_users=f"{options.busy_users:,}",
    )


def write(report: Report) -> None:
    """Renews the page and its chart."""
    (DOCS / "benchmarks.md").write_text(page(report))
    (DOCS / "benchmarks.svg").write_text(chart(report))


PAGE = """# Benchmarks

How fast is Tallygraph next to its alternatives? All servers answer the same
operations over one database, in one run, with the same tables, roles and row-level security; that
their answers are equal is checked before anything is measured.

![Requests per second](benchmarks.svg)

{goals}

Each ratio compares the requests per second of two servers within one round; the figure is the
median over the rounds.

## The peers

- **bare** is `bench/peers/bare.py`: an ASGI application on the same HTTP server, event loop and
  database driver, without GraphQL. It looks its statement up by the request's text and the user by
  the token, and runs the very SQL that Tallygraph's engine builds. Its sign-in is argon2 alone.
- **strawberry** is Strawberry's own executor over our types, behind the same HTTP server:
  `bench/peers/resolvers.py` gives every field a resolver as it is usually written, and tuned.
  Documents are parsed and validated once, statements made once, related rows read through
  dataloaders, and each operation has one transaction with its claims.
- **postgraphile** is PostGraphile 5 on Node 24 (`bench/peers/postgraphile/`, both pinned), in
  production mode. It logs in as the role that our server uses, verifies the same tokens (each
  once) and sets the claim that the policies read. `spendCredits` calls the same SQL function. Smart
  tags give its fields our names. Its caches of documents, plans and prepared statements hold as
  many as ours, and it sends its answers as strings.

## All figures

{table}

{memory}. CPU is per request. A dash: the peer does not support it. The bare application knows no
documents, and puts no input together as `updateProfile` needs it; the other peers have no
accounts and no worker, so nobody but us signs in users and runs generations. For G1 the server's
CPU includes the worker's, and "Requests/s" are finished generations of 4 users at a time.

## What is asked

{workloads}
PostGraphile is asked for the same in its own words: `rowId` for `id`, `condition` for `where`.

## How it is measured

```
npm ci --prefix bench/peers/postgraphile
.venv/bin/python -m bench            # --help lists the options; --write renews this page
```

{cores} cores. One server process has the first core to itself apart from Postgres, the load
generator runs on the last, and Postgres 17 (embedded, fsync on) uses all. {connections} keep-alive
connections (8 for D1 and D2) each send the next request once the last is answered, with
{busy_users} access tokens in rotation; every answer is checked. {rounds} rounds of {seconds:g} s
for each server and workload, the servers in turn and another one first in each round, after a
warm-up. The database holds {users} users, {busy_users} of them with 20 profiles and 50 generations
each. All servers have the same number of database connections. The generator never took more than
{generator} of its core. Expect absolute figures to differ on another machine; compare the ratios.

Two more commands: `python -m bench memory` sends 100,000 documents that were never seen before and
prints how much our memory grows; `python -m bench slow-clients` measures the p99 of Q1 while 500
clients send their requests a byte a second. Live delivery has a page of its own:
[benchmarks-live.md](benchmarks-live.md).
"""
