"""Runs in the schema: calls of workflows, one to one number, and what each cost and left."""

from __future__ import annotations

from datetime import datetime
from time import time
from typing import Any

import strawberry

from db.core.errors import ErrorCode, Problems
from db.files.storage import RECORDING_TYPE
from db.runs import operations, tables
from db.runs.tables import RunStatus
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    live,
    lookup,
    mutation,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.organizations import Organization
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid
from graph.shared.scalars import JSON
from graph.uploads import links
from graph.workflows import Workflow, WorkflowVersion
from settings import get_settings

state_enum(RunStatus)


@backed_by(tables.WorkflowRun, prefix="workflowRun")
class WorkflowRun(Node):
    """A call of a workflow to one number."""

    id: strawberry.ID = global_id()
    phone_number: str = column(description="Whom it calls, in E.164.")
    variables: JSON = column(description="The texts that the workflow's prompts may name.")
    status: RunStatus = column(description="Where it stands.")
    error: str | None = column(description="Why it failed; null when it did not.")
    provider: str | None = column(description="Who makes the call; null until it is dialled.")
    duration_seconds: int = column(description="How long it was answered; 0 until it has ended.")
    cost_micro_usd: int | None = column(
        description="What it cost, in millionths of a US dollar; null until it is known."
    )
    usage: JSON = column(description="What it used, by the names of what is counted.")
    transcript: str | None = column(description="What was said; null when nothing is known of it.")
    created_at: datetime = column(description="When it was asked for.")
    dialled_at: datetime | None = column(description="When it was dialled.")
    answered_at: datetime | None = column(description="When it was answered.")
    ended_at: datetime | None = column(description="When it ended.")
    workflow: Workflow | None = related_row(
        "workflow_id", description="Its workflow; null only while that is being deleted."
    )
    version: WorkflowVersion | None = related_row(
        "version_id",
        description="The version that was current when it was asked for; null only while that is "
        "being deleted.",
    )

    @computed(
        "recording_path",
        description="A signed link to the recording (WAV), good for an hour; null without one.",
    )
    def recording_url(self: Any) -> str | None:
        """Signs the link when the row is read."""
        if not self.recording_path:
            return None
        expires_at = time() + get_settings().result_url_seconds
        return links().picture_url(self.recording_path, RECORDING_TYPE, expires_at, None)


extend(
    Workflow,
    runs=connection(
        WorkflowRun, NEWEST_FIRST, key="workflow_id", description="Its calls, newest first."
    ),
)
extend(
    Organization,
    runs=connection(
        WorkflowRun, NEWEST_FIRST, key="organization_id", description="Its calls, newest first."
    ),
)


@strawberry.input(description="A call to make.")
class StartRunInput:
    workflow_id: strawberry.ID = strawberry.field(description="The workflow's global id.")
    to: str = strawberry.field(description="Whom to call, in E.164, such as +4930901820.")
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same call again, made once. 1 to 255 characters, "
        "kept 30 days."
    )


@strawberry.type(description="Result of `startRun`.")
class StartRunPayload(MutationPayload):
    run: WorkflowRun | None = strawberry.field(description="The call; null on errors.")


async def start_run(context: Context, input: StartRunInput) -> Outcome:
    """Asks for one call."""
    context.signed_in()
    problems = Problems()
    workflow_id = noted_uuid(problems, input.workflow_id, "workflow", "input", "workflowId")
    command = operations.start_run(
        problems, workflow_id, to=input.to, idempotency_key=input.idempotency_key
    )
    return Outcome(command, {"run": RESULT})


@strawberry.type
class RunsQuery:
    """Queries on runs."""

    run: WorkflowRun | None = lookup(
        description="A call of an organization of the caller's; null when it is missing or not "
        "theirs."
    )


@strawberry.type
class RunsMutation:
    """Mutations on runs."""

    start_run: StartRunPayload | None = mutation(
        start_run,
        StartRunInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PLAN_LIMIT_REACHED,
        ),
        for_organization_keys=True,
        description="Have a published workflow call a number. For all members but viewers. It "
        "waits for a free line: an organization makes 20 calls at once.",
    )


@strawberry.type(description="A call after a change.")
class RunUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    run: WorkflowRun | None = strawberry.field(description="The call right after the change.")


@strawberry.type
class RunsSubscription:
    """Subscriptions on runs."""

    run_updated: RunUpdated = live(
        "run.updated",
        "run",
        entity=True,
        description="A call of an organization of the caller's: as it is now, then after every "
        "change.",
    )
