"""Billing in the schema: what can be bought, buying it, and what became of it."""

from __future__ import annotations

import hmac
from datetime import datetime
from enum import Enum

import strawberry

from db.billing import tables
from db.core.errors import ErrorCode
from db.webhooks import operations as webhook_operations
from db.webhooks import tables as webhook_tables
from graph.accounts import User
from graph.catalog import Plan, i18n_key
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    live,
    mutation,
    reference,
    related_row,
    related_rows,
    root_connection,
    rows,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Cursor, Node, slug_from_global_id, uuid_from_global_id
from graph.shared.scalars import JSON
from payments.checkouts import Guest, checkouts_of
from payments.refunds import refunds_of
from payments.subscriptions import subscriptions_of

state_enum(tables.OrderStatus)
state_enum(tables.PaymentStatus)
state_enum(webhook_tables.WebhookStatus)

# One for each provider that there is, and more.
PRICES_LIMIT = 20


@strawberry.enum(description="What a product gives.")
class ProductKind(Enum):
    """Kinds of products."""

    CREDITS = strawberry.enum_value("CREDITS", description="Credits, once.")
    PLAN = strawberry.enum_value("PLAN", description="A plan for a time, paid for once.")
    SUBSCRIPTION = strawberry.enum_value(
        "SUBSCRIPTION", description="A plan that its provider renews until it is cancelled."
    )
    DOWNLOAD = strawberry.enum_value(
        "DOWNLOAD", description="Files, a licence or both, sold by a store."
    )
    BOT = strawberry.enum_value(
        "BOT", description="What a store's bot hands out, such as a role or a place in a group."
    )


@strawberry.enum(description="How long a payment for a plan lasts.")
class BillingInterval(Enum):
    """Intervals of prices."""

    MONTH = "MONTH"
    YEAR = "YEAR"


@backed_by(tables.ProductPrice)
class ProductPrice:
    """What a product costs at a payment provider."""

    provider: str = column(description="The provider, as `createCheckout` takes it: `sandbox`.")
    amount_cents: int = column(description="In hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")
    interval: BillingInterval | None = column(
        "billing_interval", description="How long it lasts; null for what is bought for good."
    )


@backed_by(tables.Product, prefix="product")
class Product(Node):
    """Something that can be bought: of whoever runs the service, or of a store."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug, such as `credits-100`.")
    name: str = column(description="Its name in English.")
    name_key: str = i18n_key("product.", ".name", of="id", description="i18n key of the name.")
    kind: ProductKind = column(description="What it gives.")
    credits: int | None = column(description="How many credits; null for plans.")
    plan: Plan | None = related_row("plan_id", description="The plan; null for credits.")
    prices: list[ProductPrice] = related_rows(
        "product_id",
        ("provider",),
        at_most=PRICES_LIMIT,
        description="Its price at each payment provider that sells it; none for what is free.",
    )
    sort_order: int = column(description="Position in the list, ascending.")


@backed_by(tables.Order, prefix="order")
class Order(Node):
    """What somebody wants to buy, at the price it was offered for."""

    id: strawberry.ID = global_id()
    status: tables.OrderStatus = column(description="How far it is.")
    product: Product | None = related_row(
        "product_id", description="The product; null when it is sold no more."
    )
    product_id: strawberry.ID = reference(
        "product_id",
        "product",
        description="The product's global id, also when it is sold no more.",
    )
    kind: ProductKind = column(description="What it gives.")
    credits: int | None = column(description="How many credits; null for plans.")
    provider: str = column(description="The payment provider.")
    amount_cents: int = column(description="The price in hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")
    refunded_cents: int = column(description="How much of it went back, by refunds and disputes.")
    credits_taken_back: int = column(
        description="How many of the credits followed: as large a part as of the money, rounded "
        "down; of a plan that ended by it, all that it had given and whose time was not over."
    )
    created_at: datetime = column(description="When it was opened.")
    expires_at: datetime = column(description="Until when it can be paid.")
    paid_at: datetime | None = column(description="When it was paid; null before.")
    paid_until: datetime | None = column(
        description="Until when the plan is paid for by it, or when that ended; null for credits, "
        "and before, unless it is for the rest of a period on a plan of a lower price."
    )


@backed_by(tables.Payment, prefix="payment")
class Payment(Node):
    """An attempt to pay an order."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The payment provider.")
    order_id: strawberry.ID = reference("order_id", "order", description="The order's global id.")
    order: Order | None = related_row("order_id", description="The order.")
    amount_cents: int = column(description="In hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")
    status: tables.PaymentStatus = column(description="How far it is.")
    refunded_cents: int = column(description="How much of it has been refunded.")
    created_at: datetime = column(description="When it was first told of.")


extend(
    User,
    orders=connection(
        Order, NEWEST_FIRST, description="What the user wanted to buy, newest first."
    ),
    payments=connection(
        Payment, NEWEST_FIRST, description="Attempts to pay, newest first; declined ones too."
    ),
)


