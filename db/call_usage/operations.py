"""The report of an organization's calls."""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction

CALL_USAGE = SqlFunction[Any](
    "app.call_usage",
    "table(day timestamp with time zone, workflow_id uuid, campaign_id uuid, calls integer,"
    " completed integer, voicemail integer, busy integer, no_answer integer, failed integer,"
    " duration_seconds integer, cost_cents integer)",
    actor_id="uuid",
    wanted="uuid",
    summed_by="text",
    time_zone="text",
    from_at="timestamptz",
    to_at="timestamptz",
)
