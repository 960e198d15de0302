"""Credits in the schema: the wallet, its history, spending, and the balance as it changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any

import strawberry
from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    and_,
    case,
    false,
    func,
    literal_column,
    or_,
)

from db.core.errors import DomainError, ErrorCode, bad_input
from db.credits import operations, tables
from graph.accounts import User
from graph.catalog import Tool
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    live,
    mutation,
    related_row,
    report,
)
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome
from graph.engine.extending import extend
from graph.engine.specs import Report
from graph.shared.context import Context
from graph.shared.inputs import stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node


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
    TRANSFER = "TRANSFER"
    CLAWBACK = strawberry.enum_value(
        "CLAWBACK", description="What a payment gave was taken back, since the money went back."
    )
    DEBT_PAYMENT = strawberry.enum_value(
        "DEBT_PAYMENT", description="What came in paid credits that were owed."
    )


@strawberry.enum(description="Where granted credits came from.")
class CreditGrantSource(Enum):
    """Sources of grants (from Sparky and Aura)."""

    SIGNUP_BONUS = "SIGNUP_BONUS"
    PLAN = "PLAN"
    PURCHASE = "PURCHASE"
    REFERRAL = "REFERRAL"
    REFUND = "REFUND"
    ADMIN = "ADMIN"


@backed_by(tables.Wallet, prefix="credits")
class Credits(Node):
    """A user's wallet."""

    id: strawberry.ID = global_id()
    balance: int = column(description="All credits the user owns, the held ones included.")
    held: int = column(description="Credits reserved for work under way.")
    available: int = expression(
        lambda wallet: wallet.c.balance - wallet.c.held,
        description="Credits that are neither spent nor held: balance minus held.",
    )
    debt: int = column(
        description="Credits owed: taken back after a refund or a lost dispute, when they had been "
        "used. What comes in pays them first."
    )
    unlimited: bool = expression(
        lambda wallet: func.coalesce(wallet.c.unlimited, false()),
        description="Whether the user spends without debit.",
    )


# What the key in a movement's reference is a key of, by the movement's type.
REFERENCE_PREFIXES = {
    "PURCHASE": "order",
    "CLAWBACK": "order",
    "HOLD": "generation",
    "CAPTURE": "generation",
    "RELEASE": "generation",
    "REFERRAL": "referral",
    "REFUND": "transaction",
    "TRANSFER": "user",
}
_IS_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def referred_to(movement: FromClause) -> ColumnElement[str]:
    """What a movement was for, as the global id of it where it is an object of the API."""
    reference = movement.c.reference_id
    prefixes = [(_text(type_), _text(f"{name}_")) for type_, name in REFERENCE_PREFIXES.items()]
    by_key = case(*((movement.c.type == type_, name) for type_, name in prefixes), else_=_text(""))
    return case(
        (reference.op("~")(_text(_IS_UUID)), by_key.concat(reference)),
        (movement.c.type == _text("PLAN"), _text("plan_").concat(reference)),
        else_=reference,
    )


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


@backed_by(tables.CreditTransaction, prefix="transaction")
class CreditTransaction(Node):
    """One movement in a wallet's history; it never changes."""

    id: strawberry.ID = global_id()
    amount: int = column(description="Change of the balance; 0 for a hold or its release.")
    held_change: int = column(description="Change of the held part of the balance.")
    balance_after: int = column(description="The balance right after this movement.")
    used: int = column(
        description="Credits used up by it, negative for a refund; for an unlimited user too, "
        "whose `amount` is 0."
    )
    type: CreditTransactionType = column(description="What moved the credits.")
    reason: str | None = column(description="The client's own words for a spend.")
    reference_id: str | None = expression(
        referred_to,
        description="What it was for. A global id where it is an object of the API: the generation "
        "of a HOLD, CAPTURE or RELEASE, the movement a REFUND gives back, the other user of a "
        "TRANSFER, the plan of a PLAN, the order of a PURCHASE or CLAWBACK, "
        "the referral of a REFERRAL. Else the "
        "`referenceId` of the spend.",
    )
    created_at: datetime = column(description="When it happened.")


@backed_by(tables.CreditGrant, prefix="grant")
class CreditGrant(Node):
    """Credits that came from one source. Those that expire soonest are used first."""

    id: strawberry.ID = global_id()
    source: CreditGrantSource = column(description="Where they came from.")
    amount: int = column(description="Credits given.")
    remaining: int = column(description="Credits neither spent, held nor expired.")
    expires_at: datetime | None = column(
        description="When what remains is lost; null for credits that last."
    )
    created_at: datetime = column(description="When they were given.")


def usable_grants(grant: FromClause) -> ColumnElement[bool]:
    """Grants with something left that has not expired."""
    lasts = or_(grant.c.expires_at.is_(None), grant.c.expires_at > func.now())
    return and_(grant.c.usable, lasts)


