"""What users say of themselves in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode, Problems
from db.user_profiles import operations, tables
from graph.accounts import User
from graph.engine.declare import backed_by, column, global_id, mutation, related_row
from graph.engine.execution.outcomes import ACTOR, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node
from graph.shared.scalars import JSON


@backed_by(tables.UserProfile, prefix="userProfile")
class UserProfile(Node):
    """A user as they describe themselves, with what an analysis made of it."""

    id: strawberry.ID = global_id()
    synthesis: JSON | None = column(description="What was made of all they gave; free-form.")
    zodiac_sign: str | None = column(description="Their zodiac sign.")
    location: str | None = column(description="Where they live, in their own words.")
    preferences: JSON = column(description="What they chose in the app; free-form.")
    dating_goals: JSON | None = column(description="What they look for: a type and a description.")
    data_exports: JSON = column(
        description="What was read of their data exports of other apps: source, raw figures, when."
    )
    text_inputs: JSON = column(description="Texts they gave: content, label, when.")
    video_analysis: JSON | None = column(description="What was read of a video of theirs.")
    manual_entry: JSON | None = column(
        description="What they entered of themselves, such as name, age and interests."
    )
    settings: JSON = column(description="How the app is set up: theme, tags and the like.")
    insight_feedback: JSON = column(
        description="How good they find the synthesis: insight, rating, when."
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")


extend(
    User,
    user_profile=related_row(
        "id",
        "user_id",
        returns=UserProfile | None,
        description="The user as they describe themselves; null before `updateUserProfile`.",
    ),
)


@stored_in(
    tables.UserProfile, description="Changes to the caller's own profile; what is left out stays."
)
class UpdateUserProfileInput:
    synthesis: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    zodiac_sign: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 50 characters."
    )
    location: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 255 characters."
    )
    preferences: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    dating_goals: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    data_exports: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON list, at most 256 KiB."
    )
    text_inputs: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON list, at most 256 KiB."
    )
    video_analysis: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    manual_entry: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    settings: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    insight_feedback: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON list, at most 256 KiB."
    )


@strawberry.type(description="Result of `updateUserProfile`.")
class UpdateUserProfilePayload(MutationPayload):
    user_profile: UserProfile | None = strawberry.field(
        description="The caller's profile as it is now; null on errors."
    )


async def update_user_profile(context: Context, input: UpdateUserProfileInput) -> Outcome:
    """Changes the caller's own profile."""
    context.signed_in()
    command = operations.update_user_profile(Problems(nulls(input)), given(input))
    return Outcome(command, {"user_profile": ACTOR})


@strawberry.type
class UserProfilesMutation:
    """Mutations on what users say of themselves."""

    update_user_profile: UpdateUserProfilePayload | None = mutation(
        update_user_profile,
        UpdateUserProfileInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_api_keys=True,
        description="Change the caller's own profile; the first time makes it.",
    )
