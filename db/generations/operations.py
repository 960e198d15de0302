"""The verbs of uploads and generations: the only writers of both after a generation is created."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from db.actor import SERVICE, Actor
from db.errors import DomainError, ErrorCode, bad_input
from db.pool import Database, Transaction
from db.storage import EXTENSIONS, upload_path

UPLOAD_LIMIT_BYTES = 15 * 1_048_576

_WAITED_TOO_LONG = (
    "The generation waited too long and was given up. No credit was spent; start it again."
)

_INSERT_UPLOAD = text("""
    insert into uploads (user_id, content_type, declared_size_bytes, expires_at)
    values (:user_id, :content_type, :size_bytes, now() + make_interval(secs => :url_seconds))
    returning id
""")
_FIND_UPLOAD = text("select user_id, status, expires_at from uploads where id = :id")
_MARK_READY = text("""
    update uploads
    set status = 'READY', path = :path, stored_content_type = :content_type,
        original_sha256 = :sha256, width_pixels = :width, height_pixels = :height,
        size_bytes = :size_bytes, received_at = now(), rejected_code = null, rejected_message = null
    where id = :id and status <> 'READY'
""")
_MARK_REJECTED = text("""
    update uploads
    set status = 'REJECTED', rejected_code = :code, rejected_message = :message
    where id = :id and status <> 'READY'
""")

_START = "select * from app.start_generation($1, $2, $3)"
_FINISH = "select app.finish_generation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_END_ATTEMPT = "select app.end_attempt($1, $2, $3, $4, $5, $6)"
_FAIL = "select app.fail_generation($1, $2, $3, $4, $5)"
_BURY = "select app.bury_job($1, $2, null, $3, $4)"
_RESULT_PATH = "select result_path from generations where id = $1"
# Unfinished though its hold's time is over; without a hold, an hour after its turn came.
_OVERDUE = """
    select g.id from generations g left join credit_holds h on h.id = g.hold_id
    where g.status in ('QUEUED', 'RUNNING') and (
        h.status = 'OPEN' and h.expires_at <= now()
        or g.hold_id is null and g.enqueued_at <= now() - interval '1 hour')
    order by g.created_at limit $1
"""


async def create_upload(
    transaction: Transaction,
    actor: Actor,
    content_type: str,
    size_bytes: int,
    url_seconds: int,
    limit_bytes: int = UPLOAD_LIMIT_BYTES,
) -> UUID:
    """A place for one photo of the actor's, awaiting its bytes for `url_seconds`."""
    if content_type not in EXTENSIONS:
        raise bad_input(
            f"Send a photo of one of these types: {', '.join(EXTENSIONS)}.", "input", "contentType"
        )
    if size_bytes == 0:
        raise DomainError(
            ErrorCode.EMPTY_FILE, "The file is empty. Choose another.", ("input", "sizeBytes")
        )
    if not 0 < size_bytes <= limit_bytes:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"A photo may have 1 byte to {limit_bytes / 1_048_576:g} MiB. Send a smaller one.",
            ("input", "sizeBytes"),
        )
    upload_id: UUID = await transaction.fetch_value(
        _INSERT_UPLOAD,
        user_id=actor.user_id,
        content_type=content_type,
        size_bytes=size_bytes,
        url_seconds=url_seconds,
    )
    return upload_id


@dataclass(frozen=True, slots=True)
class UploadState:
    """Whether an upload has its photo, and until when it waits for one."""

    status: str
    expires_at: datetime


class UploadRecords:
    """What the routes of signed links learn of uploads and write down about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_upload(self, upload_id: UUID) -> UploadState | None:
        """The upload, or None when there is none."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND_UPLOAD, id=upload_id)
        return UploadState(row["status"], row["expires_at"]) if row else None

    async def mark_ready(
        self,
        upload_id: UUID,
        *,
        sha256: str,
        width: int,
        height: int,
        size_bytes: int,
        content_type: str,
    ) -> None:
        """The photo lies in storage. An upload that is ready already stays as it is."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND_UPLOAD, id=upload_id)
            if row is None:
                return
            await transaction.execute(
                _MARK_READY,
                id=upload_id,
                path=upload_path(row["user_id"], upload_id),
                content_type=content_type,
                sha256=sha256,
                width=width,
                height=height,
                size_bytes=size_bytes,
            )

    async def mark_rejected(self, upload_id: UUID, code: ErrorCode, message: str) -> None:
        """The bytes were refused; better ones may follow. An upload that is ready stays so."""
        async with self._database.transaction(SERVICE) as transaction:
            await transaction.execute(
                _MARK_REJECTED, id=upload_id, code=code.value, message=message
            )


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


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider is given a rest: the generation is to be started again later."""

    seconds: float


class AttemptOutcome(StrEnum):
    """How an attempt ended that made nothing."""

    REFUSED = "REFUSED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    STORAGE_FAILED = "STORAGE_FAILED"


@dataclass(frozen=True, slots=True)
class MadeGeneration:
    """What came of an attempt, and what it took. The cost is in millionths of a US dollar."""

    result: dict[str, Any] | None
    result_path: str | None
    result_content_type: str | None
    made_offline: bool
    provider: str
    latency_milliseconds: int
    usage: dict[str, Any]
    cost_micro_usd: int


async def _call(database: Database, sql: str, *arguments: Any) -> asyncpg.Record:
    """One verb as the server, a transaction of its own in one round trip."""
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
    )
    return bool(finished)


async def end_attempt(
    database: Database,
    generation: RunnableGeneration,
    provider: str,
    outcome: AttemptOutcome,
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
    await _call(database, _BURY, entrypoint, payload, attempts, error)


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
