"""The figures of live delivery: tables for the terminal and for docs/benchmarks-live.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from operator import ge

from rich.console import Console
from rich.table import Table

from bench.chart import Bar, Block, picture
from bench.live.events import OWN_DOCUMENT, PUBLIC_DOCUMENT
from bench.live.figures import (
    ALONE,
    BURST,
    GRAPHQL_WS,
    NOTIFIED,
    OWN,
    PATTERNS,
    PUBLIC,
    QUIET,
    STRAWBERRY,
    TALLYGRAPH,
    THROUGH_API,
    WATCHED,
    WOKEN,
    Read,
    Report,
    connects,
    kilobytes,
    microseconds,
    p50,
    p99,
)
from bench.report import DOCS, markdown_table

FIGURES: tuple[tuple[str, Read, str], ...] = (
    ("Connects/s", connects, ",.0f"),
    ("kB each", kilobytes, ",.1f"),
    *((f"CPU µs, {pattern}", microseconds(pattern), ",.0f") for pattern in PATTERNS),
    ("p50 ms, own", p50(OWN), ",.0f"),
    *((f"p99 ms, {pattern}", p99(pattern), ",.0f") for pattern in PATTERNS),
)
HEADER = ("Subscribers", "Server", *(name for name, _, _ in FIGURES))
GOALS_HEADER = ("Subscribers", "What", "Goal", "Reached (min–max)")
WRITERS_HEADER = ("Spends", "Case", "Each second", "Share (min–max)")
CPU_GOALS = {STRAWBERRY: 0.2, GRAPHQL_WS: 1.0}
MOST_KILOBYTES = 30.0
LEAST_CONNECTS = 1_000.0
MOST_P99_MILLISECONDS, P99_SUBSCRIBERS = 30.0, 500
LEAST_SPENDS = 0.9
PATTERN_TITLES = {
    OWN: "events on own topics, 10 in a commit",
    BURST: "everybody's own topic in one commit",
    PUBLIC: "one event on a public topic",
}


def spread(values: list[float], shape: str) -> str:
    """The median of the rounds, and their range."""
    middle, least, most = (
        format(value, shape) for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least}–{most})"


def judged(values: list[float], is_met: Callable[[float], bool], shape: str) -> str:
    """The same behind a mark: whether the median meets its goal."""
    mark = "✓" if is_met(statistics.median(values)) else "✗"
    return f"{mark} {spread(values, shape)}"


def rows(report: Report) -> list[list[str]]:
    """One line for each number of subscribers and server."""
    return [
        [
            f"{subscribers:,}",
            server,
            *(
                format(report.median(server, subscribers, read), shape)
                for _, read, shape in FIGURES
            ),
        ]
        for subscribers in report.options.subscribers
        for server in report.options.servers
    ]


def goals(report: Report) -> list[list[str]]:
    """One line for each goal: what we meant to reach, and what was measured."""
    lines = []
    for subscribers in report.options.subscribers:
        if TALLYGRAPH in report.options.servers:
            lines += _goals_of(report, subscribers)
    if report.spends:
        shares = report.spend_ratios(WATCHED, ALONE)
        reached = judged(shares, lambda share: share >= LEAST_SPENDS, ".2f")
        watching = f"{report.options.watchers_of_writers:,}"
        lines.append([watching, "spends/s against nobody watching", "≥ 0.9", reached])
    return lines


def _goals_of(report: Report, subscribers: int) -> list[list[str]]:
    count, lines = f"{subscribers:,}", []
    for peer, most in CPU_GOALS.items():
        if peer not in report.options.servers:
            continue
        for pattern in PATTERNS:
            ratios = report.ratios(peer, subscribers, microseconds(pattern))
            reached = judged(ratios, partial(ge, most), ".2f")
            what = f"CPU per message against {peer}, {pattern}"
            lines.append([count, what, f"≤ {most:g}×", reached])
    turns = report.turns[TALLYGRAPH, subscribers]
    sizes, speeds = [kilobytes(turn) for turn in turns], [connects(turn) for turn in turns]
    lines += [
        [
            count,
            "kB for each connection",
            f"≤ {MOST_KILOBYTES:g}",
            judged(sizes, lambda size: size <= MOST_KILOBYTES, ".1f"),
        ],
        [
            count,
            "connects/s",
            f"≥ {LEAST_CONNECTS:,.0f}",
            judged(speeds, lambda speed: speed >= LEAST_CONNECTS, ",.0f"),
        ],
    ]
    if subscribers <= P99_SUBSCRIBERS:
        for pattern in PATTERNS:
            tails = [p99(pattern)(turn) for turn in turns]
            reached = judged(tails, lambda tail: tail <= MOST_P99_MILLISECONDS, ".0f")
            what = f"p99 ms from commit to client, {pattern}"
            lines.append([count, what, f"≤ {MOST_P99_MILLISECONDS:g}", reached])
    return lines


def writers(report: Report) -> list[list[str]]:
    """One line for each case of writers."""
    lines = []
    for case, rates in report.spends.items():
        base = ALONE if case in THROUGH_API else QUIET
        share = "" if case == base else spread(report.spend_ratios(case, base), ".2f")
        through = "through the API" if case in THROUGH_API else "by pgbench"
        lines.append([through, case, f"{statistics.median(rates):,.0f}", share])
    return lines


def client_share(report: Report) -> float:
    """The largest share of a core that a client process took in any turn."""
    return max(
        delivery.client_share
        for turns in report.turns.values()
        for turn in turns
        for delivery in turn.deliveries.values()
    )


def show(report: Report, console: Console) -> None:
    """Prints the run."""
    for title, header, lines in (
        ("Medians over all rounds", HEADER, rows(report)),
        ("Goals", GOALS_HEADER, goals(report)),
        ("Writers", WRITERS_HEADER, writers(report)),
    ):
        if not lines:
            continue
        table = Table(title=title, title_justify="left", padding=(0, 0))
        for position, name in enumerate(header):
            table.add_column(name, justify="right" if position > 1 else "left")
        for line, following in zip(lines, [*lines[1:], [""]], strict=True):
            table.add_row(*line, end_section=line[0] != following[0])
        console.print(table)


def chart(report: Report) -> str:
    """docs/benchmarks-live.svg: shorter is better."""
    options = report.options
    sizes = dict.fromkeys((options.subscribers[0], options.subscribers[-1]))
    blocks = [
        Block(
            f"{subscribers:,} subscribers: {title}",
            [
                Bar(server, value, f"{value:,.0f}")
                for server in options.servers
                for value in [report.median(server, subscribers, microseconds(pattern))]
            ],
        )
        for subscribers in sizes
        for pattern, title in PATTERN_TITLES.items()
    ]
    return picture(
        "Processor time for each delivered message, of Tallygraph and its peers",
        "Microseconds of the server's processor time for each delivered message; less is better.",
        "One server process on one core; each block has its own scale.",
        blocks,
    )


def page(report: Report) -> str:
    """docs/benchmarks-live.md."""
    options = report.options
    return PAGE.format(
        goals=markdown_table(GOALS_HEADER, goals(report)),
        table=markdown_table(HEADER, rows(report)),
        writers=markdown_table(WRITERS_HEADER, writers(report)),
        client=f"{client_share(report):.0%}",
        loads=f"{min(report.loads):.0f} and {max(report.loads):.0f}" if report.loads else "unknown",
        own=OWN_DOCUMENT,
        public=PUBLIC_DOCUMENT,
        rounds=options.rounds,
        seconds=options.seconds,
        rate=f"{options.messages_per_second:,}",
        watching=f"{options.watchers_of_writers:,}",
        notified=NOTIFIED,
        woken=WOKEN,
    )


def write(report: Report) -> None:
    """Renews the page and its chart."""
    (DOCS / "benchmarks-live.md").write_text(page(report))
    (DOCS / "benchmarks-live.svg").write_text(chart(report))


PAGE = """# Benchmarks of live delivery

