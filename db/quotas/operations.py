"""What users ask of their quotas."""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction

QUOTAS = SqlFunction[Any](
    "app.quotas",
    "table(slice text, rows_used bigint, rows_limit bigint, bytes_used bigint, bytes_limit bigint)",
    owner_id="uuid",
)
