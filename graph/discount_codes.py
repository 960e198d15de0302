"""Discount codes of stores, in the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from db.core.errors import ErrorCode, Problems
from db.sales import operations, tables
from db.sales.tables import DiscountKind
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, noted_uuid, slug_from_global_id
from graph.stores import Store

state_enum(DiscountKind)

_CODE = "3 to 32 letters, digits and hyphens, unique in the store; buyers write it in any case."
_CENTS = "in hundredths of the currency"


@backed_by(tables.DiscountCode, prefix="discountCode")
class DiscountCode(Node):
    """A code that makes a store's products cheaper. Its seller alone sees it."""

    id: strawberry.ID = global_id()
    code: str = column(description="What buyers write.")
    kind: DiscountKind = column(description="How it makes a price lower.")
    percent: int | None = column(description="Of a PERCENTAGE: how many hundredths of the price.")
    amount_cents: int | None = column(description=f"Of a FIXED code: how much, {_CENTS}.")
    currency: str | None = column(
        description="The currency of its amounts, for whose prices alone it is; null for any."
    )
    min_purchase_cents: int | None = column(description="The least price that it is for.")
    max_discount_cents: int | None = column(description="The most that it takes off.")
    usage_limit: int | None = column(description="For how many sales it is; null for any number.")
    use_count: int = column(description="For how many it was used.")
    is_active: bool = column(description="Whether it is good.")
    expires_at: datetime | None = column(description="Until when; null for ever.")
    created_at: datetime = column(description="When it was made.")


extend(
    Store,
    discount_codes=connection(
        DiscountCode,
        NEWEST_FIRST,
        key="store_id",
        description="Its discount codes, newest first; empty for others than its owner.",
    ),
)


@stored_in(tables.DiscountCode, description="A new discount code.")
class CreateDiscountCodeInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")
    code: str = strawberry.field(description=_CODE)
    kind: DiscountKind = strawberry.field(description="How it makes a price lower.")
    percent: int | None = strawberry.field(
        default=strawberry.UNSET, description="Of a PERCENTAGE: 1 to 100."
    )
    amount_cents: int | None = strawberry.field(
        default=strawberry.UNSET, description=f"Of a FIXED code: how much, {_CENTS}."
    )
    currency: str | None = strawberry.field(
        default=strawberry.UNSET, description="ISO 4217 code; a code with amounts needs it."
    )
    min_purchase_cents: int | None = strawberry.field(
        default=strawberry.UNSET, description=f"The least price that it is for, {_CENTS}."
    )
    max_discount_cents: int | None = strawberry.field(
        default=strawberry.UNSET, description=f"The most that it takes off, {_CENTS}."
    )
    product_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Global ids of the products that it is for, at most 100; all when left out.",
    )
    usage_limit: int | None = strawberry.field(
        default=strawberry.UNSET, description="For how many sales it is."
    )
    expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Until when it is good."
    )


@stored_in(tables.DiscountCode, description="Changes to a code; what is left out stays.")
class UpdateDiscountCodeInput:
    id: strawberry.ID = strawberry.field(description="The code's global id.")
    is_active: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether it is good."
    )
    usage_limit: int | None = strawberry.field(
        default=strawberry.UNSET, description="For how many sales it is."
    )
    expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Until when it is good."
    )


@strawberry.type(description="Result of `createDiscountCode` and `updateDiscountCode`.")
class DiscountCodePayload(MutationPayload):
    discount_code: DiscountCode | None = strawberry.field(
        description="The code as it is now; null on errors."
    )


async def create_discount_code(context: Context, input: CreateDiscountCodeInput) -> Outcome:
    """Makes a discount code of a store."""
    context.signed_in()
    problems = Problems(nulls(input))
    store_id = noted_uuid(problems, input.store_id, "store", "input", "storeId")
    values = _stored(input) | {"kind": input.kind.value}
    del values["store_id"]
    if values.get("product_ids") is not None:
        values["product_ids"] = [
            slug_from_global_id(one, "product") for one in values["product_ids"]
        ]
    return Outcome(operations.create_code(problems, store_id, values), {"discount_code": RESULT})


async def update_discount_code(context: Context, input: UpdateDiscountCodeInput) -> Outcome:
    """Changes whether, how long and how often a code is good."""
    context.signed_in()
    problems = Problems(nulls(input))
    code_id = noted_uuid(problems, input.id, "discountCode", "input", "id")
    command = operations.update_code(problems, code_id, _stored(input))
    return Outcome(command, {"discount_code": RESULT})


def _stored(input: Any) -> dict[str, Any]:
    values = given(input)
    if isinstance(until := values.get("expires_at"), datetime):
        values["expires_at"] = until.isoformat()
    return values


@strawberry.type
class DiscountCodesMutation:
    """Mutations on discount codes."""

    create_discount_code: DiscountCodePayload | None = mutation(
        create_discount_code,
        CreateDiscountCodeInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.LIMIT_EXCEEDED),
        for_api_keys=True,
        description="Make a code for `createCheckout`, at most 200 for each store.",
    )
    update_discount_code: DiscountCodePayload | None = mutation(
        update_discount_code,
        UpdateDiscountCodeInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        for_api_keys=True,
        description="Change whether, how long and how often a code is good. What it takes off "
        "stays as it was made.",
    )
