"""docs/benchmarks.svg: for each workload a bar for each server, longer is faster."""

from __future__ import annotations

import statistics

from bench.figures import Report, Result, speed
from bench.workloads import TALLYGRAPH

WIDTH, LEFT, LONGEST = 720, 96, 430
BAR, GAP = 14, 6
CHART = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
role="img" aria-label="Requests per second of Tallygraph and its peers, for each workload">
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
<text x="0" y="12">Requests per second of one server process on one core; each workload has its \
own scale.</text>
<text x="0" y="30">Behind a peer's figure: ours divided by it.</text>
{bars}
</svg>
"""


def _workload(result: Result, top: int) -> tuple[list[str], int]:
    """The bars of one workload from `top` down, and where they end."""
    title = result.workload.title.replace("`", "")
    parts = [f'<text x="0" y="{top + 12}" class="title">{result.workload.name}: {title}</text>']
    most = max(result.median(server, speed) for server in result.servers)
    y = top + 22
    for server in result.servers:
        value = result.median(server, speed)
        length = max(2, round(value / most * LONGEST))
        look = ' class="ours"' if server == TALLYGRAPH else ""
        times = "" if look else f" · {statistics.median(result.ratios(server)):.2f}×"
        middle = y + BAR - 3
        parts += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end"{look}>{server}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" rx="3"{look}/>',
            f'<text x="{LEFT + length + 8}" y="{middle}"{look}>{value:,.0f}{times}</text>',
        ]
        y += BAR + GAP
    return parts, y


def chart(report: Report) -> str:
    """The whole picture."""
    parts: list[str] = []
    y = 46
    for result in report.results:
        bars, y = _workload(result, y)
        parts += bars
        y += 14
    return CHART.format(width=WIDTH, height=y, bars="\n".join(parts))
