"""What admins do to what is sold, in the schema: products, and their prices at providers."""

from __future__ import annotations

from typing import Any

import strawberry

from db.billing import tables
from db.core.errors import ErrorCode, Problems, bad_input
from db.products import operations
from graph.billing import BillingInterval, Product, ProductKind
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import slug_from_global_id
from payments.registry import MAKERS

_FOR_ADMINS = "Sent again it changes nothing more. For admins; FORBIDDEN for others."
_PRODUCT = "The product's global id or slug."
_PROVIDER = "The payment provider, such as `stripe`."
_KEYS = ("id", "product_id", "provider")
_AT_PROVIDER = ("input", "provider")


def _left_out(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


@stored_in(tables.Product, description="A product, or changes to one; what is left out stays.")
class SaveProductInput:
    id: strawberry.ID = strawberry.field(description="Its global id or slug; a new slug adds it.")
    name: str | None = _left_out("Its name in English, 1 to 100 characters; a new one needs it.")
    kind: ProductKind | None = _left_out("What it gives; a new one needs it.")
    credits: int | None = _left_out(
        "How many credits, 1 to 1,000,000: of kind CREDITS. Null where it gives a plan."
    )
    plan_id: strawberry.ID | None = _left_out(
        "The plan's global id or slug: of kind PLAN or SUBSCRIPTION. Null where it gives credits."
    )
    is_active: bool | None = _left_out("Whether it can be bought; a new one can.")
    sort_order: int | None = _left_out("Position in the list, ascending.")


@stored_in(
    tables.ProductPrice,
    description="What a product costs at a provider, or changes to that; what is left out stays.",
)
class SaveProductPriceInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    provider: str = strawberry.field(description=f"{_PROVIDER} A new one adds a price.")
    amount_cents: int | None = _left_out(
        "In hundredths of the currency, 1 to 100,000,000; a new one needs it."
    )
    currency: str | None = _left_out("ISO 4217 code; a new one needs it.")
    billing_interval: BillingInterval | None = strawberry.field(
        name="interval",
        default=strawberry.UNSET,
        description="How long a payment for a plan lasts; none for credits.",
    )
    price_id: str | None = _left_out(
        "The provider's own name of the price, where it keeps prices, 1 to 255 characters."
    )


@strawberry.input(description="Which product to remove.")
class RemoveProductInput:
    id: strawberry.ID = strawberry.field(description=_PRODUCT)


@strawberry.input(description="Where a product is not to be sold any more.")
class RemoveProductPriceInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    provider: str = strawberry.field(description=_PROVIDER)


@strawberry.type(
    description="Result of `saveProduct`, `saveProductPrice` and `removeProductPrice`."
)
class ProductPayload(MutationPayload):
    product: Product | None = strawberry.field(
        description="The product with its prices as it is now; null on errors."
    )


@strawberry.type(description="Result of `removeProduct`.")
class RemoveProductPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was removed."
    )
    product: Product | None = strawberry.field(
        description="The product where it was only switched off, since orders name it."
    )


def _changes(input: Any) -> dict[str, Any]:
    return {name: value for name, value in given(input).items() if name not in _KEYS}


async def save_product(context: Context, input: SaveProductInput) -> Outcome:
    """Adds or changes a product."""
    context.signed_in()
    changes = _changes(input)
    if isinstance(plan_id := changes.get("plan_id"), str):
        changes["plan_id"] = slug_from_global_id(plan_id, "plan")
    key = slug_from_global_id(input.id, "product")
    command = operations.save_product(key, Problems(nulls(input)), changes)
    return Outcome(command, {"product": RESULT})


async def remove_product(context: Context, input: RemoveProductInput) -> Outcome:
    """Deletes a product, or switches it off."""
    context.signed_in()
    key = slug_from_global_id(input.id, "product")
    fields = {"deleted_id": f"product_{key}"}
    return Outcome(operations.remove_product(key), {"product": RESULT}, fields=fields)


async def save_product_price(context: Context, input: SaveProductPriceInput) -> Outcome:
    """Sets what a product costs at a provider."""
    context.signed_in()
    problems = Problems(nulls(input))
    if input.provider not in MAKERS:
        known = ", ".join(sorted(MAKERS))
        problems.add([bad_input(f"There is no such provider; there are: {known}.", *_AT_PROVIDER)])
    key = slug_from_global_id(input.product_id, "product")
    command = operations.save_price(key, input.provider, problems, _changes(input))
    return Outcome(command, {"product": RESULT})


async def remove_product_price(context: Context, input: RemoveProductPriceInput) -> Outcome:
    """Ends what a product costs at a provider."""
    context.signed_in()
    key = slug_from_global_id(input.product_id, "product")
    return Outcome(operations.remove_price(key, input.provider), {"product": RESULT})


@strawberry.type
class ProductsMutation:
    """Mutations of admins on what is sold."""

    save_product: ProductPayload | None = mutation(
        save_product,
        SaveProductInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_admins=True,
        description="Add a product or change it; orders keep what they were offered, and what an "
        f"admin has set, loading the seed again leaves. {_FOR_ADMINS}",
    )
    remove_product: RemoveProductPayload | None = mutation(
        remove_product,
        RemoveProductInput,
        errors=(),
        for_admins=True,
        description="Delete a product with its prices, or switch it off when orders name it. What "
        f"is not there is no error. {_FOR_ADMINS}",
    )
    save_product_price: ProductPayload | None = mutation(
        save_product_price,
        SaveProductPriceInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        for_admins=True,
        description="Set what a product costs at a payment provider; orders keep the price that "
        f"they were offered for. {_FOR_ADMINS}",
    )
    remove_product_price: ProductPayload | None = mutation(
        remove_product_price,
        RemoveProductPriceInput,
        errors=(),
        for_admins=True,
        description="Sell a product no more at a payment provider. What is not there is no error. "
        f"{_FOR_ADMINS}",
    )
