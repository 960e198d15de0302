"""What RevenueCat sends, and a RevenueCat to ask: https://www.revenuecat.com/docs/integrations/webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from payments.base import Delivery

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
