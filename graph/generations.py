"""Generations in the schema: running a tool on a photo, and watching it finish."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import Boolean

from db.catalog.operations import HAS_HIGH_QUALITY
from db.core.errors import ErrorCode, Problems
from db.generations import operations, tables
from graph.accounts import User
from graph.catalog import Tool
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    embedded,
    global_id,
    live,
    mutation,
    reference,
    related_row,
    root_connection,
    rows,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import (
    Connection,
    Cursor,
    Node,
    noted_uuid,
    slug_from_global_id,
    uuid_from_global_id,
)
from graph.shared.scalars import JSON
from graph.shared.switches import require_ai
from graph.uploads import Upload, WidthArgument, brief_picture_url, picture_url

state_enum(tables.GenerationStatus)
state_enum(tables.CircuitState)


@backed_by(tables.Generation)
class GenerationError:
    """Why a generation failed."""

    code: ErrorCode = column("error_code", description="For programs to read.")
    message: str = column("error_message", description="For people to read.")


@backed_by(tables.Generation, prefix="generation")
class Generation(Node):
    """One run of a tool on one photo."""

    id: strawberry.ID = global_id()
    status: tables.GenerationStatus = column(description="Where it stands.")
    tool: Tool | None = related_row(
        "tool_id", description="The tool; null when it was switched off."
    )
    tool_id: strawberry.ID = reference(
        "tool_id", "tool", description="The tool's global id, also when it is switched off."
    )
    upload: Upload | None = related_row(
        "upload_id", description="The photo; DELETED when its owner has deleted it since."
    )
    parameters: JSON = column(
        description="The tool's parameters as they are kept: ids as slugs, colours in lower case."
    )
    result: JSON | None = column(
        description="The figures of an analysis, or notes on how a picture was made; null before."
    )
    error: GenerationError | None = embedded(
        lambda row: row.c.error_code.is_not(None), description="Why it failed; null otherwise."
    )
    credits_charged: int = column(description="Credits spent on it; 0 from the cache.")
    from_cache: bool = column(description="Whether another identical run answered it, free.")
    made_offline: bool = column(description="Whether it was made without any AI.")
    created_at: datetime = column(description="When it was asked for.")
    started_at: datetime | None = column(description="When a worker began.")
    finished_at: datetime | None = column(description="When it ended.")

    @computed(
        "result_path",
        "result_content_type",
        "has_watermark",
        description="A signed link to the picture, good for an hour; null without a picture.",
    )
    def image_url(self: Any, width: WidthArgument = None) -> str | None:
        """Signs the link when the row is read."""
        path, content_type = self.result_path, self.result_content_type
        return picture_url(path, content_type, width, is_marked=self.has_watermark)  # type: ignore[arg-type]

    has_watermark: bool = column(
        description="Whether `imageUrl` shows a watermark on it: as the plan said when it was made."
    )

    @computed(
        "result_path",
        "result_content_type",
        present=lambda row: HAS_HIGH_QUALITY.of(row.c.user_id, type_=Boolean()),
        description="A signed link to the picture as it was made, without a watermark, good for 60 "
        "seconds; null without a picture, and while its owner's plan has no `hasHighQuality`.",
    )
    def high_quality_url(self: Any) -> str | None:
        """Signs the link when the row is read."""
        return brief_picture_url(self.result_path, self.result_content_type)


extend(
    User,
    generations=connection(Generation, NEWEST_FIRST, description="Runs of tools, newest first."),
)


@stored_in(tables.Generation, description="A run of a tool on an uploaded photo.")
class CreateGenerationInput:
    tool_id: strawberry.ID = strawberry.field(description="The tool's global id or slug.")
    upload_id: strawberry.ID = strawberry.field(description="The upload's global id.")
    parameters: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="By the tool's parametersSchema; hair-color: {color: #rrggbb}. At most 8,192 "
        "bytes of JSON; `{}` when left out.",
    )
    mask_upload_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Global id of another upload, for tools that take a mask: a picture of the "
        "photo's shape, white where the tool works, black or transparent elsewhere. Without one "
        "the tool finds the place itself.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same generation again, paid once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `createGeneration`.")
class CreateGenerationPayload(MutationPayload):
    generation: Generation | None = strawberry.field(
        description="QUEUED, or SUCCEEDED at once when the cache had it; free then."
    )


@strawberry.enum(description="How an attempt at a generation ended.")
class AttemptOutcome(Enum):
    """Ends of attempts."""

    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="It made the generation.")
    REFUSED = strawberry.enum_value("REFUSED", description="The provider will never make it.")
    FAILED = strawberry.enum_value("FAILED", description="The provider could not make it.")
    TIMED_OUT = strawberry.enum_value("TIMED_OUT", description="The provider took too long.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="The user called it off.")
    DISCARDED = strawberry.enum_value("DISCARDED", description="Made too late, and thrown away.")
    ABANDONED = strawberry.enum_value("ABANDONED", description="Its worker died.")
    STORAGE_FAILED = strawberry.enum_value(
        "STORAGE_FAILED", description="The photo could not be read, or the result not kept."
    )


@backed_by(tables.GenerationLog, prefix="generationLog")
class GenerationLog(Node):
    """One attempt at a generation: how it ended, how long it took, what it used and cost."""

    id: strawberry.ID = global_id()
    generation_id: strawberry.ID = reference(
        "generation_id", "generation", description="The generation's global id."
    )
    user_id: strawberry.ID = reference(
        "user_id", "user", description="Whose generation it was: a global id."
    )
    tool: Tool | None = related_row(
        "tool_id", description="The tool; null when it was switched off."
    )
    tool_id: strawberry.ID = reference(
        "tool_id", "tool", description="The tool's global id, also when it is switched off."
    )
    attempt: int = column(description="Which attempt at the generation, from 1.")
    provider: str = column(description="Who was asked.")
    outcome: AttemptOutcome = column(description="How it ended.")
    latency_milliseconds: int = column(description="How long the provider took.")
    usage: JSON = column(description="What the provider says it used, such as tokens.")
    cost_micro_usd: int = column(
        description="What the provider charges, in millionths of a US dollar."
    )
    error: str | None = column(description="What went wrong; null when nothing did.")
    created_at: datetime = column(description="When it ended.")


@backed_by(tables.ProviderCircuit, prefix="providerCircuit")
class ProviderCircuit(Node):
    """Whether a provider that has failed lately is asked at all."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The provider's name.")
    state: tables.CircuitState = column(description="Whether it is asked.")
    consecutive_failures: int = column(description="How many calls in a row have failed.")
    retry_at: datetime | None = column(description="Until when it rests; null while it is asked.")
    updated_at: datetime = column(description="When this last changed.")


