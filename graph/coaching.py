"""Coaching sessions in the schema, as Aura's clients keep them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from db.coaching import operations, tables
from db.core.errors import ErrorCode, Problems
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    live,
    mutation,
    reference,
    related_row,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.profiles import Profile
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON

_SUGGESTED = "A JSON list, at most 64 KiB."
_ANALYSIS = "A JSON object, at most 64 KiB."
_TEXT = "At most 8,000 characters."


@backed_by(tables.CoachingSession, prefix="coachingSession")
class CoachingSession(Node):
    """What was suggested to answer in a conversation, and what the user answered."""

    id: strawberry.ID = global_id()
    profile: Profile | None = related_row("profile_id", description="Whom it is about.")
    profile_id: strawberry.ID = reference(
        "profile_id", "profile", description="The profile's global id."
    )
    client_id: str | None = column(description="The id that a device gave it.")
    match_analysis: JSON | None = column(description="What was found in the conversation.")
    suggested_responses: JSON = column(description="What was suggested to answer.")
    actual_response: str | None = column(description="What the user answered.")
    response_score: int | None = column(description="How good that was, 1 to 10.")
    score_explanation: str | None = column(description="Why.")
    created_at: datetime = column(description="When it was, by the client's clock.")
    updated_at: datetime = column(description="When it last changed.")

    @computed(
        "upload_ids",
        description="The pictures of the conversation, global ids; see them with `nodes`.",
    )
    def upload_ids(self: Any) -> list[strawberry.ID]:
        """The global ids of the uploads."""
        return [strawberry.ID(f"upload_{one}") for one in self.upload_ids]


extend(
    User,
    coaching_sessions=connection(
        CoachingSession, NEWEST_FIRST, description="The coaching sessions kept, newest first."
    ),
)
extend(
    Profile,
    coaching_sessions=connection(
        CoachingSession,
        NEWEST_FIRST,
        key="profile_id",
        description="The coaching sessions about it, newest first.",
    ),
)


@stored_in(tables.CoachingSession, description="A new coaching session.")
class CreateCoachingSessionInput:
    profile_id: strawberry.ID = strawberry.field(description="The profile's global id.")
    client_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The id that the device gave it, 1 to 64 characters, such as a UUID. Creating "
        "the same id again returns the session that has it.",
    )
    upload_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Pictures of the conversation, at most ten uploads whose photos are there.",
    )
    match_analysis: JSON | None = strawberry.field(default=strawberry.UNSET, description=_ANALYSIS)
    suggested_responses: JSON | None = strawberry.field(
        default=strawberry.UNSET, description=_SUGGESTED
    )
    actual_response: str | None = strawberry.field(default=strawberry.UNSET, description=_TEXT)
    response_score: int | None = strawberry.field(default=strawberry.UNSET, description="1 to 10.")
    score_explanation: str | None = strawberry.field(default=strawberry.UNSET, description=_TEXT)
    created_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Now, when left out."
    )


@stored_in(
    tables.CoachingSession, description="Changes to a coaching session; what is left out stays."
)
class UpdateCoachingSessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")
    match_analysis: JSON | None = strawberry.field(default=strawberry.UNSET, description=_ANALYSIS)
    suggested_responses: JSON | None = strawberry.field(
        default=strawberry.UNSET, description=_SUGGESTED
    )
    actual_response: str | None = strawberry.field(default=strawberry.UNSET, description=_TEXT)
    response_score: int | None = strawberry.field(default=strawberry.UNSET, description="1 to 10.")
    score_explanation: str | None = strawberry.field(default=strawberry.UNSET, description=_TEXT)


@strawberry.input(description="Which coaching session to delete.")
class DeleteCoachingSessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")


@strawberry.type(description="Result of `createCoachingSession` and `updateCoachingSession`.")
class CoachingSessionPayload(MutationPayload):
    coaching_session: CoachingSession | None = strawberry.field(
        description="The session as it is now."
    )


@strawberry.type(description="Result of `deleteCoachingSession`.")
class DeleteCoachingSessionPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was deleted."
    )


async def create_coaching_session(context: Context, input: CreateCoachingSessionInput) -> Outcome:
    """Keeps a session about a profile of the caller's."""
    actor = context.signed_in()
    problems = Problems(nulls(input))
    values = given(input)
    values["profile_id"] = noted_uuid(problems, input.profile_id, "profile", "input", "profileId")
    if values.get("upload_ids") is not None:
        values["upload_ids"] = [
            noted_uuid(problems, one, "upload", "input", "uploadIds", str(n))
            for n, one in enumerate(values["upload_ids"])
        ]
    command = operations.create_session(problems, values)
    for upload_id in values.get("upload_ids") or ():
        await context.services.uploads.collect(actor, upload_id)
    return Outcome(command, {"coaching_session": RESULT})


async def update_coaching_session(context: Context, input: UpdateCoachingSessionInput) -> Outcome:
    """Changes a session of the caller's."""
    context.signed_in()
    problems = Problems(nulls(input))
    session_id = noted_uuid(problems, input.id, "coachingSession", "input", "id")
    command = operations.update_session(problems, session_id, given(input))
    return Outcome(command, {"coaching_session": RESULT})


async def delete_coaching_session(context: Context, input: DeleteCoachingSessionInput) -> Outcome:
    """Deletes a session of the caller's."""
    context.signed_in()
    session_id = uuid_from_global_id(input.id, "coachingSession", "input", "id")
    return Outcome(operations.delete_session(session_id), fields={"deleted_id": input.id})


@strawberry.type
class CoachingMutation:
    """Mutations on coaching sessions."""

    create_coaching_session: CoachingSessionPayload | None = mutation(
        create_coaching_session,
        CreateCoachingSessionInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.UPLOAD_MISSING,
            ErrorCode.UPLOAD_EXPIRED,
            ErrorCode.EMPTY_FILE,
            ErrorCode.INVALID_IMAGE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        for_api_keys=True,
        description="Keep a coaching session.",
    )
    update_coaching_session: CoachingSessionPayload | None = mutation(
        update_coaching_session,
        UpdateCoachingSessionInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.QUOTA_EXCEEDED),
        for_api_keys=True,
        description="Change a coaching session, as when the user has answered.",
    )
    delete_coaching_session: DeleteCoachingSessionPayload | None = mutation(
        delete_coaching_session,
        DeleteCoachingSessionInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Delete a coaching session.",
    )


@strawberry.type(description="A coaching session that was made, changed or deleted.")
class CoachingSessionsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    coaching_session: CoachingSession | None = strawberry.field(
        description="The session right after the change; null when it was deleted, and in the "
        "first item, which only gives the cursor. `matchAnalysis` and `suggestedResponses` are as "
        "they are when the item is sent."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a session that was deleted; null otherwise."
    )


@strawberry.type
class CoachingSubscription:
    """Subscriptions on coaching sessions."""

    coaching_sessions_changed: CoachingSessionsChanged = live(
        "coaching_sessions.changed",
        "coachingSession",
        starts_empty=True,
        gone="deletedId",
        description="The caller's coaching sessions as they are made, changed and deleted, each "
        "change once and in order, behind one null item. Ask for the list first, then watch.",
    )
