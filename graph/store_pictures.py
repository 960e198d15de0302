"""A store's logo and banner in the schema: how its owner sets and removes them."""

from __future__ import annotations

from enum import Enum

import strawberry

from db.core.errors import ErrorCode
from db.stores.pictures import StorePictures
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import Payload, Ref
from graph.shared.context import Context
from graph.shared.relay import uuid_from_global_id
from graph.stores import StorePayload

_STORE = "The store's global id."


@strawberry.enum(description="What a picture of a store is for.")
class StorePictureKind(Enum):
    """The pictures that a store has."""

    LOGO = strawberry.enum_value("LOGO", description="Its sign: `logoUrl`.")
    BANNER = strawberry.enum_value("BANNER", description="Across the top of its page: `bannerUrl`.")


@strawberry.input(description="A photo that becomes a store's logo or banner.")
class SetStorePictureInput:
    store_id: strawberry.ID = strawberry.field(description=_STORE)
    kind: StorePictureKind = strawberry.field(description="Which of the two.")
    upload_id: strawberry.ID = strawberry.field(
        description="The global id of an upload of the caller's that has come; it is copied, at "
        "most 1,280 pixels wide."
    )


@strawberry.input(description="A logo or banner that is to go.")
class RemoveStorePictureInput:
    store_id: strawberry.ID = strawberry.field(description=_STORE)
    kind: StorePictureKind = strawberry.field(description="Which of the two.")


async def set_store_picture(context: Context, input: SetStorePictureInput) -> Payload:
    """Copies a photo to be a store's logo or banner."""
    actor = context.signed_in()
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    upload_id = uuid_from_global_id(input.upload_id, "upload", "input", "uploadId")
    pictures = _pictures(context)
    await pictures.set(actor, store_id, input.kind.name, upload_id, context.network)
    return Payload({"store": Ref(store_id)})


async def remove_store_picture(context: Context, input: RemoveStorePictureInput) -> Payload:
    """Removes a store's logo or banner."""
    actor = context.signed_in()
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    await _pictures(context).remove(actor, store_id, input.kind.name)
    return Payload({"store": Ref(store_id)})


def _pictures(context: Context) -> StorePictures:
    uploads = context.services.uploads
    return StorePictures(context.services.database, uploads.storage, uploads.images)


@strawberry.type
class StorePicturesMutation:
    """Mutations on the pictures of stores."""

    set_store_picture: StorePayload | None = mutation(
        set_store_picture,
        SetStorePictureInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Make a photo of the caller's the logo or banner of their store, in place of "
        "the one before.",
    )
    remove_store_picture: StorePayload | None = mutation(
        remove_store_picture,
        RemoveStorePictureInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Remove the logo or banner of a store of the caller's; what it does not have "
        "is no error.",
    )
