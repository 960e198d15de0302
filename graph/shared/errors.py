"""Errors as clients see them: UserErrors, coded top-level errors, and the unknown masked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import strawberry
from asyncpg import PostgresError
from graphql import GraphQLError

from db.core.errors import (
    REFUSAL_SQLSTATE,
    DailyLimitReached,
    DomainError,
    ErrorCode,
    InputRefused,
    InsufficientCredits,
    OnboardingRequired,
    PaymentRequired,
    PlanCost,
    PlanLimitReached,
    PlanRequired,
    RateLimited,
)
from db.core.outages import cannot_serve, unavailable
from db.core.retries import RETRIED
from graph.shared.onboarding import OnboardingStep
from graph.shared.traffic import tell

# A NUL in a text or in JSON: PostgreSQL cannot hold it, JSON and GraphQL can spell it.
UNSTORABLE_SQLSTATES = frozenset({"22021", "22P05"})

strawberry.enum(
    ErrorCode,
    description="What went wrong, for programs to read; codes never change their meaning.",
)


@strawberry.interface(description="Why a mutation did nothing.")
class UserError:
    """A refusal that the user can do something about."""

    code: ErrorCode = strawberry.field(description="For programs to read.")
    message: str = strawberry.field(description="For people to read: what to do next.")
    path: list[str] | None = strawberry.field(
        description="The input field at fault, outermost first; null when none is."
    )


@strawberry.type(description="A refusal without further detail.")
class OperationError(UserError):
    """The plain UserError."""


@strawberry.type(name="InsufficientCredits", description="The wallet holds too few credits.")
class InsufficientCreditsError(UserError):
    """A UserError with the figures a client shows."""

    available: int = strawberry.field(
        description="Credits that are neither spent nor held, as `Credits.available`."
    )
    balance: int = strawberry.field(
        description="The same as `available`.",
        deprecation_reason="Use `available`: `Credits.balance` includes what is held, this not.",
    )
    required: int = strawberry.field(description="Credits the operation needs.")


@strawberry.type(name="DailyLimitReached", description="What may be used in a day is used up.")
class DailyLimitReachedError(UserError):
    """A UserError that says until when to wait."""

    limit: int = strawberry.field(
        description="What can be used in a day: credits of the plan, or activities without one."
    )
    remaining: int = strawberry.field(
        description="What can still be used today; less than the operation needs."
    )
    resets_at: datetime = strawberry.field(description="When the next day begins (UTC).")


@strawberry.type(name="PaymentRequired", description="A plan begins when it is paid.")
class PaymentRequiredError(UserError):
    """A UserError that says what a plan costs."""

    amount_cents: int = strawberry.field(
        description="What is to be paid, in hundredths of the currency, by the plan's own price: "
        "of a month, or of the difference for what is left of the current period."
    )
    currency: str = strawberry.field(description="ISO 4217 code.")
    credits: int = strawberry.field(description="Credits that the plan gives at once.")
    period_end: datetime = strawberry.field(description="Until when the plan is paid then.")


@strawberry.type(name="PlanRequired", description="The caller's plan does not include this.")
class PlanRequiredError(UserError):
    """A UserError that says what to offer."""

    plan_id: strawberry.ID | None = strawberry.field(
        description="The global id of the cheapest plan that does; null when none does."
    )


@strawberry.type(
    name="OnboardingRequired", description="Something is to be done first, once for all."
)
class OnboardingRequiredError(UserError):
    """A UserError that says what."""

    next_step: OnboardingStep = strawberry.field(
        description="What is to be done; the message says of what, and with which mutation."
    )


@strawberry.type(name="PlanLimitReached", description="The plan allows no more of this.")
class PlanLimitReachedError(UserError):
    """A UserError that says what is used, and what to upgrade to."""

    limit: int = strawberry.field(description="What the plan allows.")
    used: int = strawberry.field(description="What there is of it.")
    plan_id: strawberry.ID | None = strawberry.field(
        description="The global id of the lowest plan with room; null when none has."
    )


class RequestError(Exception):
    """A request that cannot run at all: it has no data (GraphQL specification, 7.1.2)."""

    def __init__(self, errors: Sequence[GraphQLError], code: ErrorCode) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.code = code

    def formatted(self) -> list[dict[str, Any]]:
        """The errors as they appear in a response."""
        return [with_code(error, self.code) for error in self.errors]


def with_code(error: GraphQLError, code: ErrorCode) -> dict[str, Any]:
    """A GraphQL error as JSON with its stable code; its own `extensions.code` stands."""
    formatted: dict[str, Any] = dict(error.formatted)
    formatted["extensions"] = {"code": code.value, **(error.extensions or {})}
    tell(formatted["extensions"]["code"])
    return formatted


def top_level(error: DomainError, path: Sequence[str | int] | None = None) -> dict[str, Any]:
    """A domain error as a top-level error."""
    tell(error.code.value)
    extensions: dict[str, Any] = {"code": error.code.value}
    if isinstance(error, RateLimited):
        extensions["retryAfterSeconds"] = error.retry_after_seconds
    formatted: dict[str, Any] = {"message": error.message, "extensions": extensions}
    if path:
        formatted["path"] = list(path)
    return formatted


def masked(request_id: str) -> DomainError:
    """What a client learns of an internal error: only how to refer to it."""
    return DomainError(
        ErrorCode.INTERNAL,
        f"Something went wrong on our side. When you report it, name request {request_id}.",
    )


def domain_error(error: Exception) -> DomainError | None:
    """The domain error that an exception stands for; nothing for an internal error."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, PostgresError):
        if error.sqlstate == REFUSAL_SQLSTATE:
            return _refusal(error)
        if error.sqlstate in UNSTORABLE_SQLSTATES:
            return DomainError(ErrorCode.BAD_USER_INPUT, "Text may not contain NUL characters.")
    return unavailable() if cannot_serve(error) or isinstance(error, RETRIED) else None


