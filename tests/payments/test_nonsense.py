"""A provider that answers 200 with nonsense has failed: it is told so, and never as our own fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from db.core.errors import ErrorCode
from payments.base import DeliveryRefused, NewSubscription, SubscriptionChange
from payments.registry import MAKERS, configured_tellers
from payments.stripe_billing_events import StripeChanged
from settings import Settings

from ..fakes.http_stub import Stub, StubAnswer, StubRequest, stub_server
from .test_secret_canaries import SECRETS, URLS, calls_of

ID = "x_1"
THEIRS = (ErrorCode.PROVIDER_FAILED, ErrorCode.PROVIDER_REFUSED)
NONSENSE = (
    b"<html>",
    b"",
    b'"well"',
    b"[]",
    b"null",
    b"{}",
    b'{"id":null,"url":null,"expires_at":"soon","token":7,"links":"none","data":{}}',
    b'{"id":"x_1","object":"list","data":[1],"status":7,"links":[{}],"items":{"data":[]}}',
)


class Everywhere(dict[str, Any]):
    """The same answer at every path but that of a token."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def get(self, _path: str, _else: Any = None) -> Any:
        return self._answer

    def _answer(self, request: StubRequest) -> StubAnswer:
        if request.path.endswith("/token"):
            return 200, {"access_token": "t", "expires_in": 3_600}
        return 200, self._body


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_server() as running:
        yield running


def calls_about_subscriptions(subscriptions: Any) -> list[Callable[[], Awaitable[Any]]]:
    """All that is asked of what renews subscriptions."""
    now, change = datetime.now(UTC), SubscriptionChange(ID, "price_1", 1)
    wanted = NewSubscription(uuid4(), "k", None, "cus_1", "pro", "price_1", 1, None, None)
    return [
        subscriptions.ask_prices,
        lambda: subscriptions.create_customer(
            organization_id=None, user_id=uuid4(), name=None, email=None
        ),
        lambda: subscriptions.open_checkout(wanted),
        lambda: subscriptions.preview(change),
        lambda: subscriptions.change(change, "k", now),
        lambda: subscriptions.cancel(ID, now, immediately=True),
        lambda: subscriptions.resume(ID, now),
        lambda: subscriptions.ask_subscription(ID, now),
        lambda: subscriptions.ask_checkout(ID, now),
        *(
            lambda what=what: subscriptions.look(
                StripeChanged(references=(), what=what, object_id=ID), now
            )
            for what in ("charge", "invoice")
        ),
    ]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
async def test_a_provider_that_answers_nonsense_has_failed(
    stub: Stub, settings: Settings, body: bytes
) -> None:
    stub.answers = Everywhere(body)
    given = {name.lower(): value for name, value in SECRETS.items()}
    given |= {name.lower(): stub.url for name in URLS}
    given |= {"stripe_price_pro_monthly": "price_1"}
    made = Settings.model_validate(settings.model_dump() | given)
    ours: list[str] = []
    for name, provider in configured_tellers(made).items():
        if name not in MAKERS or name == "sandbox":
            continue
        calls = calls_of(provider)
        if name == "stripe":
            calls += calls_about_subscriptions(provider.subscriptions)
            calls.append(lambda there=provider: there.create_portal("cus_1", None))
        for n, call in enumerate(calls):
            try:
                await call()
            except DeliveryRefused:
                # What was forged is refused before anybody is asked.
                pass
            except Exception as error:
                if getattr(error, "code", None) not in THEIRS:
                    ours.append(f"{name}, call {n}: {error!r}")
    assert ours == []
