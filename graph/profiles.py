"""Profiles in the schema, as Aura's clients keep them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from db.core.errors import ErrorCode, Problems
from db.profiles import operations, tables
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
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.shared.thumbnails import with_thumbnail
from graph.uploads import picture_url


@backed_by(tables.Profile, prefix="profile")
class Profile(Node):
    """Somebody the user keeps an analysis and a chat about."""

    id: strawberry.ID = global_id()
    local_id: int | None = column(description="The number in the client's own database.")
    name: str | None = column(description="What the user calls them.")
    thumbnail: str | None = column(
        description="A small picture as base64, where it was stored as that; null when it is in "
        "storage, as all that come in now are: `thumbnailUrl` shows it."
    )
    analysis: JSON = column(description="The analysis, as the client made it.")
    chat_history: JSON = column(description="The chat's messages, oldest first.")
    created_at: datetime = column(description="When it was made, by the client's clock.")
    updated_at: datetime = column(description="When it last changed, by the client's clock.")
    synced_at: datetime = column(description="When this server last stored it.")
    size_bytes: int = column(
        "stored_bytes",
        description="Bytes of its texts and JSON, uncompressed; they count toward the quota.",
    )
    device_id: str | None = column(
        description="The device whose sync changed it last; null when something else did."
    )

    @computed(
        "thumbnail_path",
        description="A signed link to the small picture, a JPEG with sides of at most 512 pixels, "
        "good for an hour; null without one in storage.",
    )
    def thumbnail_url(self: Any) -> str | None:
        """Signs the link when the row is read."""
        return picture_url(self.thumbnail_path, "image/jpeg", None)


extend(
    User,
    after="uploads",
    profiles=connection(Profile, NEWEST_FIRST, description="The profiles kept, newest first."),
)


@stored_in(tables.Profile, description="A new profile.")
class CreateProfileInput:
    local_id: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="The client's own number for it. Creating the same number again returns the "
        "profile that has it.",
    )
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 255 characters."
    )
    thumbnail: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A JPEG, PNG or WebP picture as base64, at most 512 KiB and 4 megapixels. "
        "`data:image/…;base64,` may stand before it. It is made small and kept in storage.",
    )
    analysis: JSON = strawberry.field(description="A JSON object, at most 256 KiB.")
    chat_history: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON list, at most 256 KiB."
    )
    created_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Now, when left out."
    )
    updated_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Now, when left out."
    )


@stored_in(tables.Profile, description="Changes to a profile; what is left out stays.")
class UpdateProfileInput:
    id: strawberry.ID = strawberry.field(description="The profile's global id.")
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 255 characters."
    )
    thumbnail: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A picture as base64, as in `createProfile`; null removes it.",
    )
    analysis: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON object, at most 256 KiB."
    )
    chat_history: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON list, at most 256 KiB."
    )
    updated_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Now, when left out."
    )


@strawberry.input(description="Which profile to delete.")
class DeleteProfileInput:
    id: strawberry.ID = strawberry.field(description="The profile's global id.")


@strawberry.type(description="Result of `createProfile` and `updateProfile`.")
class ProfilePayload(MutationPayload):
    profile: Profile | None = strawberry.field(description="The profile as it is now.")


@strawberry.type(description="Result of `deleteProfile`.")
class DeleteProfilePayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was deleted."
    )


async def create_profile(context: Context, input: CreateProfileInput) -> Outcome:
    """Creates a profile of the caller's."""
    context.signed_in()
    problems = Problems(nulls(input))
    values = await with_thumbnail(context, problems, given(input))
    command = operations.create_profile(problems, values)
    return Outcome(command, {"profile": RESULT})


async def update_profile(context: Context, input: UpdateProfileInput) -> Outcome:
    """Changes a profile of the caller's."""
    context.signed_in()
    problems = Problems(nulls(input))
    profile_id = noted_uuid(problems, input.id, "profile", "input", "id")
    values = await with_thumbnail(context, problems, given(input))
    command = operations.update_profile(problems, profile_id, values)
    return Outcome(command, {"profile": RESULT})


async def delete_profile(context: Context, input: DeleteProfileInput) -> Outcome:
    """Deletes a profile of the caller's."""
    context.signed_in()
    profile_id = uuid_from_global_id(input.id, "profile", "input", "id")
    return Outcome(operations.delete_profile(profile_id), fields={"deleted_id": input.id})


@strawberry.type
class ProfilesMutation:
    """Mutations on profiles."""

    create_profile: ProfilePayload | None = mutation(
        create_profile,
        CreateProfileInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.INVALID_IMAGE, ErrorCode.QUOTA_EXCEEDED),
        for_api_keys=True,
        description="Create a profile.",
    )
    update_profile: ProfilePayload | None = mutation(
        update_profile,
        UpdateProfileInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_IMAGE,
            ErrorCode.NOT_FOUND,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        for_api_keys=True,
        description="Change a profile.",
    )
    delete_profile: DeleteProfilePayload | None = mutation(
        delete_profile,
        DeleteProfileInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Delete a profile.",
    )


@strawberry.type(description="A profile that was made, changed, deleted or talked about.")
class ProfilesChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    profile: Profile | None = strawberry.field(
        description="The profile right after the change; null when it was deleted, and in the "
        "first item, which only gives the cursor. Its `deviceId` is of the device that brought the "
        "change, or the message. `thumbnail`, `analysis` and `chatHistory` are as "
        "they are when the item is sent."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a profile that was deleted; null otherwise."
    )


@strawberry.type
class ProfilesSubscription:
    """Subscriptions on profiles."""

    profiles_changed: ProfilesChanged = live(
        "profiles.changed",
        "profile",
        starts_empty=True,
        gone="deletedId",
        description="The caller's profiles as they are made, changed and deleted, and when "
        "something was said in the chat about one: each once and in order, behind one null item. "
        "Ask for the list first, then watch.",
    )
