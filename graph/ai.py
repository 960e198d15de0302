"""Runs of language models in the schema: what each attempt took, for admins."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.ai import tables
from graph.engine.declare import (
    backed_by,
    column,
    global_id,
    reference,
    root_connection,
)
from graph.generations import AttemptOutcome
from graph.shared.relay import Connection, Node
from graph.shared.scalars import JSON


@backed_by(tables.AiRequestLog, prefix="aiRequestLog")
class AiRequestLog(Node):
    """One attempt at a reply or an analysis: how it ended, how long it took, what it cost."""

    id: strawberry.ID = global_id()
    user_id: strawberry.ID = reference("user_id", "user", description="Whose it was: a global id.")
    feature: str = column(description="What it was for: CHAT or ANALYSIS.")
    attempt: int = column(description="Which attempt, from 1.")
    provider: str = column(description="Who was asked.")
    outcome: AttemptOutcome = column(description="How it ended.")
    latency_milliseconds: int = column(description="How long the provider took.")
    first_milliseconds: int | None = column(
        description="When its first words came; null when none did."
    )
    usage: JSON = column(description="What the provider says it used: the model, tokens by kind.")
    cost_micro_usd: int = column(
        description="What the provider charges, in millionths of a US dollar."
    )
    error: str | None = column(description="What went wrong; null when nothing did.")
    created_at: datetime = column(description="When it ended.")


@strawberry.type
class AiQuery:
    """Queries on runs of language models, for admins."""

    ai_request_logs: Connection[AiRequestLog] | None = root_connection(
        AiRequestLog,
        ("-created_at", "-id"),
        description="Every attempt at a reply or an analysis, newest first. Kept for a year. For "
        "admins; FORBIDDEN for others.",
    )
