"""What an operator sees of jobs and does to them, as the database's owner."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from db.core.commands import call_on
from db.jobs.operations import REQUEUE_DEAD_JOB

_SCHEDULE = """
    select s.*, exists (
        select from queue.pgqueuer q
        where q.dedupe_key = 'scheduled:' || s.name and q.status = 'picked') as running
    from scheduled_runs s order by s.next_run_at, s.name
"""
_QUEUE = """
    select entrypoint,
        count(*) filter (where status = 'queued' and execute_after <= now()) as waiting,
        count(*) filter (where status = 'queued' and execute_after > now()) as deferred,
        count(*) filter (where status = 'picked') as running,
        min(created) filter (where status = 'queued') as oldest
    from queue.pgqueuer group by entrypoint order by entrypoint
"""
_CIRCUITS = "select * from provider_circuits order by provider"
_DEAD_COUNT = "select count(*) from dead_jobs where retried_at is null"
_DEAD = """
    select d.id, d.entrypoint, d.attempts, d.error, d.died_at, d.generation_id, u.email, g.tool_id
    from dead_jobs d left join generations g on g.id = d.generation_id
    left join users u on u.id = g.user_id
    where d.retried_at is null order by d.died_at desc, d.id desc limit $1
"""


@dataclass(frozen=True, slots=True)
class Overview:
    """The schedule, the queue by kind of job, providers' circuits, and how many jobs are dead."""

    schedule: list[asyncpg.Record]
    queue: list[asyncpg.Record]
    circuits: list[asyncpg.Record]
    dead: int


class UnknownJobError(Exception):
    """No dead job has this id."""


async def read_overview(owner_url: str) -> Overview:
    """Everything there is to know of jobs at a glance."""
    owner = await asyncpg.connect(owner_url)
    try:
        return Overview(
            await owner.fetch(_SCHEDULE),
            await owner.fetch(_QUEUE),
            await owner.fetch(_CIRCUITS),
            await owner.fetchval(_DEAD_COUNT),
        )
    finally:
        await owner.close()


async def read_dead_jobs(owner_url: str, at_most: int) -> list[asyncpg.Record]:
    """The newest dead jobs that nobody has retried."""
    owner = await asyncpg.connect(owner_url)
    try:
        return list(await owner.fetch(_DEAD, at_most))
    finally:
        await owner.close()


async def retry_dead_job(owner_url: str, job_id: UUID) -> None:
    """Put a dead job in line once more, and note it; `UnknownJobError` when there is none."""
    owner = await asyncpg.connect(owner_url)
    try:
        await call_on(owner, REQUEUE_DEAD_JOB(wanted=job_id, admin_id=None))
    except asyncpg.PostgresError as error:
        if error.sqlstate != "TG000":
            raise
        raise UnknownJobError from None
    finally:
        await owner.close()
