"""The dashboard: what to look at now, and charts of use, speed and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from server.admin.charts import Chart, ChartSeries, lines, milliseconds, stacked_bars
from server.admin.rendering import Rendering, day
from server.admin.visits import Visit

DAYS, HOURS = 30, 48
MOST_COUNTED = 100
DOCUMENT = f"""{{
  usageByDay(days: {DAYS}) {{ day creditsUsed generations generationsFailed replies repliesFailed
    costMicroUsd latencyMilliseconds }}
  trafficByHour(hours: {HOURS}) {{ hour answered failed medianMilliseconds slowestMilliseconds }}
  alerts {{ status }}
  webhookEvents(first: {MOST_COUNTED}, where: {{status: {{eq: QUARANTINED}}}}) {{ nodes {{ id }} }}
  deadJobs(first: {MOST_COUNTED}) {{ nodes {{ retriedAt }} }}
}}"""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, and where more of it is seen."""

    label: str
    value: str
    more: str
    link: str
    tone: str = ""


async def show_dashboard(rendering: Rendering, visit: Visit) -> Response:
    """The page that admins begin with."""
    found = (await visit.ask(DOCUMENT)).data
    days, hours = found["usageByDay"] or [], found["trafficByHour"] or []
    return rendering.page(
        visit,
        "dashboard.html",
        tiles=[*_use(days, hours), *_to_do(found)],
        charts=_charts(days, hours),
    )


def _use(days: Rows, hours: Rows) -> list[Tile]:
    today, week = days[-1], days[-7:]
    answered = sum(hour["answered"] for hour in hours[-24:])
    failed = sum(hour["failed"] for hour in hours[-24:])
    share = f"{100 * failed / answered:.2f} %" if answered else "–"
    spent = sum(one["creditsUsed"] for one in week)
    made = sum(one["generations"] for one in week)
    return [
        Tile(
            "Credits used today",
            f"{today['creditsUsed']:,}",
            f"{spent:,} in 7 days",
            "/admin/users",
        ),
        Tile(
            "Generations today",
            f"{today['generations']:,}",
            f"{made:,} in 7 days",
            "/admin/generations",
        ),
        Tile(
            "Requests that failed",
            share,
            f"{failed:,} of {answered:,} in 24 hours",
            "/admin/alerts",
            "bad" if answered and failed / answered > 0.01 else "",
        ),
    ]


def _to_do(found: Mapping[str, Any]) -> list[Tile]:
    firing = sum(alert["status"] == "FIRING" for alert in found["alerts"] or [])
    webhooks = len((found["webhookEvents"] or {"nodes": []})["nodes"])
    jobs = (found["deadJobs"] or {"nodes": []})["nodes"]
    dead = sum(job["retriedAt"] is None for job in jobs)
    return [
        Tile("Alerts", _count(firing), "firing", "/admin/alerts", _bad(firing)),
        Tile(
            "Webhooks",
            _count(webhooks),
            "in quarantine",
            "/admin/webhooks?status=QUARANTINED",
            _bad(webhooks),
        ),
        Tile("Jobs", _count(dead), "given up", "/admin/jobs", _bad(dead)),
    ]


def _count(number: int) -> str:
    return f"{MOST_COUNTED}+" if number >= MOST_COUNTED else str(number)


def _bad(number: int) -> str:
    return "bad" if number else "good"


def _charts(days: Rows, hours: Rows) -> list[Chart]:
    day_names = [day(one["day"]) for one in days]
    hour_names = [f"{datetime.fromisoformat(one['hour']):%d %b %H:00}" for one in hours]

    def of(rows: Rows, field: str) -> list[Any]:
        return [row[field] for row in rows]

    def without(rows: Rows, field: str, failed: str) -> list[float | None]:
        return [row[field] - row[failed] for row in rows]

    return [
        stacked_bars(
            f"Credits used, {DAYS} days",
            day_names,
            [ChartSeries("Credits", "one", [max(v, 0) for v in of(days, "creditsUsed")])],
        ),
        stacked_bars(
            f"Generations, {DAYS} days",
            day_names,
            [
                ChartSeries("Made", "one", without(days, "generations", "generationsFailed")),
                ChartSeries("Failed", "two", of(days, "generationsFailed")),
            ],
        ),
        stacked_bars(
            f"Replies and analyses, {DAYS} days",
            day_names,
            [
                ChartSeries("Made", "one", without(days, "replies", "repliesFailed")),
                ChartSeries("Failed", "two", of(days, "repliesFailed")),
            ],
        ),
        lines(
            f"Time of AI providers, {DAYS} days",
            day_names,
            [ChartSeries("95th of 100", "one", of(days, "latencyMilliseconds"))],
        ),
        lines(
            f"Time of the API, {HOURS} hours",
            hour_names,
            [
                ChartSeries("Median", "one", of(hours, "medianMilliseconds")),
                ChartSeries("95th of 100", "two", of(hours, "slowestMilliseconds")),
            ],
            milliseconds,
        ),
        stacked_bars(
            f"Failures of the API, {HOURS} hours",
            hour_names,
            [ChartSeries("Failed", "two", of(hours, "failed"))],
        ),
    ]
