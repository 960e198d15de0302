"""Purchases in app stores in the schema: proofs of them, and how subscriptions stand there."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode
from db.purchases import tables
from graph.accounts import User
from graph.billing import Order
from graph.catalog import Plan
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    reference,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import Payload, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node
from payments.purchases import purchases_of

state_enum(tables.SubscriptionTransactionStatus)

_PROVIDER = "The store, as in a product's `prices`: `app-store`, `google-play`."
_PROOF = (
    "What the store gave the app: of the App Store the signed transaction (JWS), of Google Play "
    "the purchase token."
)


@backed_by(tables.SubscriptionTransaction, prefix="subscriptionTransaction")
class SubscriptionTransaction(Node):
    """One payment of a subscription that a store renews, as the store told of it."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The store.")
    transaction_id: str = column(description="The store's own id of the payment.")
    order_id: strawberry.ID = reference("order_id", "order", description="The order's global id.")
    order: Order | None = related_row("order_id", description="The order that it paid.")
    plan: Plan | None = related_row("plan_id", description="The plan that it pays for.")
    status: tables.SubscriptionTransactionStatus = column(description="Where its time stands.")
    amount_cents: int = column(description="In hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")
    started_at: datetime = column(description="When its time began.")
    expires_at: datetime = column(description="When its time ends.")
    auto_renews: bool = column(description="Whether the store renews it.")
    grace_ends_at: datetime | None = column(
        description="Until when the store lets it run while a renewal fails; null otherwise."
    )
    created_at: datetime = column(description="When it was first told of.")


extend(
    User,
    subscription_transactions=connection(
        SubscriptionTransaction,
        NEWEST_FIRST,
        description="Payments of subscriptions that stores renew, newest first.",
    ),
)


@strawberry.input(description="A purchase that was made in an app, and its proof.")
class ValidatePurchaseInput:
    provider: str = strawberry.field(description=_PROVIDER)
    proof: str = strawberry.field(description=_PROOF)


@strawberry.type(description="Result of `validatePurchase`.")
class ValidatePurchasePayload(MutationPayload):
    order: Order | None = strawberry.field(
        description="The order of the purchase, the same for the same proof; null on errors."
    )


async def validate_purchase(context: Context, input: ValidatePurchaseInput) -> Payload:
    """Gives the caller what a proof says that they bought."""
    order_id = await context.services.of(purchases_of).validate(
        context.signed_in(), provider=input.provider, proof=input.proof
    )
    return Payload({"order": Ref(order_id)})


@strawberry.input(description="What a store's account has of an app.")
class RestorePurchasesInput:
    provider: str = strawberry.field(description=_PROVIDER)
    proofs: list[str] = strawberry.field(description=f"At most 50. Of each: {_PROOF}")


@strawberry.type(description="Result of `restorePurchases`.")
class RestorePurchasesPayload(MutationPayload):
    restored: int | None = strawberry.field(
        description="How many of them are the caller's; those that are over or another account's "
        "are left out. Null on errors."
    )


async def restore_purchases(context: Context, input: RestorePurchasesInput) -> Payload:
    """Gives the caller what a store's account has."""
    restored = await context.services.of(purchases_of).restore(
        context.signed_in(), provider=input.provider, proofs=input.proofs
    )
    return Payload({"restored": restored})


_ERRORS = (
    ErrorCode.NOT_FOUND,
    ErrorCode.INVALID_STATE,
    ErrorCode.PURCHASE_INVALID,
    ErrorCode.PURCHASE_IN_USE,
    ErrorCode.LIMIT_EXCEEDED,
    ErrorCode.PROVIDER_NOT_CONFIGURED,
    ErrorCode.PROVIDER_FAILED,
)


@strawberry.type
class PurchasesMutation:
    """Mutations on purchases in app stores."""

    validate_purchase: ValidatePurchasePayload | None = mutation(
        validate_purchase,
        ValidatePurchaseInput,
        errors=_ERRORS,
        description="Send the proof of a purchase that was made in an app, and have what it "
        "paid for. The purchase itself is the key: sent again, or told of by the store before, it "
        "gives the same order. It belongs to the account whose id the app gave the store (the "
        "UUID behind `user_` in `viewer.id`, as `appAccountToken` or "
        "`obfuscatedExternalAccountId`), or else to the first that sends it.",
    )
    restore_purchases: RestorePurchasesPayload | None = mutation(
        restore_purchases,
        RestorePurchasesInput,
        errors=(*_ERRORS, ErrorCode.BAD_USER_INPUT),
        description="Send the proofs of all that a store's account has, as after a new "
        "installation; each is taken as by `validatePurchase`.",
    )
