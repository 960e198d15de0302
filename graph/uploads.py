"""Uploads in the schema: announcing a photo and learning where to PUT it."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import strawberry

from db.pool import Transaction
from db.storage import LinkSigner, open_links, upload_path
from db.uploads import operations, tables
from graph.context import Context
from graph.engine.declare import backed_by, column, computed, global_id, mutation
from graph.engine.outcomes import Payload, Ref, Verb
from graph.errors import UserError
from graph.relay import Node
from settings import get_settings


@cache
def links() -> LinkSigner:
    """The signer of this deployment's links."""
    return open_links(get_settings())


@strawberry.type(description="A header to send with the PUT.")
class UploadHeader:
    """A name and a value."""

    name: str = strawberry.field(description="The header's name.")
    value: str = strawberry.field(description="The header's value.")


@backed_by(tables.Upload, prefix="upload")
class Upload(Node):
    """A place for one photo: PUT its bytes to `url`, then use `id` in `createGeneration`."""

    id: strawberry.ID = global_id()
    expires_at: datetime = column(description="Until when the PUT is accepted.")

    @computed("id", "user_id", "expires_at", description="Where to PUT the bytes.")
    def url(self: Any) -> str:
        """Signs the link when the row is read."""
        expires_at = datetime.fromisoformat(self.expires_at).timestamp()
        return links().sign_url("PUT", upload_path(self.user_id, self.id), expires_at)

    @computed(description="The HTTP method to use: PUT.")
    def method(self: Any) -> str:
        """Always PUT."""
        return "PUT"

    @computed("content_type", description="Headers to send with the bytes.")
    def headers(self: Any) -> list[UploadHeader]:
        """The type that was announced."""
        return [UploadHeader(name="Content-Type", value=self.content_type)]


@strawberry.input(description="A photo about to be uploaded.")
class CreateUploadInput:
    """Input of `createUpload`."""

    content_type: str = strawberry.field(description="image/jpeg, image/png or image/webp.")
    size_bytes: int = strawberry.field(description="Its size, at most 15 MiB.")


@strawberry.type(description="Result of `createUpload`.")
class CreateUploadPayload:
    """Payload of `createUpload`."""

    upload: Upload | None = strawberry.field(description="Where to put the photo.")
    errors: list[UserError] = strawberry.field(
        description="BAD_USER_INPUT, EMPTY_FILE, LIMIT_EXCEEDED."
    )


async def create_upload(context: Context, input: CreateUploadInput) -> Verb:
    """Makes a place for one photo."""
    actor = context.signed_in()
    seconds = context.services.settings.upload_url_seconds

    async def run(transaction: Transaction) -> Payload:
        created = await operations.create_upload(
            transaction,
            actor,
            input.content_type,
            input.size_bytes,
            seconds,
            context.services.settings.upload_limit_bytes,
        )
        return Payload({"upload": Ref(created)})

    return Verb(run)


@strawberry.type
class UploadsMutation:
    """Mutations on uploads."""

    create_upload: CreateUploadPayload | None = mutation(
        create_upload,
        CreateUploadInput,
        description="Announce a photo and get a signed URL to PUT it to.",
    )
