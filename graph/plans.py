"""Plans in the schema: the user's subscription, how they change it, and what admins give."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode, Problems
from db.plans import operations, tables
from db.plans.tables import PlanSubscriptionStatus
from graph.accounts import User
from graph.catalog import Plan
from graph.engine.declare import (
    backed_by,
    column,
    global_id,
    live,
    mutation,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, slug_from_global_id

state_enum(PlanSubscriptionStatus)


@backed_by(tables.PlanSubscription, prefix="planSubscription", name="PlanSubscription")
class SubscribedPlan(Node):
    """A user's subscription to a plan that is paid; it stays when it has ended."""

    id: strawberry.ID = global_id()
    status: PlanSubscriptionStatus = column(description="Where it stands.")
    plan: Plan | None = related_row("plan_id", description="The plan of the current period.")
    started_at: datetime = column(description="Since when there is a subscription.")
    current_period_start: datetime = column(description="When the current period began.")
    current_period_end: datetime | None = column(
        description="Until when it is paid, renewals that are paid ahead included; null for a plan "
        "that was given without an end."
    )
    scheduled_plan: Plan | None = related_row(
        "scheduled_plan_id",
        description="The plan that follows the current period, where it is another one.",
    )
    grace_ends_at: datetime | None = column(
        description="Until when the next period can be paid; null unless it is PAST_DUE."
    )
    ended_at: datetime | None = column(description="When it ended; null before.")


extend(
    User,
    after="plan",
    subscription=related_row(
        "id",
        "user_id",
        returns=SubscribedPlan | None,
        description="The subscription to a plan; null for who never had one.",
    ),
)


@strawberry.input(description="The plan to have.")
class ChangePlanInput:
    plan_id: strawberry.ID = strawberry.field(description="The plan's global id or slug.")


@strawberry.type(description="Result of `changePlan` and `cancelPlan`.")
class PlanPayload(MutationPayload):
    subscription: SubscribedPlan | None = strawberry.field(
        description="The caller's subscription as it is now; null on errors, and for who has none."
    )
    user: User | None = strawberry.field(description="The caller as they are now; null on errors.")


async def change_plan(context: Context, input: ChangePlanInput) -> Outcome:
    """Sets which plan the caller is to have."""
    context.signed_in()
    command = operations.change_plan(slug_from_global_id(input.plan_id, "plan"))
    return Outcome(command, {"subscription": RESULT, "user": RESULT})


async def cancel_plan(context: Context) -> Outcome:
    """Has the caller's subscription end with its period."""
    context.signed_in()
    return Outcome(operations.cancel_plan(), {"subscription": RESULT, "user": RESULT})


@strawberry.input(description="A plan for a user, from an admin.")
class GivePlanInput:
    user_id: strawberry.ID = strawberry.field(description="The user's global id.")
    plan_id: strawberry.ID = strawberry.field(
        description="The plan's global id or slug; the plan of new users ends what they have."
    )
    until: datetime | None = strawberry.field(
        default=None,
        description="When it ends; it lasts without it. Null is as good as leaving it out.",
    )
    reason: str = strawberry.field(description="Noted in the audit log; 1 to 255 characters.")
    idempotency_key: str = strawberry.field(
        description="Same key, same input: given once. 1 to 255 characters, kept 30 days."
    )


async def give_plan(context: Context, input: GivePlanInput) -> Outcome:
    """Gives a user a plan."""
    context.signed_in()
    problems = Problems()
    user_id = noted_uuid(problems, input.user_id, "user", "input", "userId")
    command = operations.give_plan_as_admin(
        problems,
        user_id=user_id,
        plan_id=slug_from_global_id(input.plan_id, "plan"),
        ends_at=input.until,
        reason=input.reason,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"subscription": Ref(user_id), "user": Ref(user_id)})


@strawberry.type(description="Result of `givePlan`.")
class GivePlanPayload(MutationPayload):
    subscription: SubscribedPlan | None = strawberry.field(
        description="The user's subscription as it is now; null on errors, and for who has none."
    )
    user: User | None = strawberry.field(description="The user as they are now; null on errors.")


@strawberry.type
class PlansMutation:
    """Mutations on plans."""

    change_plan: PlanPayload | None = mutation(
        change_plan,
        ChangePlanInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.PAYMENT_REQUIRED,
            ErrorCode.INVALID_STATE,
        ),
        description="Choose another plan. One of a higher price begins at once when it is paid: "
        "the error `PaymentRequired` says what it costs, and `createCheckout` sells it. In a paid "
        "period that is the difference of the prices for what is left of it, and the credits are "
        "the difference of the month's credits for what is left of the month. One of a lower "
        "price follows when the current period ends; the current plan goes on after all. Sending "
        "it again changes nothing more. Not for guests.",
    )
    cancel_plan: PlanPayload | None = mutation(
        cancel_plan,
        errors=(ErrorCode.INVALID_STATE,),
        description="End the caller's subscription with the current period; `changePlan` to the "
        "current plan takes it back until then. Sending it again changes nothing more.",
    )
    give_plan: GivePlanPayload | None = mutation(
        give_plan,
        GivePlanInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT),
        for_admins=True,
        description="Give a user a plan in place of the one they have, with a month's credits. For "
        "admins; FORBIDDEN for others.",
    )


@strawberry.type(description="A subscription to a plan after a change.")
class PlanChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    subscription: SubscribedPlan | None = strawberry.field(
        description="The subscription right after the change; null in the first item for who has "
        "none."
    )


@strawberry.type
class PlansSubscription:
    """Subscriptions on plans."""

    plan_changed: PlanChanged = live(
        "plan.changed",
        "subscription",
        description="The caller's subscription to a plan: as it is now, then after every change, "
        "each once and in order. With `after`, every change behind that cursor instead.",
    )
