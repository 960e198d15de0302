"""No secret of a provider's reaches a log or an error, though the provider answers with all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from payments.base import Delivery, NewCheckout, PaidOrder, Split
from payments.registry import MAKERS, configured_tellers
from settings import Settings

from ..fakes.http_stub import Stub, StubAnswer, StubRequest, stub_server

CANARY = "canary5f3a1c"
SECRETS = {
    "PAYPAL_CLIENT_ID": f"{CANARY}-client",
    "PAYPAL_CLIENT_SECRET": f"{CANARY}-secret",
    "PAYPAL_WEBHOOK_ID": f"{CANARY}-webhook",
    "PAYPAL_PARTNER_ID": "PARTNER1",
    "STRIPE_SECRET_KEY": f"sk_test_{CANARY}",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{CANARY}",
    "STRIPE_CONNECT_WEBHOOK_SECRET": f"whsec_{CANARY}2",
    "PAYMOB_SECRET_KEY": f"egy_sk_{CANARY}",
    "PAYMOB_HMAC_SECRET": f"{CANARY}-hmac",
    "PAYMOB_INTEGRATION_ID": "7",
    "REVENUECAT_API_KEY": f"{CANARY}-key",
    "REVENUECAT_WEBHOOK_AUTHORIZATION": f"{CANARY}-hook",
}
URLS = ("PAYPAL_API_URL", "STRIPE_API_URL", "PAYMOB_API_URL", "REVENUECAT_API_URL")
ORDER = NewCheckout(
    order_id=uuid4(),
    user_id=uuid4(),
    email="buyer@example.com",
    product_id="p",
    product_name="P",
    kind="CREDITS",
    amount_cents=500,
    currency="USD",
    split=Split(f"{CANARY}-merchant", 25),
)
PAID = PaidOrder(ORDER.order_id, "pi_1", 500, "USD", ("cs_1",), is_split=True)


def echo(status: int) -> Callable[[StubRequest], StubAnswer]:
    """An answer that says all that was sent, once a token was given."""

    def answer(request: StubRequest) -> StubAnswer:
        if request.path.endswith("/token"):
            return 200, {"access_token": f"{CANARY}-token", "expires_in": 3_600}
        said = f"refused: {request.headers} {request.body}"
        return status, {"error": {"message": said, "type": "x"}, "name": said, "detail": said}

    return answer


class Anything(dict[str, Any]):
    """The same answer at every path."""

    def __init__(self, status: int) -> None:
        self._answer = echo(status)

    def get(self, _path: str, _else: Any = None) -> Any:
        return self._answer


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as running:
        yield running


def calls_of(provider: Any) -> list[Callable[[], Awaitable[Any]]]:
    """All that a provider may be asked for."""
    delivery = Delivery({"stripe-signature": CANARY}, b'{"secret":"x"}', datetime.now(UTC))
    found: list[Callable[[], Awaitable[Any]]] = [
        lambda: provider.create_checkout(ORDER),
        lambda: provider.refund(PAID, 100, "k"),
        lambda: provider.fetch(PAID),
        lambda: provider.verify(delivery),
    ]
    sellers = getattr(provider, "sellers", None)
    if sellers is not None:
        name, attempt = f"{CANARY}-merchant", str(uuid4())
        found += [
            lambda: sellers.create_account(
                uuid4(), email="s@example.com", business_name="S", attempt=attempt
            ),
            lambda: sellers.account_page(name, "https://x.test", "https://x.test", attempt=attempt),
            lambda: sellers.ask_account(name, attempt=attempt),
            lambda: sellers.reverse_transfer("pi_1", 100, "k"),
        ]
    return found


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 500])
async def test_requirement_9_4_no_secret_is_logged_or_told(
    stub: Stub, settings: Settings, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stub.answers = Anything(status)
    given = {name.lower(): value for name, value in SECRETS.items()}
    given |= {name.lower(): stub.url for name in URLS}
    made = Settings.model_validate(settings.model_dump() | given)
    asked, said = 0, list[str]()
    with capture_logs() as logs:
        for name, provider in configured_tellers(made).items():
            if name not in MAKERS or name == "sandbox":
                continue
            for call in calls_of(provider):
                asked += 1
                try:
                    await call()
                except Exception as error:
                    said.append(f"{error!r} {error} {vars(error)}")
    assert asked > 12
    assert stub.asked
    told = [*said, repr(logs), *capfd.readouterr()]
    assert [one for one in told if CANARY in one] == []
