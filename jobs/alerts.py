"""Measures each minute what alerts watch, and tells the operator of changes."""

from __future__ import annotations

from datetime import datetime

import orjson
import structlog

from db.core.http_calls import CallFailed, call
from db.core.pool import Database
from db.monitoring.operations import check_alerts, has_alert_changed_since
from db.monitoring.rules import ALERTS, DEDUCTION, LATENCY, SYNC, WEBHOOK, shown
from jobs.core.declare import RetryLater, every, job
from settings import Settings

CALL_SECONDS, MOST_BYTES = 10.0, 65_536
RETRY_SECONDS = 30.0
# Within an hour; the state itself is kept, and a later change is told anew.
JOB_ATTEMPTS = 120

log = structlog.get_logger(__name__)


def thresholds_of(settings: Settings) -> dict[str, float]:
    """The limit of each alert; above it, it fires."""
    return {
        LATENCY: settings.alert_ai_latency_seconds,
        SYNC: settings.alert_sync_failures_percent / 100,
        DEDUCTION: settings.alert_deduction_failures_percent / 100,
        WEBHOOK: settings.alert_webhook_failures,
    }


@every("* * * * *")
async def watch_alerts(database: Database, settings: Settings) -> None:
    """Measure what the alerts watch; whoever changed is told of in the same transaction."""
    changed = await check_alerts(
        database,
        thresholds_of(settings),
        settings.alert_email or None,
        with_webhook=bool(settings.alert_webhook_url),
    )
    if changed:
        log.warning("alerts changed", alerts=changed)


@job("call_alert_webhook", attempts=JOB_ATTEMPTS)
async def call_alert_webhook(
    database: Database,
    settings: Settings,
    *,
    alert: str,
    status: str,
    measured: float | None,
    threshold: float,
    changed_at: datetime,
) -> None:
    """Tell the operator's webhook that an alert has begun or is over.

    `text` is what Slack and its like show; the rest is for programs. What was not taken before it
    changed again is not told any more: it would come after what holds now.
    """
    if not settings.alert_webhook_url:
        return
    if await has_alert_changed_since(database, alert, changed_at):
        log.warning("alert not told", alert=alert, status=status)
        return
    body = {
        "alert": alert,
        "status": status,
        "measured": measured,
        "threshold": threshold,
        "changedAt": changed_at.isoformat(),
        "product": settings.product_name,
        "text": f"{settings.product_name}: {ALERTS[alert].title}: {shown(alert, measured)}"
        f" ({'over' if status == 'FIRING' else 'within'} {shown(alert, threshold)})",
    }
    try:
        answered, _ = await call(
            "POST",
            settings.alert_webhook_url,
            headers={"content-type": "application/json"},
            seconds=CALL_SECONDS,
            most_bytes=MOST_BYTES,
            content=orjson.dumps(body),
        )
    except CallFailed as error:
        raise RetryLater(RETRY_SECONDS, f"the webhook of alerts: {error}") from None
    if answered == 429 or answered >= 500:
        raise RetryLater(RETRY_SECONDS, f"the webhook of alerts answered {answered}")
    if answered >= 300:
        log.error("alert not taken", alert=alert, status=status, answered=answered)
