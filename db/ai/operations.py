"""Commands of runs of language models: a worker's, and the operator's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import SqlFunction, call_as_service
from db.core.errors import ErrorCode
from db.core.pool import Database

_START = SqlFunction[Any](
    "app.start_ai_run",
    "record(action text, wait_seconds double precision, attempt integer, attempts_left integer,"
    " user_id uuid, feature text, model text, max_output_tokens integer, context_tokens integer)",
    wanted="uuid",
    provider_name="text",
    attempts_allowed="integer",
    calls_per_minute="integer",
)
_FINISH = SqlFunction[bool](
    "app.finish_ai_run",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    provider_name="text",
    milliseconds="integer",
    first_words="integer",
    used="jsonb",
    cost="integer",
    used_tokens="integer",
    made_text="text",
    made="jsonb",
    offline="boolean",
)
_END_ATTEMPT = SqlFunction[None](
    "app.end_ai_attempt",
    "void",
    wanted="uuid",
    ended_attempt="integer",
    provider_name="text",
    attempt_outcome="text",
    milliseconds="integer",
    first_words="integer",
    used="jsonb",
    cost="integer",
    used_tokens="integer",
    reason="text",
)
_FAIL = SqlFunction[bool](
    "app.fail_ai_run",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    code="text",
    message="text",
)
SET_BUDGET = SqlFunction[None](
    "app.set_ai_budget",
    "void",
    wanted_feature="text",
    wanted_plan="text",
    wanted_model="text",
    output_tokens="integer",
    context="integer",
    daily="integer",
    held_credits="integer",
    per_credit="integer",
)
_IS_CANCELLED = "select exists (select from ai_runs where id = $1 and status = 'CANCELLED')"
# Unfinished though its hold's time is over.
_OVERDUE = """
    select id from ai_runs
    where status in ('QUEUED', 'RUNNING') and created_at <= now() - interval '15 minutes'
    order by created_at limit $1
"""
_WAITED_TOO_LONG = "The answer took too long and was given up. No credit was spent; ask again."


@dataclass(frozen=True, slots=True)
class AiAllowance:
    """What a feature may take, for the users of a plan or, without one, for everybody else."""

    feature: str
    plan_id: str | None
    model: str | None
    max_output_tokens: int
    context_tokens: int
    daily_tokens: int
    credits: int
    tokens_per_credit: int | None

    def arguments(self) -> dict[str, Any]:
        """Those of `SET_BUDGET`."""
        return {
            "wanted_feature": self.feature,
            "wanted_plan": self.plan_id,
            "wanted_model": self.model,
            "output_tokens": self.max_output_tokens,
            "context": self.context_tokens,
            "daily": self.daily_tokens,
            "held_credits": self.credits,
            "per_credit": self.tokens_per_credit,
        }


class RunOutcome(StrEnum):
    """How an attempt ended that brought nothing."""

    REFUSED = "REFUSED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What a worker needs for one attempt, whose number fences it."""

    id: UUID
    user_id: UUID
    feature: str
    attempt: int
    attempts_left: int
    model: str | None
    max_output_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """The provider is not to be asked now: the run is to be started again later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunCost:
    """What an attempt took. The cost is in millionths of a US dollar."""

    provider: str
    milliseconds: int
    first_milliseconds: int | None
    usage: dict[str, Any]
    cost_micro_usd: int
    tokens: int


async def start_run(
    database: Database, run_id: UUID, provider: str, attempts: int, calls_per_minute: int
) -> StartedRun | WaitingRun | None:
    """The next of `attempts` attempts, now RUNNING; None when there is nothing left to do."""
    started = _START(
        wanted=run_id,
        provider_name=provider,
        attempts_allowed=attempts,
        calls_per_minute=calls_per_minute,
    )
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(started.sql, *started.values)
    if row["action"] == "DONE":
        return None
    if row["action"] == "WAIT":
        return WaitingRun(row["wait_seconds"])
    return StartedRun(
        id=run_id,
        user_id=row["user_id"],
        feature=row["feature"],
        attempt=row["attempt"],
        attempts_left=row["attempts_left"],
        model=row["model"],
        max_output_tokens=row["max_output_tokens"],
        context_tokens=row["context_tokens"],
    )


async def finish_run(
    database: Database,
    run: StartedRun,
    cost: RunCost,
    *,
    text: str | None = None,
    made: dict[str, Any] | None = None,
    made_offline: bool,
) -> bool:
    """Captures the hold and records the answer; False when somebody else ended it or took over."""
    finished = _FINISH(
        wanted=run.id,
        fenced_attempt=run.attempt,
        provider_name=cost.provider,
        milliseconds=cost.milliseconds,
        first_words=cost.first_milliseconds,
        used=cost.usage,
        cost=cost.cost_micro_usd,
        used_tokens=cost.tokens,
        made_text=text,
        made=made,
        offline=made_offline,
    )
    return await call_as_service(database, finished)


async def end_run_attempt(
    database: Database, run: StartedRun, outcome: RunOutcome, cost: RunCost, error: str | None
) -> None:
    """Notes an attempt that brought nothing, and what it took; `error` is for admins."""
    ended = _END_ATTEMPT(
        wanted=run.id,
        ended_attempt=run.attempt,
        provider_name=cost.provider,
        attempt_outcome=outcome.value,
        milliseconds=cost.milliseconds,
        first_words=cost.first_milliseconds,
        used=cost.usage,
        cost=cost.cost_micro_usd,
        used_tokens=cost.tokens,
        reason=error,
    )
    await call_as_service(database, ended)


async def fail_run(
    database: Database, run_id: UUID, code: ErrorCode, message: str, *, attempt: int | None = None
) -> bool:
    """Releases the hold and records the failure; False when the run had ended already.

    `message` is shown to the user. With `attempt`, only that attempt may be the one that fails.
    """
    failed = _FAIL(wanted=run_id, fenced_attempt=attempt, code=code.value, message=message)
    return await call_as_service(database, failed)


async def run_is_cancelled(database: Database, run_id: UUID) -> bool:
    """Whether a run was called off."""
    async with database.pools[SERVICE.role].connection() as connection:
        return bool(await connection.raw.fetchval(_IS_CANCELLED, run_id))


async def give_up_overdue_runs(database: Database, at_most: int) -> int:
    """Fails the unfinished runs whose time is over; returns how many ended."""
    async with database.pools[SERVICE.role].connection() as connection:
        overdue = await connection.raw.fetch(_OVERDUE, at_most)
    ended = 0
    for row in overdue:
        ended += await fail_run(database, row["id"], ErrorCode.PROVIDER_FAILED, _WAITED_TOO_LONG)
    return ended
