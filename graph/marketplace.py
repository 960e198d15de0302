"""What stores sell, in the schema: products with their pictures, files and versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import Double, cast, func, literal_column

from db.billing.tables import ProductStatus
from db.files.storage import product_file_path
from db.marketplace import tables
from db.marketplace.tables import PICTURES_LIMIT, ProductFileStatus
from graph.billing import Product
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    expression,
    global_id,
    lookup,
    reference,
    related_row,
    related_rows,
    state_enum,
)
from graph.engine.extending import extend
from graph.shared.relay import Node
from graph.stores import Store
from graph.uploads import WidthArgument, links, picture_url

state_enum(ProductStatus)
state_enum(ProductFileStatus)

_PRODUCT = "The product's global id."


@backed_by(tables.ProductPicture, prefix="productPicture")
class ProductPicture(Node):
    """A picture of a product."""

    id: strawberry.ID = global_id()
    width_pixels: int = column(description="Its width.")
    height_pixels: int = column(description="Its height.")
    sort_order: int = column(description="Its place among the product's, ascending.")

    @computed("path", "content_type", description="A link to it, good for an hour at least.")
    def url(self: Any, width: WidthArgument = None) -> str:
        """Signs the link when the row is read."""
        made = picture_url(self.path, self.content_type, width)  # type: ignore[arg-type]
        assert made is not None
        return made


@backed_by(tables.ProductFile, prefix="productFile")
class ProductFile(Node):
    """A file for a product: PUT its bytes to `url`, then use `id` in `createProductVersion`."""

    id: strawberry.ID = global_id()
    product_id: strawberry.ID = reference("product_id", "product", description=_PRODUCT)
    file_name: str = column(description="What buyers' browsers keep it as.")
    content_type: str = column(description="Its media type.")
    size_bytes: int = column(description="Its size; as announced until it is there.")
    status: ProductFileStatus = column(description="Whether it has come.")
    created_at: datetime = column(description="When it was announced.")
    expires_at: datetime = column(description="Until when the PUT is accepted.")

    @computed("id", "product_id", "expires_at", description="Where to PUT the bytes.")
    def url(self: Any) -> str:
        """Signs the link when the row is read."""
        path = product_file_path(self.product_id, UUID(self.id))
        expires_at = datetime.fromisoformat(self.expires_at).timestamp()
        return links().signer.sign_url("PUT", path, expires_at)


@backed_by(tables.ProductVersion, prefix="productVersion")
class ProductVersion(Node):
    """A version of a product. Its file is for buyers: `downloadProduct`."""

    id: strawberry.ID = global_id()
    number: int = column(description="1 for the first, and so on.")
    label: str = column(description="What its seller calls it, such as 1.2.0.")
    notes: str | None = column(description="What is new in it.")
    file_name: str = column(description="What browsers keep its file as.")
    size_bytes: int = column(description="The size of its file.")
    created_at: datetime = column(description="When it was made.")


def _rating(product: Any) -> Any:
    return cast(product.c.rating_sum, Double) / func.nullif(
        product.c.rating_count, literal_column("0")
    )


extend(
    Product,
    status=column(returns=ProductStatus, description="Where it stands; PUBLISHED in the catalog."),
    store=related_row(
        "store_id",
        returns=Store | None,
        description="The store that sells it; null for what whoever runs the service sells.",
    ),
    description=column(returns=str | None, description="What it is."),
    category=column(returns=str | None, description="What sort of thing it is."),
    tags=column(returns=list[str], description="Words to find it by."),
    pictures=related_rows(
        "product_id",
        ("sort_order", "id"),
        at_most=PICTURES_LIMIT,
        returns=list[ProductPicture],
        description="What it looks like.",
    ),
    versions=connection(
        ProductVersion,
        ("-number",),
        key="product_id",
        description="Its versions, newest first. The newest is what is downloaded.",
    ),
    licences_enabled=column(returns=bool, description="Whether each sale comes with a licence."),
    max_activations=column(
        returns=int | None,
        description="On how many machines a licence may be used; null for any number.",
    ),
    affiliates_enabled=column(
        returns=bool, description="Whether others may recommend it for a commission."
    ),
    download_count=column(returns=int, description="How many buyers have downloaded it."),
    rating=expression(
        _rating,
        returns=float | None,
        description="The average of its reviews, 1 to 5; null without.",
    ),
    rating_count=column(returns=int, description="How many reviews it has."),
    created_at=column(returns=datetime, description="When it was made."),
    updated_at=column(returns=datetime, description="When it or its versions last changed."),
    published_at=column(returns=datetime | None, description="When a store first published it."),
)
extend(
    ProductVersion,
    product=related_row(
        "product_id",
        returns=Product | None,
        description="The product; null when it is sold no more.",
    ),
)
extend(
    Store,
    products=connection(
        Product,
        NEWEST_FIRST,
        key="store_id",
        description="What it sells, newest first; for its owner also what is no longer sold, or "
        "not yet.",
    ),
)


@strawberry.type
class MarketplaceQuery:
    """Queries on what stores sell."""

    product: Product | None = lookup(
        description="A product, for everybody; null when there is none, or it is a draft or "
        "archived and another's."
    )
