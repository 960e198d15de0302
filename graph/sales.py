"""Sales in the schema: what buyers have bought of stores, and what sellers have earned."""

from __future__ import annotations

from datetime import datetime

import strawberry
from sqlalchemy import Double, Integer, Text

from db.core.commands import call_as_actor
from db.core.errors import ErrorCode
from db.sales import operations, tables
from db.sales.tables import SaleStatus
from graph.accounts import User
from graph.billing import Order, Product
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    reference,
    related_row,
    report,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.engine.specs import Report
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, slug_from_global_id
from graph.stores import Store

state_enum(SaleStatus)


@backed_by(tables.Sale, prefix="sale")
class Sale(Node):
    """A product that somebody has bought of a store, or taken for free. Buyer and seller see it."""

    id: strawberry.ID = global_id()
    status: SaleStatus = column(description="How it stands.")
    product_id: strawberry.ID = reference(
        "product_id", "product", description="The product's global id."
    )
    product_name: str = column(description="What the product was called.")
    product: Product | None = related_row(
        "product_id", description="The product; null when it is sold no more."
    )
    store: Store | None = related_row(
        "store_id", description="The store that sold it; null when it is closed."
    )
    order: Order | None = related_row(
        "order_id", description="The buyer's order; null for others, and for what was free."
    )
    provider: str | None = column(description="The payment provider; null for what was free.")
    amount_cents: int = column(description="What was paid, in hundredths of the currency.")
    currency: str | None = column(description="ISO 4217 code; null for what was free.")
    discount_cents: int = column(description="How much a discount code had taken off before.")
    fee_cents: int = column(description="What of it whoever runs the service keeps.")
    seller_cents: int = column(description="What of it the seller gets.")
    refunded_cents: int = column(description="How much of it went back.")
    created_at: datetime = column(description="When it was made.")
    claimed_at: datetime | None = column(
        description="When whoever bought it without an account claimed it; null for others."
    )


@strawberry.type(
    description="What a seller has earned in one store and currency; amounts are whole hundredths."
)
class Earnings:
    store_id: strawberry.ID | None = column(
        description="The store's global id; null for stores that are closed."
    )
    currency: str = column(description="ISO 4217 code.")
    sale_count: int = column(description="How many sales.")
    gross_cents: float = column(description="What buyers paid.")
    fee_cents: float = column(
        description="What of it whoever runs the service keeps, less what of that went back."
    )
    refunded_cents: float = column(description="What went back to buyers.")
    net_cents: float = column(description="What is left: gross − fee − refunded.")


def _no_arguments(self: object) -> object:  # noqa: ARG001
    """A report without arguments; the engine itself answers."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


extend(
    User,
    purchases=connection(
        Sale,
        NEWEST_FIRST,
        key="buyer_id",
        description="What the user has bought of stores, newest first.",
    ),
    sales=connection(
        Sale,
        NEWEST_FIRST,
        key="seller_id",
        description="What the user has sold, newest first.",
    ),
    earnings=report(
        Report(
            operations.EARNINGS,
            (),
            (
                ("store_id", Text()),
                ("currency", Text()),
                ("sale_count", Integer()),
                ("gross_cents", Double()),
                ("fee_cents", Double()),
                ("refunded_cents", Double()),
                ("net_cents", Double()),
            ),
        ),
        _no_arguments,
        returns=list[Earnings],
        description="What the user has earned, for each store and currency; currencies are never "
        "added up.",
    ),
)


@strawberry.input(description="A free product.")
class ObtainProductInput:
    product_id: strawberry.ID = strawberry.field(description="The product's global id.")


@strawberry.type(description="Result of `obtainProduct`.")
class ObtainProductPayload(MutationPayload):
    sale: Sale | None = strawberry.field(description="The sale; null on errors.")


@strawberry.type(description="Result of `claimPurchases`.")
class ClaimPurchasesPayload(MutationPayload):
    claimed_count: int | None = strawberry.field(
        description="How many purchases are the caller's now that were nobody's before."
    )


async def obtain_product(context: Context, input: ObtainProductInput) -> Outcome:
    """Gives the caller a free product."""
    context.signed_in()
    command = operations.obtain_product(slug_from_global_id(input.product_id, "product"))
    return Outcome(command, {"sale": RESULT})


async def claim_purchases(context: Context) -> Payload:
    """Makes the caller the buyer of what was bought under their e-mail."""
    actor = context.signed_in()
    claimed = await call_as_actor(context.services.database, actor, operations.claim_sales())
    return Payload({"claimed_count": claimed})


@strawberry.type
class SalesMutation:
    """Mutations on sales."""

    obtain_product: ObtainProductPayload | None = mutation(
        obtain_product,
        ObtainProductInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        description="Take a free product of a store; doing it again gives the same sale.",
    )
    claim_purchases: ClaimPurchasesPayload | None = mutation(
        claim_purchases,
        errors=(ErrorCode.EMAIL_NOT_CONFIRMED,),
        description="Take over what was bought without an account under the caller's confirmed "
        "e-mail. Doing it again changes nothing.",
    )
