"""Domain errors: what stops an operation, each with the stable code that clients read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ErrorCode(StrEnum):
    """Every code a client can meet, as a UserError or in a top-level error's extensions."""

    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    CODE_INVALID = "CODE_INVALID"
    FRESH_SIGN_IN_REQUIRED = "FRESH_SIGN_IN_REQUIRED"
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    EMAIL_IN_USE = "EMAIL_IN_USE"
    EMAIL_NOT_CONFIRMED = "EMAIL_NOT_CONFIRMED"
    PASSWORD_TOO_WEAK = "PASSWORD_TOO_WEAK"
    USERNAME_IN_USE = "USERNAME_IN_USE"
    REDIRECT_NOT_ALLOWED = "REDIRECT_NOT_ALLOWED"
    PROVIDER_NOT_CONFIGURED = "PROVIDER_NOT_CONFIGURED"
    IDENTITY_IN_USE = "IDENTITY_IN_USE"
    LAST_IDENTITY = "LAST_IDENTITY"
    TOOL_INACTIVE = "TOOL_INACTIVE"
    UPLOAD_MISSING = "UPLOAD_MISSING"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    EMPTY_FILE = "EMPTY_FILE"
    INVALID_IMAGE = "INVALID_IMAGE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    DAILY_LIMIT_REACHED = "DAILY_LIMIT_REACHED"
    PLAN_LIMIT_REACHED = "PLAN_LIMIT_REACHED"
    PAYMENT_REQUIRED = "PAYMENT_REQUIRED"
    PLAN_REQUIRED = "PLAN_REQUIRED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    STALE_TURN = "STALE_TURN"
    CONFIRMATION_REQUIRED = "CONFIRMATION_REQUIRED"
    ONBOARDING_REQUIRED = "ONBOARDING_REQUIRED"
    NO_ACTIVITY_LEFT = "NO_ACTIVITY_LEFT"
    LAST_OWNER = "LAST_OWNER"
    LAST_ADMIN = "LAST_ADMIN"
    GENERATION_ENDED = "GENERATION_ENDED"
    INVALID_STATE = "INVALID_STATE"
    SYNC_DISABLED = "SYNC_DISABLED"
    AI_DISABLED = "AI_DISABLED"
    READ_ONLY = "READ_ONLY"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    RATE_LIMITED = "RATE_LIMITED"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    PURCHASE_INVALID = "PURCHASE_INVALID"
    PURCHASE_IN_USE = "PURCHASE_IN_USE"
    PROVIDER_REFUSED = "PROVIDER_REFUSED"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


# What `app.refuse()` raises; the code stands in the hint, what else there is in the detail.
REFUSAL_SQLSTATE = "TG000"


