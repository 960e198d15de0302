"""Workflows in the schema: what an agent does in a call, in versions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal

import strawberry

from db.core.errors import ErrorCode, Problems
from db.workflows import operations, tables
from db.workflows.tables import WorkflowStatus
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
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
from graph.shared.relay import Connection, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON

state_enum(WorkflowStatus)

_DEFINITION = (
    "Nodes and edges, at most 256 KiB. A node has `id`, `type` (startCall, endCall, agentNode, "
    "globalNode), `position` and `data` with `name` and `prompt`; an edge has `id`, `source`, "
    "`target`, `label` and `condition`. There is one start, one end and at most one global node."
)
_VARIABLES = "An object of texts that the prompts may name, at most 16 KiB."


@backed_by(tables.WorkflowVersion, prefix="workflowVersion")
class WorkflowVersion(Node):
    """A definition of a workflow; saving the same one again makes no new version."""

    id: strawberry.ID = global_id()
    number: int = column(description="1 for the first, and so on.")
    hash: str = column(
        description="SHA-256 of the definition as JSON with sorted keys and no blanks, in "
        "hexadecimal digits."
    )
    definition: JSON = column(description=_DEFINITION)
    is_current: bool = column(description="Whether calls begin with it.")
    created_at: datetime = column(description="When it was first saved.")


@backed_by(tables.Workflow, prefix="workflow")
class Workflow(Node):
    """What an agent does in a call. Members see it; all but viewers change it."""

    id: strawberry.ID = global_id()
    name: str = column(description="1 to 100 characters.")
    status: WorkflowStatus = column(description="Where it stands.")
    template_variables: JSON = column(description=_VARIABLES)
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")
    published_at: datetime | None = column(description="When it was first published.")
    organization: Organization | None = related_row(
        "organization_id", description="Whose it is; null only while that is being deleted."
    )
    versions: Connection[WorkflowVersion] = connection(
        WorkflowVersion,
        ("-number",),
        key="workflow_id",
        description="Its versions, newest first. One of them is current.",
    )


extend(
    WorkflowVersion,
    workflow=related_row(
        "workflow_id",
        returns=Workflow | None,
        description="The workflow; null only while it is being deleted.",
    ),
)
extend(
    Organization,
    workflows=connection(
        Workflow, NEWEST_FIRST, key="organization_id", description="Its workflows, newest first."
    ),
)


@strawberry.input(description="A new workflow.")
class CreateWorkflowInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    name: str = strawberry.field(description="1 to 100 characters.")
    definition: JSON = strawberry.field(description=_DEFINITION)
    template_variables: JSON | None = strawberry.field(
        default=None, description=f"{_VARIABLES} Null is as good as leaving it out."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same workflow again. 1 to 255 characters, kept "
        "30 days."
    )


@strawberry.input(description="What to change of a workflow; what is left out stays.")
class UpdateWorkflowInput:
    id: strawberry.ID = strawberry.field(description="The workflow's global id.")
    name: str | None = strawberry.field(
        default=None, description="1 to 100 characters. Null is as good as leaving it out."
    )
    definition: JSON | None = strawberry.field(
        default=None,
        description="It becomes the current version. Null is as good as leaving it out. "
        f"{_DEFINITION}",
    )
    template_variables: JSON | None = strawberry.field(
        default=None, description=f"{_VARIABLES} Null is as good as leaving it out."
    )


@strawberry.input(description="A workflow to publish.")
class PublishWorkflowInput:
    id: strawberry.ID = strawberry.field(description="The workflow's global id.")


@strawberry.input(description="A workflow to put away.")
class ArchiveWorkflowInput:
    id: strawberry.ID = strawberry.field(description="The workflow's global id.")


@strawberry.input(description="A workflow to bring back.")
class RestoreWorkflowInput:
    id: strawberry.ID = strawberry.field(description="The workflow's global id.")


@strawberry.input(description="A definition to look at.")
class ValidateWorkflowInput:
    definition: JSON = strawberry.field(description=_DEFINITION)


@strawberry.type(description="Result of mutations that change a workflow.")
class WorkflowPayload(MutationPayload):
    workflow: Workflow | None = strawberry.field(
        description="The workflow as it is now; null on errors."
    )


@strawberry.type(description="One thing wrong with a definition.")
class DefinitionError:
    kind: str = strawberry.field(description="Of what: node, edge or workflow.")
    id: str | None = strawberry.field(description="Which node or edge; null for the whole.")
    field: str | None = strawberry.field(description="Which of its fields; null for the whole.")
    message: str = strawberry.field(description="What to do about it.")


@strawberry.type(description="Result of `validateWorkflow`.")
class ValidateWorkflowPayload(MutationPayload):
    is_valid: bool | None = strawberry.field(description="Whether it can be saved and run.")
    definition_errors: list[DefinitionError] | None = strawberry.field(
        description="Everything wrong with it, at most 100; empty when it is valid."
    )


async def create_workflow(context: Context, input: CreateWorkflowInput) -> Outcome:
    """Makes a workflow of an organization."""
    context.signed_in()
    problems = Problems()
    path = ("input", "organizationId")
    organization_id = noted_uuid(problems, input.organization_id, "organization", *path)
    command = operations.create_workflow(
        problems,
        organization_id,
        name=input.name,
        definition=input.definition,
        variables={} if input.template_variables is None else input.template_variables,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"workflow": RESULT})


async def update_workflow(context: Context, input: UpdateWorkflowInput) -> Outcome:
    """Changes what is given of a workflow."""
    context.signed_in()
    problems = Problems()
    workflow_id = noted_uuid(problems, input.id, "workflow", "input", "id")
    command = operations.update_workflow(
        problems,
        workflow_id,
        name=input.name,
        definition=input.definition,
        variables=input.template_variables,
    )
    return Outcome(command, {"workflow": RESULT})


async def publish_workflow(context: Context, input: PublishWorkflowInput) -> Outcome:
    """Lets calls begin with a workflow."""
    return _move(context, input.id, "PUBLISH")


async def archive_workflow(context: Context, input: ArchiveWorkflowInput) -> Outcome:
    """Puts a workflow away."""
    return _move(context, input.id, "ARCHIVE")


async def restore_workflow(context: Context, input: RestoreWorkflowInput) -> Outcome:
    """Brings an archived workflow back."""
    return _move(context, input.id, "RESTORE")


def _move(context: Context, given: str, step: Literal["PUBLISH", "ARCHIVE", "RESTORE"]) -> Outcome:
    context.signed_in()
    workflow_id = uuid_from_global_id(given, "workflow", "input", "id")
    return Outcome(operations.move_workflow(workflow_id, step), {"workflow": RESULT})


async def validate_workflow(context: Context, input: ValidateWorkflowInput) -> Outcome:
    """Tells what is wrong with a definition; stores nothing."""
    actor = context.signed_in()
    faults = operations.definition_faults(input.definition)
    told = [asdict(fault) for fault in faults]
    return Outcome(
        operations.look_at_definition(actor),
        fields={"is_valid": not faults, "definition_errors": told},
    )


@strawberry.type
class WorkflowsQuery:
    """Queries on workflows."""

    workflow: Workflow | None = lookup(
        description="A workflow of an organization of the caller's; null when it is missing or not "
        "theirs."
    )


_CHANGING = (ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.LIMIT_EXCEEDED)
_MOVING = (ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE)


@strawberry.type
class WorkflowsMutation:
    """Mutations on workflows."""

    create_workflow: WorkflowPayload | None = mutation(
        create_workflow,
        CreateWorkflowInput,
        errors=(
            *_CHANGING,
            ErrorCode.INVALID_STATE,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PLAN_LIMIT_REACHED,
        ),
        for_organization_keys=True,
        description="Make a workflow, a draft until it is published. For all members but viewers. "
        "What is wrong with its definition is refused with the path of the node or edge.",
    )
    update_workflow: WorkflowPayload | None = mutation(
        update_workflow,
        UpdateWorkflowInput,
        errors=(*_CHANGING, ErrorCode.INVALID_STATE),
        for_organization_keys=True,
        description="Change a workflow. A definition that was saved before is that version again, "
        "and current. Calls under way keep theirs.",
    )
    publish_workflow: WorkflowPayload | None = mutation(
        publish_workflow,
        PublishWorkflowInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Let calls and campaigns use a draft.",
    )
    archive_workflow: WorkflowPayload | None = mutation(
        archive_workflow,
        ArchiveWorkflowInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Put a workflow away. Calls under way go on; no other begins, and campaigns "
        "with it are paused.",
    )
    restore_workflow: WorkflowPayload | None = mutation(
        restore_workflow,
        RestoreWorkflowInput,
        errors=(*_MOVING, ErrorCode.PLAN_LIMIT_REACHED),
        for_organization_keys=True,
        description="Bring an archived workflow back to where it was. The plan counts it again.",
    )
    validate_workflow: ValidateWorkflowPayload | None = mutation(
        validate_workflow,
        ValidateWorkflowInput,
        errors=(),
        for_organization_keys=True,
        description="Look at a definition and tell everything that is wrong with it; nothing is "
        "saved.",
    )
