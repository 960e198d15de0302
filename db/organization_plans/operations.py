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
# Of one organization: each kind that its plan limits, what is allowed (-1: any number) and used.
LIMITS_OF_ORGANIZATION_SQL = """
select k.kind, app.plan_limit(o.plan_id, k.kind, o.seats) as allowed,
    app.plan_usage(o.id, k.kind, o.usage_reset_day) as used
from organizations o, unnest(array['WORKFLOWS', 'CALLS', 'CAMPAIGNS', 'SEATS'])
    with ordinality k (kind, place)
where o.id = $1 order by k.place
"""


async def note_plan_prices(
    database: Database, plan_id: str, month: int | None, year: int | None, currency: str
) -> bool:
    """Has people shown what a plan costs; False where its prices would be in two currencies."""
    noted = _NOTE_PRICES(wanted=plan_id, month=month, year=year, in_currency=currency)
    return await call_as_service(database, noted)
