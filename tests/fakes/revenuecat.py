"""What RevenueCat sends, and a RevenueCat to ask: https://www.revenuecat.com/docs/integrations/webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from payments.base import Delivery

from .http_stub import Stub, stub_server

AUTHORIZATION = "Bearer of the tests"
API_KEY = "sk_of_the_tests"


def milliseconds(at: datetime) -> int:
    """A time as its events have it."""
    return int(at.timestamp() * 1000)


def event(kind: str, event_id: str | None = None, **said: Any) -> Delivery:
    """An event as it is delivered, with more than is looked at; None leaves a field out."""
    now = datetime.now(UTC)
    made = {
        "type": kind,
        "id": event_id or str(uuid4()),
        "app_id": "app1a2b3c",
        "event_timestamp_ms": milliseconds(now),
        "environment": "SANDBOX",
        "store": "APP_STORE",
        "period_type": "NORMAL",
        "country_code": "US",
        "is_family_share": False,
        "entitlement_id": None,
        "entitlement_ids": None,
        "presented_offering_id": None,
        "offer_code": None,
        "subscriber_attributes": {"$email": {"updated_at_ms": 1, "value": "ada@example.test"}},
        "takehome_percentage": 0.7,
    } | said
    body = json.dumps({"event": made, "api_version": "1.0"}).encode()
    return Delivery({"authorization": AUTHORIZATION}, body, now)


class FakeRevenueCat:
    """Answers about subscribers: `subscribers` has what the tests say of each, by app user id."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.url = stub.url

    def knows(self, user: object, **said: Any) -> None:
        """What it says of a user from now on."""
        subscriber = {
            "original_app_user_id": str(user),
            "first_seen": "2026-01-01T00:00:00Z",
            "entitlements": {},
            "subscriptions": {},
            "non_subscriptions": {},
        } | said
        answer = {
            "request_date": datetime.now(UTC).isoformat(),
            "request_date_ms": milliseconds(datetime.now(UTC)),
            "subscriber": subscriber,
        }
        self.stub.answers[f"/v1/subscribers/{user}"] = lambda asked: (
            (200, answer)
            if asked.headers.get("authorization") == f"Bearer {API_KEY}"
            else (401, {"code": 7225, "message": "Invalid API Key."})
        )


@contextmanager
def fake_revenuecat() -> Iterator[FakeRevenueCat]:
    """A RevenueCat for a block."""
    with stub_server() as stub:
        yield FakeRevenueCat(stub)
