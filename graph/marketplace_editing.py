"""What sellers do to what they sell, and buyers with what they have bought, in the schema."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time
from typing import Any, Literal

import strawberry

from db.billing import tables as billing
from db.core.errors import ErrorCode, Problems, bad_input
from db.marketplace import operations
from db.marketplace.receiving import ProductReceiver
from graph.billing import Product, ProductKind
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome, Payload, Ref
from graph.marketplace import ProductFile, ProductVersion
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import noted_uuid, slug_from_global_id, uuid_from_global_id
from graph.uploads import links

DOWNLOAD_SECONDS = 300
OF_STORES = ("DOWNLOAD", "BOT")
_PRODUCT = "The product's global id."
_NAME = "One line of 1 to 100 characters."
_DESCRIPTION = "At most 5,000 characters."
_CATEGORY = "One line of 1 to 50 characters; kept in small letters."
_TAGS = "At most 20, each of 1 to 30 small letters, digits, blanks and any of + . # -"
_PRICE = "What it costs wherever the store can be paid in that currency. What has none is free."
_LICENCES = "Whether each sale comes with a licence."
_ACTIVATIONS = "On how many machines a licence may be used, 1 to 10,000."
_AFFILIATES = "Whether others may recommend it for a commission."


@strawberry.input(description="A price in one currency.")
class PriceInput:
    amount_cents: int = strawberry.field(
        description="In hundredths of the currency, 50 to 10,000,000, where Stripe names no other "
        "least charge. Of what is paid in whole units, as JPY is, a multiple of 100 to 100,000,000."
    )
    currency: str = strawberry.field(description="ISO 4217 code, such as USD.")


@stored_in(
    billing.Product,
    beside=("price", "idempotency_key"),
    description="A new product of a store, a draft until it is published.",
)
class CreateProductInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")
    kind: ProductKind = strawberry.field(
        default=ProductKind.DOWNLOAD, description="DOWNLOAD or BOT, which stores sell."
    )
    name: str = strawberry.field(description=_NAME)
    price: PriceInput | None = strawberry.field(default=None, description=_PRICE)
    description: str | None = strawberry.field(default=strawberry.UNSET, description=_DESCRIPTION)
    category: str | None = strawberry.field(default=strawberry.UNSET, description=_CATEGORY)
    tags: list[str] | None = strawberry.field(default=strawberry.UNSET, description=_TAGS)
    licences_enabled: bool | None = strawberry.field(
        default=strawberry.UNSET, description=f"{_LICENCES} It does not, when left out."
    )
    max_activations: int | None = strawberry.field(
        default=strawberry.UNSET, description=_ACTIVATIONS
    )
    affiliates_enabled: bool | None = strawberry.field(
        default=strawberry.UNSET, description=f"{_AFFILIATES} They may not, when left out."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same product again. 1 to 255 characters, kept 30 "
        "days."
    )


@stored_in(
    billing.Product,
    beside=("price", "is_free"),
    description="Changes to a product of a store; what is left out stays.",
)
class UpdateProductInput:
    id: strawberry.ID = strawberry.field(description=_PRODUCT)
    name: str | None = strawberry.field(default=strawberry.UNSET, description=_NAME)
    price: PriceInput | None = strawberry.field(default=None, description=_PRICE)
    is_free: bool | None = strawberry.field(
        default=None, description="With true it has no price any more; give no `price` then."
    )
    description: str | None = strawberry.field(default=strawberry.UNSET, description=_DESCRIPTION)
    category: str | None = strawberry.field(default=strawberry.UNSET, description=_CATEGORY)
    tags: list[str] | None = strawberry.field(default=strawberry.UNSET, description=_TAGS)
    licences_enabled: bool | None = strawberry.field(
        default=strawberry.UNSET, description=_LICENCES
    )
    max_activations: int | None = strawberry.field(
        default=strawberry.UNSET, description=_ACTIVATIONS
    )
    affiliates_enabled: bool | None = strawberry.field(
        default=strawberry.UNSET, description=_AFFILIATES
    )


@strawberry.input(description="A product to show to everybody.")
class PublishProductInput:
    id: strawberry.ID = strawberry.field(description=_PRODUCT)


@strawberry.input(description="A product to take from sale.")
class ArchiveProductInput:
    id: strawberry.ID = strawberry.field(description=_PRODUCT)


@strawberry.input(description="A file of a product about to be sent.")
class CreateProductFileInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    file_name: str = strawberry.field(description="What buyers' browsers keep it as.")
    content_type: str = strawberry.field(
        description="Its media type, such as application/zip; none that browsers show as a page."
    )
    size_bytes: int = strawberry.field(description="Its size, at most 52,428,800.")


@strawberry.input(description="A file to delete.")
class DeleteProductFileInput:
    id: strawberry.ID = strawberry.field(description="The file's global id.")


@strawberry.input(description="A file that becomes the newest version of its product.")
class CreateProductVersionInput:
    file_id: strawberry.ID = strawberry.field(description="The file's global id.")
    label: str = strawberry.field(description="One line of 1 to 50 characters, such as 1.2.0.")
    notes: str | None = strawberry.field(
        default=None,
        description="What is new, at most 5,000 characters. Null is as good as leaving it out.",
    )


@strawberry.input(description="A photo that becomes a picture of a product.")
class AddProductPictureInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    upload_id: strawberry.ID = strawberry.field(
        description="The global id of an upload of the caller's that has come; it is copied."
    )


@strawberry.input(description="A picture to remove from its product.")
class RemoveProductPictureInput:
    id: strawberry.ID = strawberry.field(description="The picture's global id.")


@strawberry.input(description="What to download.")
class DownloadProductInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    version_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="A version's global id; the newest without it. Null is as good as leaving it "
        "out.",
    )


@strawberry.type(description="Result of mutations that change a product of a store.")
class StoreProductPayload(MutationPayload):
    product: Product | None = strawberry.field(
        description="The product as it is now; null on errors."
    )


@strawberry.type(description="Result of `createProductFile`.")
class ProductFilePayload(MutationPayload):
    product_file: ProductFile | None = strawberry.field(description="Where to put the file.")


@strawberry.type(description="Result of `deleteProductFile`.")
class DeleteProductFilePayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of the file that is gone; null on errors."
    )


@strawberry.type(description="Result of `createProductVersion`.")
class ProductVersionPayload(MutationPayload):
    product_version: ProductVersion | None = strawberry.field(
        description="The version; null on errors."
    )


@strawberry.type(description="Result of `downloadProduct`.")
class DownloadProductPayload(MutationPayload):
    url: str | None = strawberry.field(
        description="Where the file is, for five minutes. Give it to the buyer alone."
    )
    expires_at: datetime | None = strawberry.field(description="Until when.")
    file_name: str | None = strawberry.field(description="What browsers keep it as.")
    product_version: ProductVersion | None = strawberry.field(
        description="Which version it is; null when the product is sold no more."
    )


async def create_product(context: Context, input: CreateProductInput) -> Outcome:
    """Makes a product of a store."""
    context.signed_in()
    problems = Problems(nulls(input))
    store_id = noted_uuid(problems, input.store_id, "store", "input", "storeId")
    if input.kind.name not in OF_STORES:
        problems.add([bad_input("A store sells products of kind DOWNLOAD or BOT.", *_KIND)])
    command = operations.create_product(problems, store_id, _stored(input), input.idempotency_key)
    return Outcome(command, {"product": RESULT})


async def update_product(context: Context, input: UpdateProductInput) -> Outcome:
    """Changes what is given of a product."""
    context.signed_in()
    problems, values = Problems(nulls(input)), _stored(input)
    if input.is_free and input.price is not None:
        problems.add([bad_input("What is free has no price: give one of the two.", *_IS_FREE)])
    elif input.is_free:
        values["price_cents"] = None
    command = operations.update_product(problems, _key(input.id), values)
    return Outcome(command, {"product": RESULT})


def _stored(input: Any) -> dict[str, Any]:
    """What is given of a product, by columns, and its price beside them."""
    beside = ("store_id", "price", "is_free", "idempotency_key")
    values = {name: value for name, value in given(input).items() if name not in beside}
    if isinstance(kind := values.get("kind"), ProductKind):
        values["kind"] = kind.value
    if input.price is not None:
        values |= {"price_cents": input.price.amount_cents, "currency": input.price.currency}
    return values


def _key(product_id: str) -> str:
    return slug_from_global_id(product_id, "product")


async def publish_product(context: Context, input: PublishProductInput) -> Outcome:
    """Shows a product to everybody."""
    return _move(context, input.id, "PUBLISH")


async def archive_product(context: Context, input: ArchiveProductInput) -> Outcome:
    """Takes a product from sale."""
    return _move(context, input.id, "ARCHIVE")


def _move(context: Context, product_id: str, step: Literal["PUBLISH", "ARCHIVE"]) -> Outcome:
    context.signed_in()
    return Outcome(operations.move_product(_key(product_id), step), {"product": RESULT})


async def create_product_file(context: Context, input: CreateProductFileInput) -> Outcome:
    """Makes a place for a file of a product."""
    context.signed_in()
    command = operations.create_file(
        _key(input.product_id), input.file_name, input.content_type, input.size_bytes
    )
    return Outcome(command, {"product_file": RESULT})


async def delete_product_file(context: Context, input: DeleteProductFileInput) -> Outcome:
    """Deletes a file that is no version."""
    context.signed_in()
    file_id = uuid_from_global_id(input.id, "productFile", "input", "id")
    return Outcome(operations.delete_file(file_id), fields={"deleted_id": input.id})


async def create_product_version(context: Context, input: CreateProductVersionInput) -> Outcome:
    """Makes a file the newest version of its product."""
    context.signed_in()
    file_id = uuid_from_global_id(input.file_id, "productFile", "input", "fileId")
    command = operations.create_version(file_id, input.label.strip(), input.notes)
    return Outcome(command, {"product_version": RESULT})


async def add_product_picture(context: Context, input: AddProductPictureInput) -> Payload:
    """Copies a photo to be a picture of a product."""
    actor = context.signed_in()
    upload_id = uuid_from_global_id(input.upload_id, "upload", "input", "uploadId")
    receiver = ProductReceiver(context.services.database, context.services.uploads.storage)
    await receiver.add_picture(actor, _key(input.product_id), upload_id)
    return Payload({"product": Ref(_key(input.product_id))})


async def remove_product_picture(context: Context, input: RemoveProductPictureInput) -> Outcome:
    """Removes a picture from its product."""
    context.signed_in()
    picture_id = uuid_from_global_id(input.id, "productPicture", "input", "id")
    return Outcome(operations.remove_picture(picture_id), {"product": RESULT})


async def download_product(context: Context, input: DownloadProductInput) -> Payload:
    """Signs a link to a product's file, for who may have it."""
    actor, version_id = context.signed_in(), None
    if input.version_id is not None:
        path = ("input", "versionId")
        version_id = uuid_from_global_id(input.version_id, "productVersion", *path)
    found = await operations.begin_download(
        context.services.database, actor, _key(input.product_id), version_id
    )
    expires_at = int(time()) + DOWNLOAD_SECONDS
    url = links().signer.sign_url(
        "GET",
        found.path,
        expires_at,
        found.content_type,
        rounded_to=1,
        file_name=found.file_name,
    )
    return Payload(
        {
            "url": url,
            "expires_at": datetime.fromtimestamp(expires_at, UTC),
            "file_name": found.file_name,
            "product_version": Ref(found.version_id),
        }
    )