@strawberry.type
class GenerationsQuery:
    """Queries on generations, for admins."""

    generation_logs: Connection[GenerationLog] | None = root_connection(
        GenerationLog,
        ("-created_at", "-id"),
        description="Every attempt at a generation, newest first. Kept for a year. For admins; "
        "FORBIDDEN for others.",
    )
    provider_circuits: list[ProviderCircuit] | None = rows(
        ("provider",),
        for_admins=True,
        description="Providers that have failed since they were first asked. For admins; "
        "FORBIDDEN for others.",
    )


@stored_in(
    tables.Generation,
    beside=("idempotency_key",),
    description="A generation that is not wanted any more.",
)
class CancelGenerationInput:
    id: strawberry.ID = strawberry.field(description="The generation's global id.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: the same answer again. 1 to 255 characters, kept 30 "
        "days. Without one, cancelling twice is harmless too.",
    )


@strawberry.type(description="Result of `cancelGeneration`.")
class CancelGenerationPayload(MutationPayload):
    generation: Generation | None = strawberry.field(
        description="The generation, CANCELLED; null when it was not."
    )


@strawberry.input(description="Which generation to delete.")
class DeleteGenerationInput:
    id: strawberry.ID = strawberry.field(description="The generation's global id.")


@strawberry.type(description="Result of `deleteGeneration`.")
class DeleteGenerationPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was deleted."
    )


