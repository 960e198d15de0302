"""Commands on counts of operations and on alerts, of the processes and their workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database
from db.monitoring.rules import ALERTS, AlertKind

_COUNT = SqlFunction[None]("app.count_operations", "void", counts="jsonb")
_CHECK = SqlFunction[int](
    "app.check_alerts", "integer", thresholds="jsonb", email="text", with_webhook="boolean"
)
_CHANGED_SINCE = SqlFunction[bool](
    "app.alert_changed_since", "boolean", alert_id="text", told_at="timestamp with time zone"
)

USAGE_BY_DAY = SqlFunction[Any](
    "app.usage_by_day",
    "table(day timestamp with time zone, credits_used integer, generations integer,"
    " generations_failed integer, replies integer,"
    " replies_failed integer, cost_micro_usd double precision, latency_milliseconds integer)",
    days="integer",
)
TRAFFIC_BY_HOUR = SqlFunction[Any](
    "app.traffic_by_hour",
    "table(hour timestamp with time zone, answered integer, failed integer,"
    " median_milliseconds double precision, slowest_milliseconds double precision)",
    hours="integer",
    bounds="double precision[]",
)
JOB_QUEUE = SqlFunction[Any](
    "app.job_queue",
    "table(entrypoint text, waiting integer, deferred integer, running integer,"
    " waiting_since timestamp with time zone, running_since timestamp with time zone)",
)
OPEN_HOLDS = SqlFunction[Any](
    "app.open_holds",
    "table(user_id text, amount integer, reference text, unlimited boolean,"
    " held_at timestamp with time zone, expires_at timestamp with time zone)",
    at_most="integer",
)


def alert_kind(alert: str) -> AlertKind:
    """What an alert watches; a newer release may watch what this one does not know."""
    return ALERTS.get(alert, AlertKind(alert, "count"))


async def count_operations(database: Database, counts: Sequence[Mapping[str, Any]]) -> None:
    """Adds what a process has answered to the counts of this minute.

    Each has `kind`, `field`, `answered`, `failed` and `buckets`.
    """
    await call_as_service(database, _COUNT(counts=list(counts)))


async def check_alerts(
    database: Database, thresholds: Mapping[str, float], email: str | None, *, with_webhook: bool
) -> int:
    """Measures what the alerts watch and queues what is told of it; how many changed."""
    check = _CHECK(thresholds=dict(thresholds), email=email, with_webhook=with_webhook)
    return await call_as_service(database, check)


async def has_alert_changed_since(database: Database, alert: str, told_at: datetime) -> bool:
    """Whether an alert has begun or ended since a change of it."""
    return await call_as_service(database, _CHANGED_SINCE(alert_id=alert, told_at=told_at))