class DomainError(Exception):
    """A refusal with a code and a message that says what to do next.

    `path` names the input field at fault, outermost first, empty when none is.
    """

    def __init__(self, code: ErrorCode, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


class InputRefused(DomainError):
    """Everything that is wrong with one input; shown alone, it is the first of its problems."""

    def __init__(self, problems: Sequence[DomainError]) -> None:
        super().__init__(problems[0].code, problems[0].message, problems[0].path)
        self.problems = tuple(problems)


class InsufficientCredits(DomainError):
    """A wallet holds fewer available credits than an operation needs."""

    def __init__(self, available: int, required: int) -> None:
        super().__init__(
            ErrorCode.INSUFFICIENT_CREDITS,
            f"Not enough credits: {required} needed, {available} available. "
            "Add credits, then try again with the same idempotency key.",
        )
        self.available = available
        self.required = required


class DailyLimitReached(DomainError):
    """No more of it today: by the plan's daily cap on credits, or what is free of something.

    `message` says so where it is not about credits.
    """

    def __init__(
        self, limit: int, remaining: int, resets_at: datetime, message: str | None = None
    ) -> None:
        super().__init__(
            ErrorCode.DAILY_LIMIT_REACHED,
            message
            or f"The plan allows {limit} of its credits a day; {remaining} can be used before "
            f"{resets_at:%Y-%m-%d %H:%M} UTC. Try again then with the same idempotency key, "
            "or add credits.",
        )
        self.limit = limit
        self.remaining = remaining
        self.resets_at = resets_at


@dataclass(frozen=True, slots=True)
class PlanCost:
    """What a plan costs now: until the end of the period that this pays, with so many credits."""

    amount_cents: int
    currency: str
    credits: int
    period_end: datetime


class PaymentRequired(DomainError):
    """A plan begins when it is paid; `price` says what that is."""

    def __init__(self, price: PlanCost) -> None:
        super().__init__(
            ErrorCode.PAYMENT_REQUIRED,
            "This plan begins when it is paid. Make a checkout for it with `createCheckout`.",
            ("input", "planId"),
        )
        self.price = price


class PlanRequired(DomainError):
    """The user's plan does not include this; `plan_id` is the cheapest that does, if any does."""

    def __init__(self, message: str, plan_id: str | None, path: tuple[str, ...]) -> None:
        super().__init__(ErrorCode.PLAN_REQUIRED, message, path)
        self.plan_id = plan_id


class OnboardingRequired(DomainError):
    """Something is to be done first: `next_step` is the name of a step of onboarding."""

    def __init__(self, message: str, next_step: str, path: tuple[str, ...]) -> None:
        super().__init__(ErrorCode.ONBOARDING_REQUIRED, message, path)
        self.next_step = next_step


class PlanLimitReached(DomainError):
    """An organization's plan allows no more of a kind; `plan_id` is the lowest with room."""

    def __init__(
        self, message: str, *, kind: str, limit: int, used: int, plan_id: str | None
    ) -> None:
        super().__init__(ErrorCode.PLAN_LIMIT_REACHED, message)
        self.kind = kind
        self.limit = limit
        self.used = used
        self.plan_id = plan_id


class RateLimited(DomainError):
    """Too much of something for now; `retry_after_seconds` says when to try again."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(ErrorCode.RATE_LIMITED, message)
        self.retry_after_seconds = retry_after_seconds


def sign_in_first() -> DomainError:
    """The refusal of somebody who is nobody yet."""
    return DomainError(
        ErrorCode.UNAUTHENTICATED,
        "Sign in first, then send the access token in the Authorization header.",
    )


def forbidden() -> DomainError:
    """The refusal of what the caller's role does not allow."""
    return DomainError(ErrorCode.FORBIDDEN, "This is for admins only.")


def not_found(what: str, path: tuple[str, ...] = ()) -> DomainError:
    """Missing and forbidden look the same, so that ids tell nothing."""
    return DomainError(ErrorCode.NOT_FOUND, f"There is no such {what}.", path)


def bad_input(message: str, *path: str) -> DomainError:
    """An input value breaks a rule; `path` leads to it."""
    return DomainError(ErrorCode.BAD_USER_INPUT, message, path)


class Problems:
    """Gathers what is wrong with one input, so that all of it is told at once."""

    def __init__(self, found: Iterable[DomainError] = ()) -> None:
        self._found = list(found)

    def of[T](self, check: Callable[..., T], *given: object) -> T | None:
        """What a check returns; nothing when it refuses, which is noted."""
        try:
            return check(*given)
        except InputRefused as error:
            self._found += error.problems
        except DomainError as error:
            self._found.append(error)
        return None

    def add(self, found: Iterable[DomainError]) -> None:
        """Notes further problems."""
        self._found += found

    def refuse(self) -> None:
        """Raises all that was found; nothing when all is well."""
        refuse_any(self._found)


def refuse_any(problems: Iterable[DomainError]) -> None:
    """Raises all the problems of an input at once; nothing when there are none."""
    if found := list(problems):
        raise InputRefused(found)
