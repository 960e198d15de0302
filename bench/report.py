"""The figures of a run: a table, bars, and the page and chart in docs/."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Report, Result, Round

DOCS = Path(__file__).resolve().parents[1] / "docs"
BAR_COLUMNS = 40
FIGURES: tuple[tuple[str, Callable[[Round], float], str], ...] = (
    ("Requests/s", lambda one: one.requests_per_second, ",.0f"),
    ("p50 ms", lambda one: one.p50_milliseconds, ".1f"),
    ("p99 ms", lambda one: one.p99_milliseconds, ".1f"),
    ("Server CPU µs", lambda one: one.server_microseconds, ".0f"),
    ("Postgres CPU µs", lambda one: one.database_microseconds, ".0f"),
    ("Generator CPU", lambda one: one.generator_share, ".0%"),
)
SERVERS = ("tallygraph", "bare")


def speed(one: Round) -> float:
    """The figure that the headline ratio compares."""
    return one.requests_per_second


def ratio_text(result: Result) -> str:
    """Ours over the peer's: the median of the rounds, and their range."""
    ratios = result.ratios(speed)
    return f"{statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f})"


def rows(report: Report) -> list[list[str]]:
    """One line for each workload and server."""
    return [
        [
            result.workload.name,
            server,
            *(format(result.median(server, read), shape) for _, read, shape in FIGURES),
            ratio_text(result) if server == "tallygraph" else "",
        ]
        for result in report.results
        for server in SERVERS
    ]


def header() -> list[str]:
    """The table's head."""
    return ["", "Server", *(name for name, _, _ in FIGURES), "Ratio (min–max)"]


def bars(report: Report) -> list[str]:
    """Requests per second as bars of text, each workload to its own scale."""
    lines = []
    for result in report.results:
        most = max(result.median(server, speed) for server in SERVERS)
        for server in SERVERS:
            value = result.median(server, speed)
            bar = "█" * max(1, round(value / most * BAR_COLUMNS))
            lines.append(f"{result.workload.name}  {server:<10}  {bar:<{BAR_COLUMNS}} {value:,.0f}")
    return lines


def memory_text(report: Report) -> str:
    """The servers' memory in one sentence."""
    return "Memory in MiB, idle and after the load: " + ", ".join(
        f"{server} {report.idle_memory[server]:.0f} and {report.loaded_memory[server]:.0f}"
        for server in SERVERS
    )


def show(report: Report, console: Console) -> None:
    """Prints the run."""
    table = Table(title="Medians over all rounds", title_justify="left", padding=(0, 0))
    for name in header():
        # The heads are broken between words, so that the table fits in 80 columns.
        table.add_column(name.replace(" ", "\n"), no_wrap=True)
    for column in table.columns[2:]:
        column.justify = "right"
    for line in rows(report):
        table.add_row(*line, end_section=line[1] == "bare")
    console.print(table)
    console.print("\nRequests/s\n" + "\n".join(bars(report)) + "\n")
    console.print(memory_text(report))


def markdown_table(report: Report) -> str:
    """The same table for the page."""
    lines = ["| " + " | ".join(header()) + " |", "|---|---|" + "---:|" * (len(FIGURES) + 1)]
    lines += ["| " + " | ".join(line) + " |" for line in rows(report)]
    return "\n".join(lines)


def page(report: Report) -> str:
    """docs/benchmarks.md."""
    options = report.options
    workloads = "\n".join(
        f"- **{result.workload.name}**, {result.workload.title}\n\n"
        f"  ```graphql\n{_indented(result.workload.document)}\n  ```\n"
        for result in report.results
    )
    return PAGE.format(
        table=markdown_table(report),
        memory=memory_text(report),
        workloads=workloads,
        connections=options.connections,
        rounds=options.rounds,
        seconds=options.seconds,
        users=f"{options.users:,}",
        busy_users=f"{options.busy_users:,}",
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def chart(report: Report) -> str:
    """docs/benchmarks.svg: for each workload our bar and the peer's."""
    parts, y = [], 34
    most = max(result.median(server, speed) for result in report.results for server in SERVERS)
    for result in report.results:
        parts.append(f'<text x="0" y="{y}" class="strong">{result.workload.title}</text>')
        for server in SERVERS:
            y += 24
            value = result.median(server, speed)
            width = value / most * 420
            parts.append(
                f'<text x="92" y="{y}" text-anchor="end">{server}</text>'
                f'<rect x="100" y="{y - 13}" width="{width:.0f}" height="16" rx="2" '
                f'class="{server}"/>'
                f'<text x="{108 + width:.0f}" y="{y}">{value:,.0f}</text>'
            )
        parts.append(
            f'<text x="640" y="{y - 12}" text-anchor="end" class="strong">'
            f"{statistics.median(result.ratios(speed)):.2f}×</text>"
        )
        y += 40
    return CHART.format(height=y - 12, bars="\n".join(parts))


def write(report: Report) -> None:
    """Renews the page and its chart."""
    (DOCS / "benchmarks.md").write_text(page(report))
    (DOCS / "benchmarks.svg").write_text(chart(report))


CHART = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 648 {height}" width="648" \
role="img" aria-label="Requests per second, Tallygraph and a bare ASGI app">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f; }}
.strong {{ font-weight: 600; }}
.tallygraph {{ fill: #2f6feb; }}
.bare {{ fill: #8c959f; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #e6edf3; }}
  .tallygraph {{ fill: #58a6ff; }}
  .bare {{ fill: #6e7681; }}
}}
</style>
<text x="0" y="12">Requests per second, one server process on one core</text>
{bars}
</svg>
"""

PAGE = """# Benchmarks

How fast is Tallygraph next to the fastest thing one could write by hand in its place? The peer,
`bench/bare.py`, is a bare ASGI application on the same HTTP server, event loop and database driver.
It does no GraphQL at all: it looks its statement up by the request's text, and the user by the
token, and runs the very SQL that Tallygraph's engine builds.

![Requests per second](benchmarks.svg)

{table}

Each ratio compares the requests per second of the two servers within one round; the figure is the
median over the rounds. {memory}.

## What is asked

{workloads}
## How it is measured

```
.venv/bin/python -m bench            # --help lists the options; --write renews this page
```

Two cores. One server process has the first core to itself apart from Postgres, the load generator
runs on the second, and Postgres 17 (embedded, fsync on) uses both. {connections} keep-alive
connections each send the next request once the last is answered, with 1,000 access tokens in
rotation; every answer is checked. {rounds} rounds of {seconds:g} s for each server and workload,
the two in turn and the first to go changing each round, after a warm-up. The database holds
{users} users, {busy_users} of them with 20 profiles and 20 generations each. Both servers have the
same number of database connections. "Generator CPU" is the share of a core that sending and
checking took: below 100 %, the generator was not what limited the result. CPU figures are per
request. Expect absolute figures to differ on another machine; compare the ratios.
"""