_KIND = ("input", "kind")
_IS_FREE = ("input", "isFree")
_CHANGING = (ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND)


@strawberry.type
class MarketplaceEditingMutation:
    """Mutations on what stores sell."""

    create_product: StoreProductPayload | None = mutation(
        create_product,
        CreateProductInput,
        errors=(
            *_CHANGING,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Make a product of a store of the caller's, a draft until `publishProduct`.",
    )
    update_product: StoreProductPayload | None = mutation(
        update_product,
        UpdateProductInput,
        errors=(*_CHANGING, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        description="Change a product of the caller's. Orders keep the price they were offered "
        "for.",
    )
    publish_product: StoreProductPayload | None = mutation(
        publish_product,
        PublishProductInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        description="Show a product to everybody, where its store is public. A DOWNLOAD needs a "
        "version, or licences, first. Doing it again changes nothing.",
    )
    archive_product: StoreProductPayload | None = mutation(
        archive_product,
        ArchiveProductInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Take a product from sale; who has bought it keeps it. `publishProduct` brings "
        "it back.",
    )
    create_product_file: ProductFilePayload | None = mutation(
        create_product_file,
        CreateProductFileInput,
        errors=(*_CHANGING, ErrorCode.QUOTA_EXCEEDED),
        for_api_keys=True,
        description="Announce a file of a product and get a signed URL to PUT it to, within 15 "
        "minutes.",
    )
    delete_product_file: DeleteProductFilePayload | None = mutation(
        delete_product_file,
        DeleteProductFileInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        description="Delete a file that is no version, which makes room for others.",
    )
    create_product_version: ProductVersionPayload | None = mutation(
        create_product_version,
        CreateProductVersionInput,
        errors=(*_CHANGING, ErrorCode.UPLOAD_MISSING, ErrorCode.LIMIT_EXCEEDED),
        for_api_keys=True,
        description="Make a file that has come the newest version of its product; of one file it "
        "is the same version again.",
    )
    add_product_picture: StoreProductPayload | None = mutation(
        add_product_picture,
        AddProductPictureInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LIMIT_EXCEEDED),
        for_api_keys=True,
        description="Add a picture to a product, at most 10, behind those that it has.",
    )
    remove_product_picture: StoreProductPayload | None = mutation(
        remove_product_picture,
        RemoveProductPictureInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Remove a picture from its product.",
    )
    download_product: DownloadProductPayload | None = mutation(
        download_product,
        DownloadProductInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Get a link to what the caller has bought, or sells: its newest version, or "
        "another. A buyer counts as one download however often they do it.",
    )
