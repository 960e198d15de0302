"""Charts, as numbers for a template: bars and lines, a scale, and a table of the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Heights are in pixels and widths in percent, so that text keeps its size on a narrow screen.
HEIGHT, TOP, BOTTOM = 190.0, 22.0, 22.0
PLOT = HEIGHT - TOP - BOTTOM
GAP = 0.24
# Even, so that half of a count is a count.
STEPS = (1, 2, 4, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """Numbers with a name; `tone` says in which colour. Null is nothing to draw."""

    name: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ChartBar:
    """A rectangle, and what it says when it is pointed at."""

    x: float
    width: float
    y: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line in a square of 100, broken where there is nothing; single points are dots."""

    tone: str
    paths: list[str]
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of several series over the same labels."""

    title: str
    summary: str
    labels: Sequence[str]
    series: Sequence[ChartSeries]
    bars: list[ChartBar]
    lines: list[ChartLine]
    grid: list[tuple[float, str]]
    ends: tuple[str, str, str]
    table: list[tuple[str, list[str]]]
    is_empty: bool


Write = Callable[[float], str]


def whole(value: float) -> str:
    """A count: 12,345."""
    return f"{value:,.0f}"


def milliseconds(value: float) -> str:
    """A time that is shown in milliseconds, or in seconds from one on."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 or value == 0 else f"{value:.1f} ms"


def stacked_bars(
    title: str, labels: Sequence[str], series: Sequence[ChartSeries], write: Write = whole
) -> Chart:
    """Bars, one for each label, the series on top of each other."""
    totals = [sum(one.values[n] or 0 for one in series) for n in range(len(labels))]
    top = nice_top(max(totals, default=0))
    slot = 100 / max(len(labels), 1)
    bars = []
    for n, label in enumerate(labels):
        y = TOP + PLOT
        for one in series:
            value = one.values[n] or 0
            height = PLOT * value / top
            y -= height
            if value:
                words = f"{label}: {write(value)} {one.name.lower()}"
                x, width = slot * (n + GAP / 2), slot * (1 - GAP)
                bars.append(ChartBar(x, width, y, height, one.tone, words))
    said = "; ".join(f"{one.name}: {write(sum(v or 0 for v in one.values))}" for one in series)
    return _chart(title, said, labels, series, write, top, bars=bars)


def lines(
    title: str, labels: Sequence[str], series: Sequence[ChartSeries], write: Write = milliseconds
) -> Chart:
    """Lines over the labels."""
    top = nice_top(max((v for one in series for v in one.values if v is not None), default=0))
    drawn = [_line(one, top) for one in series]
    newest = [
        f"{one.name}: {write(known[-1])}"
        for one in series
        if (known := [v for v in one.values if v is not None])
    ]
    said = f"Last measured: {'; '.join(newest)}" if newest else "Nothing was measured."
    return _chart(title, said, labels, series, write, top, drawn=drawn)


def _line(series: ChartSeries, top: float) -> ChartLine:
    """Stretches of neighbours become lines; what stands alone, a dot."""
    slot = 100 / max(len(series.values), 1)
    paths: list[str] = []
    dots: list[tuple[float, float]] = []
    stretch: list[tuple[float, float]] = []
    for n, value in enumerate([*series.values, None]):
        if value is not None:
            stretch.append((slot * (n + 0.5), 100 - 100 * value / top))
            continue
        if len(stretch) == 1:
            dots += stretch
        elif stretch:
            paths.append(" ".join(f"{x:.2f},{y:.2f}" for x, y in stretch))
        stretch = []
    return ChartLine(series.tone, paths, [(x, TOP + PLOT * y / 100) for x, y in dots])


def _chart(
    title: str,
    summary: str,
    labels: Sequence[str],
    series: Sequence[ChartSeries],
    write: Write,
    top: float,
    *,
    bars: Sequence[ChartBar] = (),
    drawn: Sequence[ChartLine] = (),
) -> Chart:
    grid = [(TOP + PLOT * (1 - part), write(top * part)) for part in (1, 0.5)]
    ends = (labels[0], labels[len(labels) // 2], labels[-1]) if labels else ("", "", "")
    table = [
        (label, ["–" if (v := one.values[n]) is None else write(v) for one in series])
        for n, label in reversed(list(enumerate(labels)))
    ]
    is_empty = not any(value for one in series for value in one.values)
    return Chart(
        title, summary, labels, series, list(bars), list(drawn), grid, ends, table, is_empty
    )


def nice_top(highest: float) -> float:
    """The end of the scale: the first round number that the highest value does not pass."""
    if highest <= 1:
        return 2
    power: float = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in STEPS if step * power >= highest)
