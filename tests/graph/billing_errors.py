"""What provokes each error of buying, for the tests of all errors."""

from __future__ import annotations

from typing import Any

from db.core.errors import DomainError, ErrorCode
from payments.base import Checkout, NewCheckout
from payments.checkouts import checkouts_of
from payments.sandbox import SandboxProvider

CREDITS = 'productId: "credits-50"'
BUYING = f'{CREDITS}, provider: "sandbox", idempotencyKey: "k"'


class Unwilling(SandboxProvider):
    """A provider that makes no checkouts."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__("secret", "http://localhost")
        self._code = code

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        raise DomainError(self._code, "No.")


def at_unwilling(code: ErrorCode) -> Any:
    """A checkout at a provider that makes none."""

    async def provoke(stage: Any) -> str:
        name = code.value.lower()
        stage.services.of(checkouts_of).providers[name] = Unwilling(code)
        await stage.owner.execute(
            "insert into product_prices (product_id, provider, amount_cents, currency)"
            " values ('credits-50', $1, 500, 'USD') on conflict do nothing",
            name,
        )
        return f'{{{CREDITS}, provider: "{name}", idempotencyKey: "k"}}'

    return provoke


async def ordered_much(stage: Any) -> str:
    await stage.owner.execute(
        "insert into orders (user_id, product_id, kind, credits, provider, amount_cents, currency,"
        " expires_at) select $1, 'credits-50', 'CREDITS', 50, 'sandbox', 500, 'USD', now()"
        " from generate_series(1, 50)",
        stage.actor.user_id,
    )
    return f"{{{BUYING}}}"


async def ordered_otherwise(stage: Any) -> str:
    assert await stage.codes("createCheckout", f"{{{BUYING}}}") == []
    return f'{{{BUYING}, successUrl: "http://localhost/"}}'


PROVOKED: dict[str, dict[str, Any]] = {
    "createCheckout": {
        "BAD_USER_INPUT": f'{{{CREDITS}, provider: "sandbox", idempotencyKey: ""}}',
        "NOT_FOUND": '{productId: "none", provider: "sandbox", idempotencyKey: "k"}',
        "REDIRECT_NOT_ALLOWED": f'{{{BUYING}, successUrl: "app://paid"}}',
        "PROVIDER_NOT_CONFIGURED": f'{{{CREDITS}, provider: "none", idempotencyKey: "k"}}',
        "PROVIDER_REFUSED": at_unwilling(ErrorCode.PROVIDER_REFUSED),
        "PROVIDER_FAILED": at_unwilling(ErrorCode.PROVIDER_FAILED),
        "LIMIT_EXCEEDED": ordered_much,
        "IDEMPOTENCY_CONFLICT": ordered_otherwise,
    },
}
