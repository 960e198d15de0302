"""Pictures of the figures: for each block a bar for each server, in the scale of its block."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.figures import Report, Result, speed
from bench.workloads import TALLYGRAPH

WIDTH, LEFT, LONGEST = 720, 96, 430
BAR, GAP = 14, 6
PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" role="img" aria-label="{label}">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #57606a; }}
.title {{ font-weight: 600; font-size: 13px; fill: #24292f; }}
.ours {{ font-weight: 600; fill: #24292f; }}
rect {{ fill: #c3cad2; }}
rect.ours {{ fill: #2f6feb; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #9198a1; }}
  .title, .ours {{ fill: #e6edf3; }}
  rect {{ fill: #4b535d; }}
  rect.ours {{ fill: #58a6ff; }}
}}
</style>
<text x="0" y="12">{first_line}</text>
<text x="0" y="30">{second_line}</text>
{bars}
</svg>
"""


@dataclass(frozen=True)
class Bar:
    """One server's figure, and how it is written."""

    server: str
    value: float
    text: str


@dataclass(frozen=True)
class Block:
    """Bars in one scale."""

    title: str
    bars: list[Bar]


def _drawn(block: Block, top: int) -> tuple[list[str], int]:
    """A block from `top` down, and where it ends."""
    parts = [f'<text x="0" y="{top + 12}" class="title">{block.title}</text>']
    most = max(bar.value for bar in block.bars)
    y = top + 22
    for bar in block.bars:
        length = max(2, round(bar.value / most * LONGEST))
        look = ' class="ours"' if bar.server == TALLYGRAPH else ""
        middle = y + BAR - 3
        parts += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end"{look}>{bar.server}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" rx="3"{look}/>',
            f'<text x="{LEFT + length + 8}" y="{middle}"{look}>{bar.text}</text>',
        ]
        y += BAR + GAP
    return parts, y


def picture(label: str, first_line: str, second_line: str, blocks: list[Block]) -> str:
    """Blocks below one another, under two lines of text."""
    parts: list[str] = []
    y = 46
    for block in blocks:
        drawn, y = _drawn(block, y)
        parts += drawn
        y += 14
    return PICTURE.format(
        width=WIDTH,
        height=y,
        label=label,
        first_line=first_line,
        second_line=second_line,
        bars="\n".join(parts),
    )


def block(result: Result) -> Block:
    """A workload's requests per second, a bar for each server."""
    bars = []
    for server in result.servers:
        value = result.median(server, speed)
        ours = server == TALLYGRAPH
        times = "" if ours else f" · {statistics.median(result.ratios(server)):.2f}×"
        bars.append(Bar(server, value, f"{value:,.0f}{times}"))
    return Block(f"{result.workload.name}: {result.workload.title.replace('`', '')}", bars)


def chart(report: Report) -> str:
    """docs/benchmarks.svg: longer is faster."""
    return picture(
        "Requests per second of Tallygraph and its peers, for each workload",
        "Requests per second of one server process on one core; each workload has its own scale.",
        "Behind a peer's figure: ours divided by it.",
        [block(result) for result in report.results],
    )
