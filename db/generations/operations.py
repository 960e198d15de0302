"""The commands of generations: their only writers once they are created."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.errors import ErrorCode
from db.core.pool import Database, Transaction

_WAITED_TOO_LONG = (
    "The generation waited too long and was given up. No credit was spent; start it again."
)

_START = "select * from app.start_generation($1, $2, $3)"
_FINISH = "select app.finish_generation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_END_ATTEMPT = "select app.end_attempt($1, $2, $3, $4, $5, $6)"
_FAIL = "select app.fail_generation($1, $2, $3, $4, $5)"
_MOVE_TO_DEAD_LETTERS = "select app.move_to_dead_letters($1, $2, null, $3, $4)"
_DELETE = text("select app.delete_generation(:id)")
_IS_CANCELLED = """
    select exists (select from generations where id = $1 and status = 'CANCELLED')
"""
_RESULT_PATH = "select result_path from generations where id = $1"
# Unfinished though its hold's time is over; without a hold, an hour after its turn came.
_OVERDUE = """
    select g.id from generations g left join credit_holds h on h.id = g.hold_id
    where g.status in ('QUEUED', 'RUNNING') and (
        h.status = 'OPEN' and h.expires_at <= now()
        or g.hold_id is null and g.enqueued_at <= now() - interval '1 hour')
    order by g.created_at limit $1
"""


@dataclass(frozen=True, slots=True)
class RunnableGeneration:
    """What a worker needs for one attempt at a generation.

    `attempt` fences it: once another has begun, this one can end nothing any more.
    """

    id: UUID
    user_id: UUID
    attempt: int
    attempts_left: int
    tool_id: str
    parameters: dict[str, Any]
    upload_path: str
    upload_content_type: str
    mask_path: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider is given a rest: the generation is to be started again later."""

    seconds: float


class AttemptFailure(StrEnum):
    """How an attempt ended that made nothing."""

    REFUSED = "REFUSED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    STORAGE_FAILED = "STORAGE_FAILED"


@dataclass(frozen=True, slots=True)
class MadeGeneration:
    """What came of an attempt, and what it took. The cost is in millionths of a US dollar.

    A preview is charged nothing, whatever was held for it.
    """

    result: dict[str, Any] | None
    result_path: str | None
    result_content_type: str | None
    made_offline: bool
    provider: str
    latency_milliseconds: int
    usage: dict[str, Any]
    cost_micro_usd: int
    is_preview: bool = False


async def _call(database: Database, sql: str, *arguments: Any) -> asyncpg.Record:
    """One function call as the server, a transaction of its own in one round trip."""
    async with database.pools[SERVICE.role].connection() as connection:
        return await connection.raw.fetchrow(sql, *arguments)


async def start_generation(
    database: Database, generation_id: UUID, provider: str, attempts: int
) -> RunnableGeneration | Wait | None:
    """The next of `attempts` attempts, now RUNNING; None when there is nothing left to do.

    A generation that is RUNNING already was left behind by a worker that died, and is run again.
    """
    row = await _call(database, _START, generation_id, provider, attempts)
    if row["action"] == "DONE":
        return None
    if row["action"] == "WAIT":
        return Wait(row["wait_seconds"])
    return RunnableGeneration(
        id=generation_id,
        user_id=row["user_id"],
        attempt=row["attempt"],
        attempts_left=row["attempts_left"],
        tool_id=row["tool_id"],
        parameters=row["parameters"],
        upload_path=row["upload_path"],
        upload_content_type=row["upload_content_type"],
        mask_path=row["mask_path"],
    )


async def finish_generation(
    database: Database, generation: RunnableGeneration, made: MadeGeneration
) -> bool:
    """Capture the hold and record the result; False when somebody else ended it or took over."""
    (finished,) = await _call(
        database,
        _FINISH,
        generation.id,
        generation.attempt,
        made.provider,
        made.latency_milliseconds,
        made.usage,
        made.cost_micro_usd,
        made.result,
        made.result_path,
        made.result_content_type,
        made.made_offline,
        made.is_preview,
    )
    return bool(finished)


async def end_attempt(
    database: Database,
    generation: RunnableGeneration,
    provider: str,
    outcome: AttemptFailure,
    latency_milliseconds: int,
    error: str | None,
) -> None:
    """Note an attempt that made nothing; `error` is for admins."""
    await _call(
        database,
        _END_ATTEMPT,
        generation.id,
        generation.attempt,
        provider,
        outcome.value,
        latency_milliseconds,
        error,
    )


async def fail_generation(
    database: Database,
    generation_id: UUID,
    code: ErrorCode,
    message: str,
    *,
    attempt: int | None = None,
    dead_error: str | None = None,
) -> bool:
    """Release the hold and record the failure; False when the generation had ended already.

    `message` is shown to the user. With `attempt`, only that attempt may be the one that fails.
    `dead_error` keeps its job for an admin, who reads there what happened.
    """
    (failed,) = await _call(
        database, _FAIL, generation_id, attempt, code.value, message, dead_error
    )
    return bool(failed)


async def recorded_result_path(database: Database, generation_id: UUID) -> str | None:
    """Where the generation's result lies, if it has one."""
    row = await _call(database, _RESULT_PATH, generation_id)
    path: str | None = row["result_path"] if row else None
    return path


async def bury_job(
    database: Database, entrypoint: str, payload: bytes, attempts: int, error: str
) -> None:
    """Keep a job that cannot be done for an admin, who reads the error and may retry it."""
    await _call(database, _MOVE_TO_DEAD_LETTERS, entrypoint, payload, attempts, error)


async def delete_generation(transaction: Transaction, generation_id: UUID) -> None:
    """Forgets a generation of the actor's that has ended; its picture is swept."""
    await transaction.fetch_value(_DELETE, id=generation_id)


async def is_cancelled(database: Database, generation_id: UUID) -> bool:
    """Whether a generation was called off."""
    return bool((await _call(database, _IS_CANCELLED, generation_id))[0])


async def give_up_overdue_generations(database: Database, at_most: int) -> int:
    """Fail the unfinished generations whose time is over; returns how many ended."""
    async with database.pools[SERVICE.role].connection() as connection:
        overdue = await connection.raw.fetch(_OVERDUE, at_most)
    ended = 0
    for row in overdue:
        ended += await fail_generation(
            database, row["id"], ErrorCode.PROVIDER_FAILED, _WAITED_TOO_LONG
        )
    return ended
