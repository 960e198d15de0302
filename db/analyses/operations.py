"""Commands of analyses, and what workers read for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.chat.rules import SaidMessage, shown_messages
from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key

_ANALYZE = SqlFunction[UUID](
    "app.analyze_profile", "uuid", profile_id="uuid", idempotency_key="text"
)
_CONTEXT = SqlFunction[Any](
    "app.analysis_context",
    "record(profile jsonb, locale text, messages jsonb)",
    wanted="uuid",
    at_most="integer",
)
_MOST_MESSAGES = 40


@dataclass(frozen=True, slots=True)
class AnalysisContext:
    """What an analysis is made of: what is known of the profile, its picture, and its chat."""

    name: str | None
    known: dict[str, Any]
    thumbnail: str | None
    thumbnail_path: str | None
    locale: str
    messages: Sequence[SaidMessage]


def analyze(problems: Problems, *, profile_id: UUID, idempotency_key: str) -> FunctionCall[UUID]:
    """Has a profile of the caller's analysed; gives the analysis.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _ANALYZE(profile_id=profile_id, idempotency_key=idempotency_key)


async def read_analysis_context(
    database: Database, analysis_id: UUID, context_tokens: int
) -> AnalysisContext | None:
    """What an analysis is made of; None once the profile is gone."""
    called = _CONTEXT(wanted=analysis_id, at_most=_MOST_MESSAGES)
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(called.sql, *called.values)
    if row is None or row["profile"] is None:
        return None
    said = [SaidMessage(one["role"], one["text"]) for one in row["messages"]]
    profile = row["profile"]
    known = profile["analysis"] if isinstance(profile["analysis"], dict) else {}
    return AnalysisContext(
        profile["name"],
        known,
        profile["thumbnail"],
        profile["thumbnail_path"],
        row["locale"] or "en",
        shown_messages(said, context_tokens),
    )
