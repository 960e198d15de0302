"""The figures of the attacks: a table for the terminal; the same and bars for docs/security.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.attacks.measure import Felt, Lengths
from bench.chart import Bar, Block, picture
from bench.processes import usable_cores
from bench.workloads import TALLYGRAPH

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, CHART = DOCS / "security.md", DOCS / "security.svg"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"

# What must hold: a column's name, its figure, how that is written, and whether it is good enough.
Column = tuple[str, Callable[[Felt], float], str, Callable[[float], bool]]
COLUMNS: tuple[Column, ...] = (
    ("p99 quiet ms", lambda one: one.quiet.p99_milliseconds(), ".1f", lambda _: True),
    ("p99 attacked ms", lambda one: one.attacked.p99_milliseconds(), ".1f", lambda _: True),
    ("× quiet (≤ 3)", lambda one: one.ratio, ".1f", lambda value: value <= 3),
    ("Loop stall ms (≤ 50)", lambda one: one.longest_stall_milliseconds, ".0f", lambda v: v <= 50),
    ("Server MiB (≤ 400)", lambda one: one.server_mebibytes, ".0f", lambda v: v <= 400),
    ("Backend MiB (≤ 200)", lambda one: one.backend_mebibytes, ".0f", lambda v: v <= 200),
    (
        "Sign-ins passed (≥ 99 %)",
        lambda o: o.attacked.sign_in_share() * 100,
        ".0f",
        lambda v: v >= 99,
    ),
    ("Reads failed", lambda one: one.attacked.failed_reads, ".0f", lambda value: value == 0),
)


def gains_text(felt: Felt) -> str:
    """What the attacker got for its requests."""
    gains = felt.gains
    parts = [f"{gains.requests:,} requests"]
    parts += [f"{gains.refused:,} refused"] if gains.refused else []
    parts += [f"{gains.closed:,} closed"] if gains.closed else []
    return ", ".join(parts + [f"{value:,.0f} {what}" for what, value in gains.gained.items()])


def cells(felt: Felt) -> list[str]:
    """One line of the table; a figure that is not good enough is marked."""
    figures = []
    for _, read, shape, is_good in COLUMNS:
        value = read(felt)
        figures.append(format(value, shape) + ("" if is_good(value) else " ✗"))
    return [felt.name, *figures, gains_text(felt)]


def header() -> list[str]:
    """The names of the columns."""
    return ["One attacker", *(name for name, *_ in COLUMNS), "What it got"]


def show(found: list[Felt], console: Console) -> None:
    """Prints the table."""
    *columns, _ = header()
    table = Table(*columns)
    for felt in found:
        *figures, gained = cells(felt)
        table.add_row(*figures)
        console.print(f"{felt.name}: {gained}")
    console.print(table)


def chart(found: list[Felt]) -> str:
    """docs/security.svg: what honest users wait, without and with each attacker."""
    blocks = [
        Block(
            felt.name,
            [
                Bar("quiet", before, f"{before:.1f} ms"),
                Bar(TALLYGRAPH, during, f"{during:.1f} ms, {felt.ratio:.1f}×"),
            ],
        )
        for felt in found
        for before, during in [(felt.quiet.p99_milliseconds(), felt.attacked.p99_milliseconds())]
    ]
    return picture(
        "How long the slowest honest read in a hundred takes, quiet and attacked",
        "The slowest in a hundred reads of twenty honest users, without and with one attacker.",
        "Grey: quiet. Coloured: while the attacker does its worst. Each pair has its own scale.",
        blocks,
    )


def page_part(found: list[Felt], lengths: Lengths) -> str:
    """The part of docs/security.md that the figures fill."""
    lines = [header(), ["---"] * len(header()), *(cells(felt) for felt in found)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"{BEGIN}\n{table}\n\nMeasured on {usable_cores()} cores that also ran the attacker, the "
        f"honest users and Postgres; {lengths.quiet_seconds:g} s quiet, then "
        f"{lengths.attack_seconds:g} s of each attack.\n{END}"
    )


def write(found: list[Felt], lengths: Lengths) -> None:
    """Renews the figures in docs/security.md, and their picture."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(before + page_part(found, lengths) + after)
    CHART.write_text(chart(found))
