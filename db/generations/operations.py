"""The commands of generations: their only writers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from db.catalog.operations import parameter_rules
from db.catalog.rules import accepted_parameters
from db.core.actor import SERVICE, Actor
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import ErrorCode, Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.uploads.receiving import UploadReceiver

_WAITED_TOO_LONG = (
    "The generation waited too long and was given up. No credit was spent; start it again."
)

_CREATE = SqlFunction[UUID](
    "app.create_generation",
    "uuid",
    tool_id="text",
    upload_id="uuid",
    parameters="jsonb",
    idempotency_key="text",
    mask_upload_id="uuid",
)
_CANCEL = SqlFunction[UUID]("app.cancel_generation", "uuid", wanted="uuid", idempotency_key="text")
_DELETE = SqlFunction[UUID]("app.delete_generation", "uuid", wanted="uuid")
_START = SqlFunction[Any](
    "app.start_generation",
    "record(action text, wait_seconds double precision, attempt integer, attempts_left integer,"
    " user_id uuid, tool_id text, parameters jsonb, upload_path text, upload_content_type text,"
    " mask_path text)",
    wanted="uuid",
    provider_name="text",
    attempts_allowed="integer",
    calls_per_minute="integer",
)
_TAKE_CALL = SqlFunction[bool](
    "app.take_provider_call", "boolean", provider_name="text", calls_per_minute="integer"
)
_FINISH = SqlFunction[bool](
    "app.finish_generation",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    provider_name="text",
    milliseconds="integer",
    used="jsonb",
    cost="integer",
    made_result="jsonb",
    made_path="text",
    made_content_type="text",
    made_bytes="integer",
    offline="boolean",
    preview="boolean",
)
_END_ATTEMPT = SqlFunction[None](
    "app.end_attempt",
    "void",
    wanted="uuid",
    ended_attempt="integer",
    provider_name="text",
    attempt_outcome="text",
    milliseconds="integer",
    used="jsonb",
    cost="integer",
    reason="text",
)
_FAIL = SqlFunction[bool](
    "app.fail_generation",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    code="text",
    message="text",
    dead_error="text",
)
_ASKED_FOR = SqlFunction[Any]("app.asked_for", "record(tool_id text, names jsonb)", wanted="uuid")
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
class AskedFor:
    """The tool of a generation, and what the catalog calls its parameters that name a row of it."""

    tool_id: str
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider is not to be asked now: the generation is to be started again later."""

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
    result_bytes: int = 0


async def create_generation(
    problems: Problems,
    database: Database,
    uploads: UploadReceiver,
    actor: Actor,
    *,
    tool_id: str,
    upload_id: UUID,
    mask_upload_id: UUID | None,
    parameters: Any,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Runs a tool on a photo of the actor's: holds the price, takes its turn; gives the generation.

    What is wrong is told together with the `problems` found before. Photos that lie in a bucket are
    taken in first, with no transaction open.
    """
    problems.add(problems_of_key(idempotency_key))
    if parameters is not None:  # null is among the problems
        rules = await parameter_rules(database, actor, tool_id, parameters)
        if rules is not None:  # an unknown tool is the function's to refuse
            parameters = problems.of(accepted_parameters, rules, parameters)
    problems.refuse()
    for wanted in filter(None, (upload_id, mask_upload_id)):
        await uploads.collect(actor, wanted)
    return _CREATE(
        tool_id=tool_id,
        upload_id=upload_id,
        parameters=parameters,
        idempotency_key=idempotency_key,
        mask_upload_id=mask_upload_id,
    )


def cancel_generation(
    problems: Problems, generation_id: UUID, idempotency_key: str | None
) -> FunctionCall[UUID]:
    """Calls a generation of the actor's off; gives it. Tells the `problems` found before, too."""
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _CANCEL(wanted=generation_id, idempotency_key=idempotency_key)


def delete_generation(generation_id: UUID) -> FunctionCall[UUID]:
    """Forgets a generation of the actor's that has ended; its picture is swept. Gives its id."""
    return _DELETE(wanted=generation_id)


async def _row(database: Database, sql: str, *arguments: Any) -> asyncpg.Record:
    """One statement as the server, a transaction of its own in one round trip."""
    async with database.pools[SERVICE.role].connection() as connection:
        return await connection.raw.fetchrow(sql, *arguments)


async def asked_for(database: Database, generation_id: UUID) -> AskedFor | None:
    """What a generation is to be; None when it is gone."""
    asked = _ASKED_FOR(wanted=generation_id)
    row = await _row(database, asked.sql, *asked.values)
    return AskedFor(row["tool_id"], row["names"]) if row["tool_id"] else None


async def take_provider_call(database: Database, provider: str, calls_per_minute: int) -> bool:
    """Counts a further call of an attempt; False when none of this minute is left."""
    return await call_as_service(
        database, _TAKE_CALL(provider_name=provider, calls_per_minute=calls_per_minute)
    )


async def start_generation(
    database: Database,
    generation_id: UUID,
    provider: str,
    attempts: int,
    calls_per_minute: int = 0,
) -> RunnableGeneration | Wait | None:
    """The next of `attempts` attempts, now RUNNING; None when there is nothing left to do.

    A generation that is RUNNING already was left behind by a worker that died, and is run again.
    All workers together begin `calls_per_minute` attempts with a provider; 0 is no limit.
    """
    started = _START(
        wanted=generation_id,
        provider_name=provider,
        attempts_allowed=attempts,
        calls_per_minute=calls_per_minute,
    )
    row = await _row(database, started.sql, *started.values)
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
    finished = _FINISH(
        wanted=generation.id,
        fenced_attempt=generation.attempt,
        provider_name=made.provider,
        milliseconds=made.latency_milliseconds,
        used=made.usage,
        cost=made.cost_micro_usd,
        made_result=made.result,
        made_path=made.result_path,
        made_content_type=made.result_content_type,
        made_bytes=made.result_bytes,
        offline=made.made_offline,
        preview=made.is_preview,
    )
    return await call_as_service(database, finished)


async def end_attempt(
    database: Database,
    generation: RunnableGeneration,
    provider: str,
    outcome: AttemptFailure,
    latency_milliseconds: int,
    error: str | None,
    usage: dict[str, Any] | None = None,
    cost_micro_usd: int = 0,
) -> None:
    """Note an attempt that made nothing, and what it took; `error` is for admins."""
    ended = _END_ATTEMPT(
        wanted=generation.id,
        ended_attempt=generation.attempt,
        provider_name=provider,
        attempt_outcome=outcome.value,
        milliseconds=latency_milliseconds,
        used=usage or {},
        cost=cost_micro_usd,
        reason=error,
    )
    await call_as_service(database, ended)


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
    failed = _FAIL(
        wanted=generation_id,
        fenced_attempt=attempt,
        code=code.value,
        message=message,
        dead_error=dead_error,
    )
    return await call_as_service(database, failed)


async def recorded_result_path(database: Database, generation_id: UUID) -> str | None:
    """Where the generation's result lies, if it has one."""
    row = await _row(database, _RESULT_PATH, generation_id)
    path: str | None = row["result_path"] if row else None
    return path


async def is_cancelled(database: Database, generation_id: UUID) -> bool:
    """Whether a generation was called off."""
    return bool((await _row(database, _IS_CANCELLED, generation_id))[0])


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