@backed_by(webhook_tables.WebhookEvent, prefix="webhookEvent")
class WebhookEvent(Node):
    """A delivery of a payment provider's as it came, and what became of it."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The payment provider.")
    event_id: str = column(description="Its id there; made up for one that was not theirs.")
    kind: str = column(description="The provider's own word for it.")
    status: webhook_tables.WebhookStatus = column(description="What became of it.")
    verified: bool = column(description="Whether the provider's signature was on it.")
    reason: str | None = column(description="Why it is quarantined, as a code; null otherwise.")
    detail: str | None = column(description="What did not fit, in words.")
    deliveries: int = column(description="How often it came.")
    order_id: strawberry.ID | None = reference(
        "order_id", "order", description="The order's global id; null where none was found."
    )
    headers: JSON = column(
        description="Its headers without secrets; empty once the buyer's account is deleted."
    )
    query: str = column(description="What stood behind the path.")
    body: str = column(description="The raw body; empty once the buyer's account is deleted.")
    received_at: datetime = column(description="When it first came.")
    processed_at: datetime | None = column(description="When it was last processed.")


@strawberry.input(description="What to buy, and where.")
class CreateCheckoutInput:
    product_id: strawberry.ID = strawberry.field(description="The product's global id or slug.")
    provider: str = strawberry.field(
        description="The payment provider, one of the product's `prices`."
    )
    success_url: str | None = strawberry.field(
        default=None,
        description="Where the buyer goes after paying. Its origin is one of REDIRECT_ORIGINS; a "
        "demo takes any web page. Null is as good as leaving it out.",
    )
    cancel_url: str | None = strawberry.field(
        default=None,
        description="Where the buyer goes who does not pay. Null is as good as leaving it out.",
    )
    discount_code: str | None = strawberry.field(
        default=None,
        description="A code of the store that sells the product. With one of limited use the order "
        "can be paid for 40 minutes, and holds one of its places until then. Null is as good as "
        "leaving it out.",
    )
    affiliate_code: str | None = strawberry.field(
        default=None,
        description="The code of the link by which the buyer came, of `createAffiliateLink`. One "
        "that does not apply is left aside. Null is as good as leaving it out.",
    )
    email: str | None = strawberry.field(
        default=None,
        description="For who buys a store's product without an account, and is not signed in: the "
        "purchase is kept, and is theirs once they have confirmed this address and called "
        "`claimPurchases`. Null is as good as leaving it out.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same order again. 1 to 255 characters, kept 30 days."
    )


@strawberry.type(description="Result of `createCheckout`.")
class CreateCheckoutPayload(MutationPayload):
    order: Order | None = strawberry.field(
        description="The order, PENDING until it is paid; null for who has no account."
    )
    url: str | None = strawberry.field(
        description="The page on which it is paid. Open it for the buyer alone. Null for what a "
        "discount code made free: the order is PAID then."
    )
    expires_at: datetime | None = strawberry.field(description="Until when it can be paid.")


async def create_checkout(context: Context, input: CreateCheckoutInput) -> Payload:
    """Opens an order and has its provider make a page to pay on."""
    guest = _guest(context, input.email)
    bought = await context.services.of(checkouts_of).create(
        context.actor if guest else context.signed_in(),
        product_id=slug_from_global_id(input.product_id, "product"),
        provider=input.provider,
        success_url=input.success_url,
        cancel_url=input.cancel_url,
        idempotency_key=input.idempotency_key,
        discount_code=input.discount_code,
        guest=guest,
        affiliate_code=input.affiliate_code,
    )
    order = None if guest else Ref(bought.order_id)
    return Payload({"order": order, "url": bought.url, "expires_at": bought.expires_at})


def _guest(context: Context, email: str | None) -> Guest | None:
    """Who buys without an account; whoever is signed in has one."""
    if context.actor.user_id is not None or email is None:
        return None
    key = context.services.settings.secret("refresh-token-key").encode()
    return Guest(email, hmac.digest(key, b"guest_orders:" + context.network.encode(), "sha256"))


@strawberry.input(description="Where a user sees what they paid.")
class CreateBillingPortalInput:
    organization_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The organization whose page it is, for its owners and admins; the caller's "
        "own without it. Null is as good as leaving it out.",
    )
    provider: str = strawberry.field(
        default="stripe", description="The payment provider, one that keeps customers: `stripe`."
    )
    return_url: str | None = strawberry.field(
        default=None,
        description="Where its link back leads; its origin is one of REDIRECT_ORIGINS, and a demo "
        "takes any web page. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `createBillingPortal`.")
class CreateBillingPortalPayload(MutationPayload):
    url: str | None = strawberry.field(
        description="The provider's page, for a short time. Open it for the user alone."
    )


async def create_billing_portal(context: Context, input: CreateBillingPortalInput) -> Payload:
    """Has a provider make a page of receipts and cards for the user, or an organization."""
    actor = context.signed_in()
    if input.organization_id is None:
        url = await context.services.of(checkouts_of).portal(
            actor, provider=input.provider, return_url=input.return_url
        )
        return Payload({"url": url})
    organization_id = uuid_from_global_id(
        input.organization_id, "organization", "input", "organizationId"
    )
    url = await context.services.of(subscriptions_of).portal(
        actor, organization_id, provider=input.provider, return_url=input.return_url
    )
    return Payload({"url": url})


@strawberry.input(description="What to give back, and why.")
class RefundOrderInput:
    order_id: strawberry.ID = strawberry.field(description="The order's global id.")
    amount_cents: int | None = strawberry.field(
        default=None,
        description="How much; all that is left without it. Null is as good as leaving it out.",
    )
    reason: str = strawberry.field(description="Noted in the audit log; 1 to 255 characters.")
    idempotency_key: str = strawberry.field(
        description="Of one order: same key, same refund, made once. 1 to 255 characters."
    )


@strawberry.type(description="Result of `refundOrder`.")
class RefundOrderPayload(MutationPayload):
    order: Order | None = strawberry.field(
        description="The order as it is now. What went back shows once the provider says so, which "
        "may be a moment later."
    )


async def refund_order(context: Context, input: RefundOrderInput) -> Payload:
    """Has a provider give money of an order back."""
    actor = context.signed_in()
    order_id = uuid_from_global_id(input.order_id, "order", "input", "orderId")
    await context.services.of(refunds_of).refund(
        actor,
        order_id=order_id,
        amount_cents=input.amount_cents,
        reason=input.reason,
        idempotency_key=input.idempotency_key,
    )
    return Payload({"order": Ref(order_id)})


@strawberry.input(description="A delivery to process again.")
class ReplayWebhookInput:
    id: strawberry.ID = strawberry.field(description="The webhook event's global id.")


@strawberry.type(description="Result of `replayWebhook`.")
class ReplayWebhookPayload(MutationPayload):
    webhook_event: WebhookEvent | None = strawberry.field(
        description="The delivery, RECEIVED until a worker has processed it; null on errors."
    )


async def replay_webhook(context: Context, input: ReplayWebhookInput) -> Outcome:
    """Has a delivery processed again."""
    context.signed_in()
    webhook_id = uuid_from_global_id(input.id, "webhookEvent", "input", "id")
    return Outcome(webhook_operations.replay_webhook(webhook_id), {"webhook_event": RESULT})


@strawberry.type
class BillingQuery:
    """Queries on billing."""

    products: list[Product] = rows(
        ("sort_order", "id"),
        only=lambda product: product.c.store_id.is_(None),
        description="What can be bought of whoever runs the service, in its order. What stores "
        "sell is in `store { products }`.",
    )
    webhook_events: Connection[WebhookEvent] | None = root_connection(
        WebhookEvent,
        ("-received_at", "-id"),
        description="What payment providers delivered, newest first. For admins; FORBIDDEN for "
        "others.",
    )


@strawberry.type
class BillingMutation:
    """Mutations on billing."""

    create_checkout: CreateCheckoutPayload | None = mutation(
        create_checkout,
        CreateCheckoutInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.REDIRECT_NOT_ALLOWED,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Open an order for one product, and a page at a payment provider to pay it on; "
        "a cart of several sellers is as many orders. "
        "Watch it with `orderUpdated`; what was bought is there once it is PAID. In a paid period "
        "a plan of a higher price costs the difference for what is left of it.",
    )
    create_billing_portal: CreateBillingPortalPayload | None = mutation(
        create_billing_portal,
        CreateBillingPortalInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.REDIRECT_NOT_ALLOWED,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
        ),
        description="Open a payment provider's page on which the caller sees receipts and cards, "
        "their own or an organization's.",
    )
    refund_order: RefundOrderPayload | None = mutation(
        refund_order,
        RefundOrderInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_admins=True,
        description="Give money of an order back, all of it or a part; what it paid for is taken "
        "back in proportion. For admins; FORBIDDEN for others.",
    )
    replay_webhook: ReplayWebhookPayload | None = mutation(
        replay_webhook,
        ReplayWebhookInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_admins=True,
        description="Have a delivery processed again that is quarantined, parked or was never "
        "processed; what is done is never done twice. For admins; FORBIDDEN for others.",
    )


@strawberry.type(description="An order after a change.")
class OrderUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    order: Order = strawberry.field(description="The order after the change.")


@strawberry.type
class BillingSubscription:
    """Subscriptions on billing."""

    order_updated: OrderUpdated = live(
        "order.updated",
        "order",
        entity=True,
        description="One order of the caller's: as it is now, then after every change.",
    )