extend(
    User,
    credits=related_row("id", "user_id", returns=Credits | None, description="The wallet."),
    credit_transactions=connection(
        CreditTransaction, NEWEST_FIRST, description="The wallet's history, newest first."
    ),
    credit_grants=connection(
        CreditGrant,
        ("expiry_rank", "id"),
        only=usable_grants,
        description="Grants with credits left to use, soonest to expire first.",
    ),
)


@strawberry.enum(description="What usage is summed by.")
class CreditUsageGrouping(Enum):
    """Groupings of usage."""

    TOOL = strawberry.enum_value("TOOL", description="A sum for each tool, the most used first.")
    DAY = strawberry.enum_value("DAY", description="A sum for each UTC day, also for 0.")


@strawberry.type(description="Credits used for one tool or on one day.")
class CreditUsage:
    """A bar of the chart that a client draws."""

    day: datetime | None = column(description="When the day began (UTC); null by TOOL.")
    tool_id: strawberry.ID | None = column(
        description="The tool's global id; null by DAY, and for spends that were for no tool."
    )
    tool: Tool | None = related_row(
        "tool_slug", description="The tool; null as well when it is switched off."
    )
    used: int = column(description="Credits used up.")
    refunded: int = column(description="Credits refunded, whenever they had been used.")
    movements: int = column(description="How many times credits were used.")


USAGE_DAYS = 30
USAGE_LIMIT_DAYS = 366


def usage_period(arguments: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """From when to when usage is asked for, as given, once they are known to be a period.

    What is not given is left to the statement: arguments that are all in the text are computed
    once, and a "now" among them would stand still.
    """
    end = arguments["to"] or datetime.now(UTC)
    try:
        start = arguments["from"] or end - timedelta(days=USAGE_DAYS)
    except OverflowError:
        raise bad_input("There is no time 30 days before `to`: give `from`, too.", "to") from None
    if not start < end:
        raise bad_input("`from` must be before `to`.", "from")
    if end - start > timedelta(days=USAGE_LIMIT_DAYS):
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"Usage is given for at most {USAGE_LIMIT_DAYS} days at once; ask for parts.",
        )
    return arguments["from"], arguments["to"]


def _argument(description: str, name: str | None = None) -> Any:
    return strawberry.argument(description=description, name=name)


def credit_usage_arguments(  # the engine itself answers
    self: Any,  # noqa: ARG001
    by: Annotated[CreditUsageGrouping, _argument("What to sum by.")],  # noqa: ARG001
    from_: Annotated[  # noqa: ARG001
        datetime | None, _argument("Start of the period; 30 days before `to` if left out.", "from")
    ] = None,
    to: Annotated[  # noqa: ARG001
        datetime | None, _argument("End of the period, itself not part of it; now if left out.")
    ] = None,
) -> Any:
    """The arguments of `creditUsage`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


CREDIT_USAGE = Report(
    operations.CREDIT_USAGE,
    (
        (Text(), lambda arguments: CreditUsageGrouping(arguments["by"]).value),
        (DateTime(timezone=True), lambda arguments: usage_period(arguments)[0]),
        (DateTime(timezone=True), lambda arguments: usage_period(arguments)[1]),
    ),
    (
        ("day", DateTime(timezone=True)),
        ("tool_id", Text()),
        ("tool_slug", Text()),
        ("used", Integer()),
        ("refunded", Integer()),
        ("movements", Integer()),
    ),
)


@strawberry.type
class CreditsQuery:
    """Queries on credits."""

    credit_usage: list[CreditUsage] = report(
        CREDIT_USAGE,
        credit_usage_arguments,
        description="What the caller used credits for, ready to be plotted: one item for each "
        "tool, or for each UTC day from `from` to before `to`, at most 366 days.",
    )


@stored_in(tables.CreditTransaction, description="A spend of the caller's own credits.")
class SpendCreditsInput:
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
class SpendCreditsPayload(MutationPayload):
    transaction: CreditTransaction | None = strawberry.field(
        description="The movement; null when nothing was spent."
    )
    credits: Credits | None = strawberry.field(
        description="The wallet as it is now; null when nothing was spent."
    )


async def spend_credits(context: Context, input: SpendCreditsInput) -> Outcome:
    """Spends at once."""
    context.signed_in()
    command = operations.spend_credits(
        amount=input.amount,
        reason=input.reason,
        reference_id=input.reference_id,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"transaction": RESULT, "credits": ACTOR})


@strawberry.type
class CreditsMutation:
    """Mutations on credits."""

    spend_credits: SpendCreditsPayload | None = mutation(
        spend_credits,
        SpendCreditsInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.DAILY_LIMIT_REACHED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Spend the caller's credits at once. Needs a signed-in user.",
    )


@strawberry.type(description="The wallet after a change.")
class CreditsChanged:
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
