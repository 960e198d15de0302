"""Commands on jobs that were given up, and what workers write and read of the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.pool import Database
from db.core.queue import RUN_SCHEDULED

_MOVE_TO_DEAD_LETTERS = SqlFunction[UUID](
    "app.move_to_dead_letters",
    "uuid",
    job_entrypoint="text",
    job_payload="bytea",
    of_generation="uuid",
    attempts_made="integer",
    reason="text",
)
REQUEUE_DEAD_JOB = SqlFunction[UUID]("app.requeue_dead_job", "uuid", wanted="uuid", admin_id="uuid")
_RETRY_DEAD_JOB = SqlFunction[UUID]("app.retry_dead_job", "uuid", wanted="uuid").noting_place()
_READ_SCHEDULE = text("""
    select clock.now, s.name, s.times, s.next_run_at
    from (select clock_timestamp() as now) clock left join scheduled_runs s on true
""")
_SET_SCHEDULE = text("""
    insert into scheduled_runs as s (name, times, next_run_at) values (:name, :times, :next_run_at)
    on conflict (name) do update set times = excluded.times, next_run_at = excluded.next_run_at
    where s.times <> excluded.times
""")
# Of all workers that saw the tick, one moves it on; a run that is still under way is the tick's.
_ENQUEUE_TICK = text("""
    with taken as (
        update scheduled_runs set next_run_at = :next_run_at
        where name = :name and next_run_at = :due_at returning name)
    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    select 10, :entrypoint, convert_to(json_build_object('name', name)::text, 'UTF8'),
        'scheduled:' || name, 'queued'
    from taken
    on conflict do nothing
""")
_RECORD_START = text("""
    update scheduled_runs set last_started_at = clock_timestamp() where name = :name
""")
_RECORD_END = text("""
    update scheduled_runs
    set last_finished_at = clock_timestamp(), last_milliseconds = :milliseconds,
        last_result = case when cast(:error as text) is null then 'SUCCEEDED' else 'FAILED' end,
        last_error = :error
    where name = :name
""")


def retry_dead_job(job_id: UUID) -> FunctionCall[UUID]:
    """Puts a dead job in line once more on behalf of an admin; gives the job."""
    return _RETRY_DEAD_JOB(wanted=job_id)


async def move_to_dead_letters(
    database: Database, entrypoint: str, payload: bytes, attempts: int, error: str
) -> None:
    """Keeps a job that cannot be done for an admin, who reads the error and may retry it."""
    given_up = _MOVE_TO_DEAD_LETTERS(
        job_entrypoint=entrypoint,
        job_payload=payload,
        of_generation=None,
        attempts_made=attempts,
        reason=error,
    )
    await call_as_service(database, given_up)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A scheduled work as the database knows it."""

    times: str
    next_run_at: datetime


async def read_schedule(database: Database) -> tuple[datetime, dict[str, PlannedRun]]:
    """The database's time, and what it knows of the schedule, by name."""
    async with database.transaction(SERVICE) as transaction:
        rows = await transaction.fetch_all(_READ_SCHEDULE)
    planned = {r["name"]: PlannedRun(r["times"], r["next_run_at"]) for r in rows if r["name"]}
    return rows[0]["now"], planned


async def _write(database: Database, statement: Any, **parameters: Any) -> None:
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(statement, **parameters)


async def set_schedule(database: Database, name: str, times: str, next_run_at: datetime) -> None:
    """Put a work on the schedule, or give it other times."""
    await _write(database, _SET_SCHEDULE, name=name, times=times, next_run_at=next_run_at)


async def enqueue_tick(
    database: Database, name: str, due_at: datetime, next_run_at: datetime
) -> None:
    """Make a job of the tick that was due, unless another worker has."""
    await _write(
        database,
        _ENQUEUE_TICK,
        name=name,
        due_at=due_at,
        next_run_at=next_run_at,
        entrypoint=RUN_SCHEDULED,
    )


async def record_start(database: Database, name: str) -> None:
    """A worker begins a scheduled work."""
    await _write(database, _RECORD_START, name=name)


async def record_end(database: Database, name: str, milliseconds: int, error: str | None) -> None:
    """A scheduled work has ended; `error` is null when it did what it should."""
    await _write(database, _RECORD_END, name=name, milliseconds=milliseconds, error=error)
