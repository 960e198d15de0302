"""Uploads in the schema: announcing a photo, where to PUT it, seeing and deleting it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import cache
from time import time
from typing import Annotated, Any

import strawberry
from sqlalchemy import ColumnElement, FromClause, func, literal_column

from db.core.errors import ErrorCode
from db.files.links import Links, open_links
from db.uploads import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    expression,
    global_id,
    live,
    mutation,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, uuid_from_global_id
from settings import get_settings

BRIEF_SECONDS = 60


@cache
def links() -> Links:
    """The links of this deployment."""
    return open_links(get_settings())


@strawberry.enum(description="Widths in which pictures can be had. No picture is made wider.")
class ImageWidth(Enum):
    """The widths that are made once and kept: `VARIANT_WIDTHS_PIXELS`."""

    W160 = strawberry.enum_value(160, description="160 pixels.")
    W320 = strawberry.enum_value(320, description="320 pixels.")
    W640 = strawberry.enum_value(640, description="640 pixels.")
    W1280 = strawberry.enum_value(1280, description="1,280 pixels.")


WidthArgument = Annotated[
    ImageWidth | None,
    strawberry.argument(description="How wide, the height in proportion; whole, when left out."),
]


def picture_url(
    path: str | None, content_type: str | None, width: str | None, *, is_marked: bool = False
) -> str | None:
    """A signed link to a picture; None without one. `width` is the name of an `ImageWidth`.

    One that `is_marked` has a watermark on it.
    """
    if not path:
        return None
    expires_at = time() + get_settings().result_url_seconds
    pixels = None if width is None else int(ImageWidth[width].value)
    return links().picture_url(path, content_type, expires_at, pixels, is_marked=is_marked)


def brief_picture_url(path: str | None, content_type: str | None) -> str | None:
    """A signed link to a whole picture as it is kept, good for a minute; None without one."""
    if not path:
        return None
    return links().brief_url(path, content_type, time() + BRIEF_SECONDS)


state_enum(tables.UploadStatus)


@strawberry.type(description="A header to send with the PUT.")
class UploadHeader:
    """A name and a value."""

    name: str = strawberry.field(description="The header's name.")
    value: str = strawberry.field(description="The header's value.")


def is_kept(upload: FromClause) -> ColumnElement[bool]:
    """Whether its owner has not deleted it."""
    return upload.c.status != literal_column(f"'{tables.UploadStatus.DELETED}'")


@backed_by(tables.Upload, prefix="upload")
class Upload(Node):
    """A place for a photo or mask: PUT its bytes to `url`, then use `id` in `createGeneration`."""

    id: strawberry.ID = global_id()
    status: tables.UploadStatus = column(description="Where it stands.")
    content_type: str = expression(
        lambda upload: func.coalesce(upload.c.stored_content_type, upload.c.content_type),
        description="The photo's media type; as announced until the photo is there.",
    )
    size_bytes: int = expression(
        lambda upload: func.coalesce(upload.c.size_bytes, upload.c.declared_size_bytes),
        description="What it takes of the user's room: the size of the photo that is kept; as "
        "announced before it is there and after it is deleted, when it takes none.",
    )
    created_at: datetime = column(description="When it was announced.")
    expires_at: datetime = column(description="Until when the PUT is accepted.")
    width_pixels: int | None = column(description="Width of the photo; null until it is there.")
    height_pixels: int | None = column(description="Height of the photo; null until it is there.")

    @computed("id", "user_id", "folder_id", "expires_at", description="Where to PUT the bytes.")
    def url(self: Any) -> str:
        """Signs the link when the row is read."""
        expires_at = datetime.fromisoformat(self.expires_at).timestamp()
        return links().put_url(self.folder_id or self.user_id, self.id, expires_at)

    @computed(description="The HTTP method to use: PUT.")
    def method(self: Any) -> str:
        """Always PUT."""
        return "PUT"

    @computed("content_type", description="Headers to send with the bytes.")
    def headers(self: Any) -> list[UploadHeader]:
        """The type that was announced, and what the storage asks for."""
        headers = links().put_headers(self.content_type)
        return [UploadHeader(name=name, value=value) for name, value in headers.items()]

    @computed(
        "path",
        "stored_content_type",
        description="A signed link to the photo, upright and without metadata, good for an hour; "
        "null until it is there.",
    )
    def image_url(self: Any, width: WidthArgument = None) -> str | None:
        """Signs the link when the row is read."""
        return picture_url(self.path, self.stored_content_type, width)  # type: ignore[arg-type]


extend(
    User,
    after="generations",
    uploads=connection(
        Upload,
        NEWEST_FIRST,
        only=is_kept,
        description="Photos that take room, and places announced for more, newest first; deleted "
        "ones are not among them.",
    ),
)


@strawberry.input(description="A photo about to be uploaded.")
class CreateUploadInput:
    content_type: str = strawberry.field(
        description="image/jpeg (image/jpg is the same), image/png or image/webp, in any case."
    )
    size_bytes: int = strawberry.field(
        description="Its size, at most 15 MiB. No more bytes than this are taken."
    )


@strawberry.type(description="Result of `createUpload`.")
class CreateUploadPayload(MutationPayload):
    upload: Upload | None = strawberry.field(description="Where to put the photo.")


@strawberry.input(description="Which upload to delete.")
class DeleteUploadInput:
    id: strawberry.ID = strawberry.field(description="The upload's global id.")


@strawberry.type(description="Result of `deleteUpload`.")
class DeleteUploadPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was deleted."
    )


async def create_upload(context: Context, input: CreateUploadInput) -> Outcome:
    """Makes a place for one photo and counts it toward the quota."""
    context.signed_in()
    limits = context.services.uploads.limits
    command = operations.create_upload(input.content_type, input.size_bytes, limits)
    return Outcome(command, {"upload": RESULT})


async def delete_upload(context: Context, input: DeleteUploadInput) -> Outcome:
    """Deletes a photo of the caller's, then its files."""
    context.signed_in()
    upload_id = uuid_from_global_id(input.id, "upload", "input", "id")
    command = operations.delete_upload(
        context.services.database, context.services.uploads.storage, upload_id
    )
    return Outcome(command, fields={"deleted_id": input.id})


@strawberry.type
class UploadsMutation:
    """Mutations on uploads."""

    create_upload: CreateUploadPayload | None = mutation(
        create_upload,
        CreateUploadInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.EMPTY_FILE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        for_api_keys=True,
        description="Announce a photo and get a signed URL to PUT it to.",
    )
    delete_upload: DeleteUploadPayload | None = mutation(
        delete_upload,
        DeleteUploadInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.BAD_USER_INPUT),
        for_api_keys=True,
        description="Delete a photo for good. What was made from it stays.",
    )


@strawberry.type(description="An upload after a change.")
class UploadUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    upload: Upload = strawberry.field(description="The upload after the change.")


@strawberry.type
class UploadsSubscription:
    """Subscriptions on uploads."""

    upload_updated: UploadUpdated = live(
        "upload.updated",
        "upload",
        entity=True,
        description="One upload of the caller's: as it is now, then after every change.",
    )
