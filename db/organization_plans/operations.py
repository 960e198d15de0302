"""What the schema shows of an organization's plan, and what plans cost.

What enforces limits stands in `limits.sql`.
"""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database

LIMIT = SqlFunction[int](
    "app.plan_limit", "integer", wanted_plan="text", limited_kind="text", seats="integer"
)
USAGE = SqlFunction[int](
    "app.plan_usage", "integer", wanted="uuid", limited_kind="text", reset_day="integer"
)
PERIOD_START = SqlFunction[Any](
    "app.usage_period_start", "timestamp with time zone", reset_day="integer", moment="timestamptz"
)
PERIOD_END = SqlFunction[Any](
    "app.usage_period_end", "timestamp with time zone", reset_day="integer", moment="timestamptz"
)
_NOTE_PRICES = SqlFunction[bool](
    "app.note_plan_prices",
    "boolean",
    wanted="text",
    month="integer",
    year="integer",
    in_currency="text",
)


async def note_plan_prices(
    database: Database, plan_id: str, month: int | None, year: int | None, currency: str
) -> bool:
    """Has people shown what a plan costs; False where its prices would be in two currencies."""
    noted = _NOTE_PRICES(wanted=plan_id, month=month, year=year, in_currency=currency)
    return await call_as_service(database, noted)