async def create_generation(context: Context, input: CreateGenerationInput) -> Outcome:
    """Holds the tool's price and takes its turn in line."""
    actor = context.signed_in()
    require_ai(context)
    problems = Problems(nulls(input))
    upload_id = noted_uuid(problems, input.upload_id, "upload", "input", "uploadId")
    mask_upload_id = None
    if input.mask_upload_id is not None:
        mask = (input.mask_upload_id, "upload", "input", "maskUploadId")
        mask_upload_id = noted_uuid(problems, *mask)
    command = await operations.create_generation(
        problems,
        context.services.database,
        context.services.uploads,
        actor,
        tool_id=slug_from_global_id(input.tool_id, "tool"),
        upload_id=upload_id,
        mask_upload_id=mask_upload_id,
        parameters={} if input.parameters is strawberry.UNSET else input.parameters,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"generation": RESULT})


async def cancel_generation(context: Context, input: CancelGenerationInput) -> Outcome:
    """Calls a generation off."""
    context.signed_in()
    problems = Problems()
    generation_id = noted_uuid(problems, input.id, "generation", "input", "id")
    command = operations.cancel_generation(problems, generation_id, input.idempotency_key)
    return Outcome(command, {"generation": RESULT})


async def delete_generation(context: Context, input: DeleteGenerationInput) -> Outcome:
    """Deletes a generation of the caller's that has ended."""
    context.signed_in()
    generation_id = uuid_from_global_id(input.id, "generation", "input", "id")
    command = operations.delete_generation(generation_id)
    return Outcome(command, fields={"deleted_id": input.id})


@strawberry.type
class GenerationsMutation:
    """Mutations on generations."""

    create_generation: CreateGenerationPayload | None = mutation(
        create_generation,
        CreateGenerationInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.AI_DISABLED,
            ErrorCode.TOOL_INACTIVE,
            ErrorCode.PLAN_REQUIRED,
            ErrorCode.UPLOAD_MISSING,
            ErrorCode.UPLOAD_EXPIRED,
            ErrorCode.EMPTY_FILE,
            ErrorCode.INVALID_IMAGE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.QUOTA_EXCEEDED,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.DAILY_LIMIT_REACHED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Run a tool on an uploaded photo. Its price is held now, spent on success, "
        "and given back on failure. Three of a user's run at once, the others wait in order; one "
        "that equals another under way shares its result, free.",
    )
    cancel_generation: CancelGenerationPayload | None = mutation(
        cancel_generation,
        CancelGenerationInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.GENERATION_ENDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Call off a generation that has not ended. Its credits come back; what is made "
        "of it after that is thrown away.",
    )
    delete_generation: DeleteGenerationPayload | None = mutation(
        delete_generation,
        DeleteGenerationInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.BAD_USER_INPUT),
        for_api_keys=True,
        description="Delete a generation that has ended, for good. What was paid for it stays in "
        "the wallet's history, and its idempotency key may be used again.",
    )


@strawberry.type(description="A generation after a change.")
class GenerationUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    generation: Generation = strawberry.field(description="The generation after the change.")


@strawberry.type(description="A generation of the caller's after a change.")
class GenerationsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    generation: Generation | None = strawberry.field(
        description="The generation right after the change; null when it was deleted, and in the "
        "first item, which only gives the cursor."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a generation that was deleted; null otherwise."
    )


@strawberry.type
class GenerationsSubscription:
    """Subscriptions on generations."""

    generation_updated: GenerationUpdated = live(
        "generation.updated",
        "generation",
        entity=True,
        description="One generation of the caller's: as it is now, then after every change.",
    )
    generations_changed: GenerationsChanged = live(
        "generation.updated",
        "generation",
        starts_empty=True,
        gone="deletedId",
        description="All the caller's generations as they are asked for, run, end and are deleted, "
        "each change once and in order, behind one null item. Ask for the list first, then watch.",
    )
