"""Subscriptions in the schema that a provider renews: begun, changed, ended, and their invoices."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, FromClause, Text, case, literal_column

from db.core.errors import ErrorCode
from db.subscriptions import tables
from graph.accounts import User
from graph.billing import BillingInterval
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    mutation,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import Payload, Ref
from graph.engine.extending import extend
from graph.organizations import Organization
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, slug_from_global_id, uuid_from_global_id
from payments.subscriptions import WantedChange, WantedSubscription, subscriptions_of

state_enum(tables.ProviderSubscriptionStatus)
state_enum(tables.InvoiceStatus)

_OWN = "The organization's global id; the caller's own subscription without it."
_WHICH = f"{_OWN} Null is as good as leaving it out."


def _plan_id(row: FromClause) -> ColumnElement[str]:
    is_organizations = row.c.organization_id.is_not(None)
    prefix = case(
        (is_organizations, literal_column("'organizationPlan_'", Text())),
        else_=literal_column("'plan_'", Text()),
    )
    return prefix.concat(row.c.plan_id)


@backed_by(tables.ProviderSubscription, prefix="subscription", name="ProviderSubscription")
class RenewedPlan(Node):
    """A plan that a payment provider renews, of an organization or a user.

    Each has one; it may begin anew when it ended. What its plan allows counts while it is ACTIVE,
    TRIALING, or PAST_DUE before `graceEndsAt`.
    """

    id: strawberry.ID = global_id()
    status: tables.ProviderSubscriptionStatus = column(description="How it stands.")
    plan_id: strawberry.ID = expression(
        _plan_id, description="The global id of the plan: of an organization's, or of a user's."
    )
    interval: BillingInterval = column("billing_interval", description="How often it is paid.")
    seats: int = column(description="How many seats are paid for.")
    current_period_start: datetime | None = column(
        description="When the current period began; null before it is paid."
    )
    current_period_end: datetime | None = column(
        description="When the current period ends; null before it is paid."
    )
    cancel_at_period_end: bool = column(description="Whether it ends then.")
    grace_ends_at: datetime | None = column(
        description="Until when the plan is kept while a payment fails; null unless it is PAST_DUE."
    )
    ended_at: datetime | None = column(description="When it ended; null before.")
    created_at: datetime = column(description="When it was first begun.")


@backed_by(tables.ProviderInvoice, prefix="invoice")
class ProviderInvoice(Node):
    """An invoice of a subscription."""

    id: strawberry.ID = global_id()
    number: str | None = column(description="Its number at the provider.")
    status: tables.InvoiceStatus = column(description="How it stands.")
    total_cents: int = column(
        description="What it is about, in hundredths of the currency; below zero, it is kept for "
        "later invoices."
    )
    paid_cents: int = column(description="What was paid of it.")
    currency: str = column(description="ISO 4217 code.")
    period_start: datetime = column(description="When the time begins that it is for.")
    period_end: datetime = column(description="When that ends.")
    page_url: str | None = column(description="The provider's page, on which it can be paid.")
    document_url: str | None = column(description="The document (PDF).")
    attempts: int = column(description="How often its payment was tried.")
    next_attempt_at: datetime | None = column(description="When it is tried again.")
    created_at: datetime = column(description="When it was made.")
    paid_at: datetime | None = column(description="When it was paid; null before.")


extend(
    Organization,
    subscription=related_row(
        "id",
        "organization_id",
        returns=RenewedPlan | None,
        description="What is paid for; null without, and for who is neither owner nor admin.",
    ),
    invoices=connection(
        ProviderInvoice,
        NEWEST_FIRST,
        key="organization_id",
        description="Its invoices, newest first. Empty for who is neither owner nor admin.",
    ),
)
extend(
    User,
    renewed_subscription=related_row(
        "id",
        "user_id",
        returns=RenewedPlan | None,
        description="The user's own subscription that a payment provider renews; null without.",
    ),
    invoices=connection(ProviderInvoice, NEWEST_FIRST, description="Invoices of it, newest first."),
)


@strawberry.input(description="What to subscribe to.")
class CreateSubscriptionInput:
    organization_id: strawberry.ID | None = strawberry.field(
        default=None, description=f"{_WHICH} Only owners subscribe for an organization."
    )
    plan_id: strawberry.ID = strawberry.field(
        description="The plan's global id or slug: one of `organizationPlans`, or of `plans` for "
        "oneself."
    )
    interval: BillingInterval = strawberry.field(
        default=BillingInterval.MONTH, description="How often it is paid."
    )
    seats: int = strawberry.field(default=1, description="How many seats, 1 to 100000.")
    success_url: str | None = strawberry.field(
        default=None,
        description="Where the buyer goes after paying. Its origin is one of REDIRECT_ORIGINS; a "
        "demo takes any web page. Null is as good as leaving it out.",
    )
    cancel_url: str | None = strawberry.field(
        default=None,
        description="Where the buyer goes who does not pay. Null is as good as leaving it out.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same page again. 1 to 255 characters, kept 30 days."
    )


@strawberry.type(description="Result of `createSubscription`.")
class CreateSubscriptionPayload(MutationPayload):
    subscription: RenewedPlan | None = strawberry.field(
        description="The subscription, PENDING until it is paid; null on errors."
    )
    checkout_url: str | None = strawberry.field(
        description="The page on which it is paid, for a day; null once it is."
    )


async def create_subscription(context: Context, input: CreateSubscriptionInput) -> Payload:
    """Opens a subscription and has its provider make a page to pay on."""
    organization_id = _organization(input.organization_id)
    wanted = WantedSubscription(
        organization_id=organization_id,
        plan_id=_plan(input.plan_id, organization_id),
        interval=input.interval.name,
        seats=input.seats,
        success_url=input.success_url,
        cancel_url=input.cancel_url,
        idempotency_key=input.idempotency_key,
    )
    made = await context.services.of(subscriptions_of).create(context.signed_in(), wanted)
    return Payload({"subscription": Ref(made.subscription_id), "checkout_url": made.checkout_url})


@strawberry.input(description="What a subscription is to be; what is left out stays.")
class PreviewPlanChangeInput:
    organization_id: strawberry.ID | None = strawberry.field(default=None, description=_WHICH)
    plan_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The plan's global id or slug. Null is as good as leaving it out.",
    )
    interval: BillingInterval | None = strawberry.field(
        default=None, description="How often it is paid. Null is as good as leaving it out."
    )
    seats: int | None = strawberry.field(
        default=None, description="How many seats. Null is as good as leaving it out."
    )


@strawberry.type(description="What a change of a subscription would cost.")
class PlanChangePreview:
    due_cents: int = strawberry.field(
        description="What is paid at once, in hundredths of the currency."
    )
    proration_cents: int = strawberry.field(
        description="What the rest of the current period costs or, below zero, what is kept for "
        "later invoices."
    )
    currency: str = strawberry.field(description="ISO 4217 code.")
    next_payment_at: datetime | None = strawberry.field(
        description="When the next payment is due then."
    )
    prorated_at: datetime = strawberry.field(
        description="The moment that it is reckoned from. `changeSubscription` takes it, so that "
        "the change costs what this says."
    )


@strawberry.type(description="Result of `previewPlanChange`.")
class PreviewPlanChangePayload(MutationPayload):
    preview: PlanChangePreview | None = strawberry.field(
        description="What it would cost; null on errors."
    )


async def preview_plan_change(context: Context, input: PreviewPlanChangeInput) -> Payload:
    """Asks the provider what a change would cost."""
    organization_id = _organization(input.organization_id)
    preview = await context.services.of(subscriptions_of).preview(
        context.signed_in(), organization_id, _wanted(input, organization_id)
    )
    return Payload(
        {
            "preview": PlanChangePreview(
                due_cents=preview.due_cents,
                proration_cents=preview.proration_cents,
                currency=preview.currency,
                next_payment_at=preview.next_payment_at,
                prorated_at=preview.moment,
            )
        }
    )


@strawberry.input(description="What a subscription is to be from now on; what is left out stays.")
class ChangeSubscriptionInput:
    organization_id: strawberry.ID | None = strawberry.field(default=None, description=_WHICH)
    plan_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The plan's global id or slug. Null is as good as leaving it out.",
    )
    interval: BillingInterval | None = strawberry.field(
        default=None, description="How often it is paid. Null is as good as leaving it out."
    )
    seats: int | None = strawberry.field(
        default=None, description="How many seats. Null is as good as leaving it out."
    )
    prorated_at: datetime | None = strawberry.field(
        default=None,
        description="As `previewPlanChange` said. Null is as good as leaving it out.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same change, made once. 1 to 255 characters, kept a day."
    )


@strawberry.type(description="Result of mutations that change a subscription.")
class SubscriptionPayload(MutationPayload):
    subscription: RenewedPlan | None = strawberry.field(
        description="The subscription as it is now; null on errors."
    )


async def change_subscription(context: Context, input: ChangeSubscriptionInput) -> Payload:
    """Changes plan, interval or seats."""
    organization_id = _organization(input.organization_id)
    wanted = _wanted(input, organization_id, input.prorated_at)
    changed = await context.services.of(subscriptions_of).change(
        context.signed_in(), organization_id, wanted, input.idempotency_key
    )
    return Payload({"subscription": Ref(changed)})


@strawberry.input(description="Which subscription is to end, and when.")
class CancelSubscriptionInput:
    organization_id: strawberry.ID | None = strawberry.field(default=None, description=_WHICH)
    immediately: bool = strawberry.field(
        default=False,
        description="Whether it ends now rather than with its period. Nothing is paid back.",
    )


async def cancel_subscription(context: Context, input: CancelSubscriptionInput) -> Payload:
    """Has a subscription end."""
    ended = await context.services.of(subscriptions_of).cancel(
        context.signed_in(), _organization(input.organization_id), immediately=input.immediately
    )
    return Payload({"subscription": Ref(ended)})


@strawberry.input(description="Which subscription is to go on.")
class ResumeSubscriptionInput:
    organization_id: strawberry.ID | None = strawberry.field(default=None, description=_WHICH)


async def resume_subscription(context: Context, input: ResumeSubscriptionInput) -> Payload:
    """Takes a cancellation back."""
    resumed = await context.services.of(subscriptions_of).resume(
        context.signed_in(), _organization(input.organization_id)
    )
    return Payload({"subscription": Ref(resumed)})


def _organization(given: str | None) -> UUID | None:
    if given is None:
        return None
    return uuid_from_global_id(given, "organization", "input", "organizationId")


def _plan(given: str, organization_id: UUID | None) -> str:
    return slug_from_global_id(given, "plan" if organization_id is None else "organizationPlan")


def _wanted(
    input: PreviewPlanChangeInput | ChangeSubscriptionInput,
    organization_id: UUID | None,
    moment: datetime | None = None,
) -> WantedChange:
    return WantedChange(
        plan_id=None if input.plan_id is None else _plan(input.plan_id, organization_id),
        interval=None if input.interval is None else input.interval.name,
        seats=input.seats,
        moment=moment,
    )


_ASKED = (
    ErrorCode.NOT_FOUND,
    ErrorCode.INVALID_STATE,
    ErrorCode.PROVIDER_NOT_CONFIGURED,
    ErrorCode.PROVIDER_REFUSED,
    ErrorCode.PROVIDER_FAILED,
)


@strawberry.type
class SubscriptionsMutation:
    """Mutations on subscriptions."""

    create_subscription: CreateSubscriptionPayload | None = mutation(
        create_subscription,
        CreateSubscriptionInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            *_ASKED,
            ErrorCode.REDIRECT_NOT_ALLOWED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Subscribe an organization, or oneself, to a plan that Stripe renews: opens a "
        "page to pay on. What the plan allows counts once it is paid. Another page that is open is "
        "closed. For owners of the organization; not for guests.",
    )
    preview_plan_change: PreviewPlanChangePayload | None = mutation(
        preview_plan_change,
        PreviewPlanChangeInput,
        errors=(ErrorCode.BAD_USER_INPUT, *_ASKED),
        description="Ask what a change of plan, interval or seats would cost now; nothing changes.",
    )
    change_subscription: SubscriptionPayload | None = mutation(
        change_subscription,
        ChangeSubscriptionInput,
        errors=(ErrorCode.BAD_USER_INPUT, *_ASKED),
        description="Change plan, interval or seats at once. What that costs for the rest of the "
        "period is paid now, or nothing changes (PROVIDER_REFUSED); what it gives back is kept for "
        "later invoices.",
    )
    cancel_subscription: SubscriptionPayload | None = mutation(
        cancel_subscription,
        CancelSubscriptionInput,
        errors=_ASKED,
        description="Have a subscription end with its period, or now.",
    )
    resume_subscription: SubscriptionPayload | None = mutation(
        resume_subscription,
        ResumeSubscriptionInput,
        errors=_ASKED,
        description="Have a subscription go on that was to end with its period.",
    )