def _refusal(error: PostgresError) -> DomainError:
    """A refusal raised by one of our SQL functions."""
    detail = orjson.loads(error.detail or b"{}")
    code = ErrorCode(error.hint)
    if code is ErrorCode.INSUFFICIENT_CREDITS:
        return InsufficientCredits(detail["available"], detail["required"])
    if code is ErrorCode.RATE_LIMITED:
        return RateLimited(error.message, detail["retry_after_seconds"])
    if code is ErrorCode.DAILY_LIMIT_REACHED:
        resets_at = datetime.fromisoformat(detail["resets_at"])
        told = error.message if detail.get("told") else None
        return DailyLimitReached(detail["limit"], detail["remaining"], resets_at, told)
    if code is ErrorCode.PAYMENT_REQUIRED:
        detail["period_end"] = datetime.fromisoformat(detail["period_end"])
        return PaymentRequired(PlanCost(**detail))
    if code is ErrorCode.PLAN_LIMIT_REACHED and "limit" in detail:
        return PlanLimitReached(error.message, **detail)
    path = tuple(detail.get("path", ()))
    if code is ErrorCode.PLAN_REQUIRED:
        return PlanRequired(error.message, detail["plan_id"], path)
    if code is ErrorCode.ONBOARDING_REQUIRED:
        return OnboardingRequired(error.message, detail["next_step"], path)
    return DomainError(code, error.message, path)


def user_errors(error: DomainError) -> list[UserError]:
    """A refusal as the `errors` of a payload, one for each problem of the input."""
    problems = error.problems if isinstance(error, InputRefused) else (error,)
    return [user_error(problem) for problem in problems]


def user_error(error: DomainError) -> UserError:
    """A domain error as the UserError of a payload."""
    tell(error.code.value)
    path = list(error.path) or None
    if isinstance(error, InsufficientCredits):
        return InsufficientCreditsError(
            code=error.code,
            message=error.message,
            path=path,
            available=error.available,
            balance=error.available,
            required=error.required,
        )
    if isinstance(error, DailyLimitReached):
        return DailyLimitReachedError(
            code=error.code,
            message=error.message,
            path=path,
            limit=error.limit,
            remaining=error.remaining,
            resets_at=error.resets_at,
        )
    if isinstance(error, PaymentRequired):
        price = error.price
        return PaymentRequiredError(
            code=error.code,
            message=error.message,
            path=path,
            amount_cents=price.amount_cents,
            currency=price.currency,
            credits=price.credits,
            period_end=price.period_end,
        )
    if isinstance(error, PlanRequired):
        plan_id = strawberry.ID(f"plan_{error.plan_id}") if error.plan_id else None
        return PlanRequiredError(code=error.code, message=error.message, path=path, plan_id=plan_id)
    if isinstance(error, OnboardingRequired):
        return OnboardingRequiredError(
            code=error.code,
            message=error.message,
            path=path,
            next_step=OnboardingStep[error.next_step],
        )
    if isinstance(error, PlanLimitReached):
        # Tiers of developers are plans of users.
        prefix = "plan" if error.kind == "WHITELIST" else "organizationPlan"
        better = strawberry.ID(f"{prefix}_{error.plan_id}") if error.plan_id else None
        return PlanLimitReachedError(
            code=error.code,
            message=error.message,
            path=path,
            limit=error.limit,
            used=error.used,
            plan_id=better,
        )
    return OperationError(code=error.code, message=error.message, path=path)
