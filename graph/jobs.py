"""Jobs in the schema, for admins: those that were given up, and trying one again."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode
from db.jobs import operations, tables
from graph.engine.declare import (
    backed_by,
    column,
    global_id,
    mutation,
    reference,
    root_connection,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Node, uuid_from_global_id


@backed_by(tables.DeadJob, prefix="deadJob")
class DeadJob(Node):
    """A job that no attempt could finish."""

    id: strawberry.ID = global_id()
    entrypoint: str = column(description="What it should do, such as run_generation.")
    generation_id: strawberry.ID | None = reference(
        "generation_id",
        "generation",
        description="The generation it should make: a global id; null for other jobs.",
    )
    attempts: int = column(description="How often it was tried.")
    error: str = column(description="What stopped the last attempt.")
    died_at: datetime = column(description="When it was given up.")
    retried_at: datetime | None = column(description="When an admin retried it; null until then.")


@strawberry.type
class JobsQuery:
    """Queries on jobs."""

    dead_jobs: Connection[DeadJob] | None = root_connection(
        DeadJob,
        ("-died_at", "-id"),
        description="Jobs that were given up, newest first. Kept 90 days. For admins; FORBIDDEN "
        "for others.",
    )


@strawberry.input(description="A dead job to try again.")
class RetryJobInput:
    id: strawberry.ID = strawberry.field(description="The dead job's global id.")


@strawberry.type(description="Result of `retryJob`.")
class RetryJobPayload(MutationPayload):
    job: DeadJob | None = strawberry.field(description="The job, with the time of its retry.")


async def retry_job(context: Context, input: RetryJobInput) -> Outcome:
    """Puts a dead job in line once more."""
    context.signed_in()
    job_id = uuid_from_global_id(input.id, "deadJob", "input", "id")
    return Outcome(operations.retry_dead_job(job_id), {"job": RESULT})


@strawberry.type
class JobsMutation:
    """Mutations on jobs."""

    retry_job: RetryJobPayload | None = mutation(
        retry_job,
        RetryJobInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_admins=True,
        description="Try a dead job again, once: a second call changes nothing. A generation runs "
        "free: its credits went back when it failed. For admins; FORBIDDEN for others.",
    )
