"""Credits in the schema: the wallet, its history, spending, and the balance as it changes."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from db.credits import tables
from graph.context import Context
from graph.engine.declare import backed_by, column, expression, global_id, live, mutation
from graph.engine.outcomes import SqlVerb
from graph.errors import UserError
from graph.relay import Cursor, Node


@strawberry.enum(description="What moved credits: a grant's source, or what was done with them.")
class CreditTransactionType(Enum):
    """Types of movements."""

    SIGNUP_BONUS = "SIGNUP_BONUS"
    PLAN = "PLAN"
    PURCHASE = "PURCHASE"
    REFERRAL = "REFERRAL"
    REFUND = "REFUND"
    ADMIN = "ADMIN"
    SPEND = "SPEND"
    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"
    EXPIRY = "EXPIRY"


@backed_by(tables.Wallet)
class Credits:
    """A user's wallet."""

    balance: int = column(description="All credits the user owns, the held ones included.")
    held: int = column(description="Credits reserved for work under way.")
    available: int = expression(
        lambda wallet: wallet.c.balance - wallet.c.held,
        description="Credits that can be spent now: balance minus held.",
    )


@backed_by(tables.CreditTransaction, prefix="transaction")
class CreditTransaction(Node):
    """One movement in a wallet's history; it never changes."""

    id: strawberry.ID = global_id()
    amount: int = column(description="Change of the balance; 0 for a hold or its release.")
    held_change: int = column(description="Change of the held part of the balance.")
    balance_after: int = column(description="The balance right after this movement.")
    type: CreditTransactionType = column(description="What moved the credits.")
    reason: str | None = column(description="The client's own words for a spend.")
    reference_id: str | None = column(
        description="What it was for: a generation's UUID, a payment, the client's reference."
    )
    created_at: datetime = column(description="When it happened.")


@strawberry.input(description="A spend of the caller's own credits.")
class SpendCreditsInput:
    """Input of `spendCredits`."""

    amount: int = strawberry.field(description="Credits to spend, 1 to 1000000.")
    reason: str | None = strawberry.field(
        default=None, description="Shown in the history; at most 255 characters."
    )
    reference_id: str | None = strawberry.field(
        default=None, description="Your id for what was bought; at most 255 characters."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same transaction again, spent once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `spendCredits`.")
class SpendCreditsPayload:
    """Payload of `spendCredits`."""

    transaction: CreditTransaction | None = strawberry.field(
        description="The movement; null when nothing was spent."
    )
    credits: Credits | None = strawberry.field(
        description="The wallet as it is now; null when nothing was spent."
    )
    errors: list[UserError] = strawberry.field(
        description="Why nothing was spent: INSUFFICIENT_CREDITS, IDEMPOTENCY_CONFLICT, "
        "BAD_USER_INPUT."
    )


async def spend_credits(context: Context, input: SpendCreditsInput) -> SqlVerb:
    """Spends at once; one statement does the verb and reads its payload."""
    context.signed_in()
    return SqlVerb(
        "app.spend_credits",
        (
            ("integer", input.amount),
            ("text", input.reason),
            ("text", input.reference_id),
            ("text", input.idempotency_key),
        ),
        {"transaction": SqlVerb.RESULT, "credits": SqlVerb.ACTOR},
    )


@strawberry.type
class CreditsMutation:
    """Mutations on credits."""

    spend_credits: SpendCreditsPayload | None = mutation(
        spend_credits,
        SpendCreditsInput,
        description="Spend the caller's credits at once. Needs a signed-in user.",
    )


@strawberry.type(description="The wallet after a change.")
class CreditsChanged:
    """Item of `creditsChanged`."""

    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    credits: Credits = strawberry.field(description="The wallet right after the change.")


@strawberry.type
class CreditsSubscription:
    """Subscriptions on credits."""

    credits_changed: CreditsChanged = live(
        "credits.changed",
        "credits",
        description="The caller's wallet: as it is now, then after every change, each once and "
        "in order. With `after`, every change behind that cursor instead.",
    )
