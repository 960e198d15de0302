"""Generations in the schema: running a tool on a photo, and watching it finish."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from db.catalog import operations as catalog
from db.catalog.rules import check_parameters
from db.errors import ErrorCode
from db.generations import tables
from graph.catalog import Tool
from graph.context import Context
from graph.engine.declare import (
    backed_by,
    column,
    computed,
    edge,
    embedded,
    global_id,
    live,
    mutation,
)
from graph.engine.outcomes import SqlVerb
from graph.errors import UserError
from graph.relay import Cursor, Node, slug_from_global_id, uuid_from_global_id
from graph.scalars import JSON
from graph.uploads import WidthArgument, picture_url


@strawberry.enum(description="Where a generation stands.")
class GenerationStatus(Enum):
    """The life of a generation."""

    QUEUED = strawberry.enum_value("QUEUED", description="Waiting for a worker; credits held.")
    RUNNING = strawberry.enum_value("RUNNING", description="A worker is at it.")
    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="Done; the credits are spent.")
    FAILED = strawberry.enum_value("FAILED", description="It failed; the credits are back.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Called off; the credits are back.")


@backed_by(tables.Generation)
class GenerationError:
    """Why a generation failed."""

    code: ErrorCode = column("error_code", description="For programs to read.")
    message: str = column("error_message", description="For people to read.")


@backed_by(tables.Generation, prefix="generation")
class Generation(Node):
    """One run of a tool on one photo."""

    id: strawberry.ID = global_id()
    status: GenerationStatus = column(description="Where it stands.")
    tool: Tool | None = edge("tool_id", description="The tool; null when it was switched off.")
    parameters: JSON = column(description="The tool's parameters, as they were given.")
    result: JSON | None = column(description="Figures, for analyses; null for pictures.")
    error: GenerationError | None = embedded(
        lambda row: row.c.error_code.is_not(None), description="Why it failed; null otherwise."
    )
    credits_charged: int = column(description="Credits spent on it; 0 from the cache.")
    from_cache: bool = column(description="Whether an earlier identical run answered it, free.")
    made_offline: bool = column(description="Whether it was made without any AI.")
    created_at: datetime = column(description="When it was asked for.")
    started_at: datetime | None = column(description="When a worker began.")
    finished_at: datetime | None = column(description="When it ended.")

    @computed(
        "result_path",
        "result_content_type",
        description="A signed link to the picture, good for an hour; null without a picture.",
    )
    def image_url(self: Any, width: WidthArgument = None) -> str | None:
        """Signs the link when the row is read."""
        return picture_url(self.result_path, self.result_content_type, width)  # type: ignore[arg-type]


@strawberry.input(description="A run of a tool on an uploaded photo.")
class CreateGenerationInput:
    """Input of `createGeneration`."""

    tool_id: strawberry.ID = strawberry.field(description="The tool's global id or slug.")
    upload_id: strawberry.ID = strawberry.field(description="The upload's global id.")
    parameters: JSON | None = strawberry.field(
        default=None, description="By the tool's parametersSchema; hair-color: {color: #rrggbb}."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same generation again, paid once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `createGeneration`.")
class CreateGenerationPayload:
    """Payload of `createGeneration`."""

    generation: Generation | None = strawberry.field(
        description="QUEUED, or SUCCEEDED at once when the cache had it."
    )
    errors: list[UserError] = strawberry.field(
        description="NOT_FOUND, TOOL_INACTIVE, UPLOAD_MISSING, UPLOAD_EXPIRED, EMPTY_FILE, "
        "INVALID_IMAGE, QUOTA_EXCEEDED, BAD_USER_INPUT, INSUFFICIENT_CREDITS, IDEMPOTENCY_CONFLICT."
    )


async def create_generation(context: Context, input: CreateGenerationInput) -> SqlVerb:
    """Holds the tool's price and enqueues the work, in one statement."""
    actor = context.signed_in()
    tool_id = slug_from_global_id(input.tool_id, "tool")
    upload_id = uuid_from_global_id(input.upload_id, "upload", "input", "uploadId")
    parameters: Any = {} if input.parameters is None else input.parameters
    async with context.services.database.transaction(context.actor) as transaction:
        schema = await catalog.parameters_schema(transaction, tool_id)
    if schema is not None:  # an unknown tool is the verb's to refuse
        check_parameters(schema, parameters)
    await context.services.uploads.collect(actor, upload_id)
    return SqlVerb(
        "app.create_generation",
        (
            ("text", tool_id),
            ("uuid", upload_id),
            ("jsonb", parameters),
            ("text", input.idempotency_key),
        ),
        {"generation": SqlVerb.RESULT},
    )


@strawberry.type
class GenerationsMutation:
    """Mutations on generations."""

    create_generation: CreateGenerationPayload | None = mutation(
        create_generation,
        CreateGenerationInput,
        description="Run a tool on an uploaded photo. Its price is held now, spent on success, "
        "and given back on failure.",
    )


@strawberry.type(description="A generation after a change.")
class GenerationUpdated:
    """Item of `generationUpdated`."""

    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    generation: Generation = strawberry.field(description="The generation after the change.")


@strawberry.type
class GenerationsSubscription:
    """Subscriptions on generations."""

    generation_updated: GenerationUpdated = live(
        "generation.updated",
        "generation",
        entity=True,
        description="One generation of the caller's: as it is now, then after every change.",
    )
