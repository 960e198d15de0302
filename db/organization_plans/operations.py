"""What the schema shows of an organization's plan; what enforces it stands in `limits.sql`."""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction

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
