"""Commands on counts of operations and on alerts, of the processes and their workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database

_COUNT = SqlFunction[None]("app.count_operations", "void", counts="jsonb")
_CHECK = SqlFunction[int](
    "app.check_alerts", "integer", thresholds="jsonb", email="text", with_webhook="boolean"
)


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