What does it cost to keep subscribers informed, and how late are they? Three servers deliver the
same events of one database over `graphql-transport-ws`, in one run. That they send the same JSON,
but for the values of ids, timestamps, cursors and counters, is checked in every turn before
anything is measured. All messages arrived: a number of them that is not the expected one, or one
that comes twice or out of order, ends the run.

![Processor time for each delivered message](benchmarks-live.svg)

{goals}

Ratios compare two servers within one round. Each figure is the median over the rounds.

## The servers

- **tallygraph** is `tallygraph serve`, one process.
- **strawberry** is Strawberry's own subscription handler (`bench/peers/strawberry_live.py`), as a
  careful user would write a server with it: on the same HTTP server and event loop, one queue and
  one async generator for each subscriber, documents parsed once, JSON written by orjson, and no
  compression.
- **graphql-ws** is the npm package of that name over `ws` on Node 24 (`bench/peers/graphql-ws/`,
  all pinned), without compression.

All are woken by the same NOTIFY after a commit, read the log of events with the same statement, and
verify the token of each connection.

## All figures

{table}

CPU is the server's user and system time for each delivered message. Memory is what its resident set
grew by, for each connection with one subscription. A connect is measured from the first byte to
`connection_ack`. The events:

- **own**: distinct users on their own topics; each commit changes rows of 10 users, {rate}
  messages/s in all. Most of the time between commits nobody has anything to do, so the cost of
  waking up and of reading the log is shared by few messages.
- **burst**: one commit changes a row of every subscriber. The last one is served when all others
  have been, so latency grows with their number.
- **public**: one commit changes one row that all subscribers watch.

Latency is from the commit's return to the client's read. A process that commits wakes the others at
most once in 20 ms, so in **own** half of that is waiting.

## Writers

{writers}

Through the API, the spenders are the subscribers: with all {watching} connected, every spend is
also delivered to who made it, by the same process. pgbench calls the same SQL function on as many
connections as our server has. "{woken}": another process publishes wake-ups as quickly as the bus
lets it, as one does that commits all the time. "{notified}": a trigger sends NOTIFY for each event
in the writer's own transaction, which the product does not do. Postgres lets such transactions
commit only one after another.

## What is asked

```graphql
{own}

{public}
```

## How it is measured

```
npm ci --prefix bench/peers/graphql-ws
.venv/bin/python -m bench.live       # --help lists the options; --write renews this page
```

One server process has the first core to itself apart from Postgres (embedded, fsync on), which uses
all. The clients are two processes on the last two cores, one with fewer than three; they parse no
more of a frame than they must and never took more than {client} of a core. A server is started for
each turn and warmed up by 20 subscribers. {rounds} rounds, another server first in each, and
{seconds:g} s of events for each pattern. The machine did other work too, its load average was
between {loads}. Expect absolute figures to differ on another; compare the ratios.
"""
