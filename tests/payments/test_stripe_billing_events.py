"""What Stripe's subscriptions and invoices say, in the shapes of its API before and now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments.stripe_billing_events import STATUSES, invoice_told, subscription_told

from ..fakes.stripe_billing import invoice, subscription

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PRICE = {"id": "price_1", "unit_amount": 900, "recurring": {"interval": "month"}}
PLANS = {"price_1": "starter"}


def made(**changed: Any) -> dict[str, Any]:
    found = subscription("sub_1", "cus_1", PRICE, 2, starts=NOW, ends=NOW + timedelta(days=28))
    return found | changed


def told(said: dict[str, Any], **plans: str) -> Any:
    return subscription_told(said, told_at=NOW, grace_days=7, plans=plans or PLANS)


def test_a_period_stands_at_the_item_or_at_the_subscription() -> None:
    now, before = made(), made()
    item = before["items"]["data"][0]
    for name in ("current_period_start", "current_period_end"):
        before[name] = item.pop(name)
    assert told(now) == told(before)
    assert told(now).period_end == NOW + timedelta(days=28)
    assert (told(now).plan_id, told(now).seats, told(now).interval) == ("starter", 2, "MONTH")


def test_a_price_of_its_own_names_its_plan_in_the_metadata() -> None:
    assert told(made(metadata={"plan_id": "enterprise"}), other="pro").plan_id == "enterprise"
    assert told(made(), other="pro").plan_id is None
    # What the price says counts: metadata is of the day on which it began.
    assert told(made(metadata={"plan_id": "enterprise"})).plan_id == "starter"


@pytest.mark.parametrize("status", STATUSES)
def test_each_state_of_stripes_has_one_here(status: str) -> None:
    assert told(made(status=status)).status == STATUSES[status]


def test_an_end_at_a_day_is_an_end_with_the_period() -> None:
    assert told(made()).cancel_at_period_end is False
    assert told(made(cancel_at=1)).cancel_at_period_end is True
    assert told(made(cancel_at_period_end=True)).cancel_at_period_end is True


@pytest.mark.parametrize(
    ("reason", "total", "pays"),
    [
        ("subscription_create", 900, True),
        ("subscription_create", 0, True),
        ("subscription_cycle", 900, True),
        ("subscription_update", 500, True),
        ("subscription_update", -500, False),
        ("subscription_update", 0, False),
    ],
)
def test_a_change_to_less_pays_for_no_time(reason: str, total: int, pays: bool) -> None:
    found = invoice_told(invoice("in_1", made(), total, reason), told_at=NOW)
    assert found is not None
    assert found.pays_period is pays
    assert (found.total_cents, found.payment_id, found.price_id) == (total, "in_1", "price_1")


@pytest.mark.parametrize(("currency", "cents"), [("jpy", 90_000), ("isk", 900), ("kwd", 90)])
def test_an_invoice_is_told_of_in_hundredths(currency: str, cents: int) -> None:
    said = invoice("in_1", made(), 900, "subscription_cycle") | {"currency": currency}
    found = invoice_told(said | {"amount_paid": 900}, told_at=NOW)
    assert found is not None
    assert (found.total_cents, found.paid_cents, found.currency) == (cents, cents, currency.upper())


def test_an_invoice_in_the_shape_of_before() -> None:
    now = invoice("in_1", made(), 900, "subscription_cycle")
    now["payments"]["data"] = [{"status": "paid", "payment": {"payment_intent": "pi_1"}}]
    before = {name: value for name, value in now.items() if name not in ("payments", "parent")}
    before |= {"subscription": "sub_1", "payment_intent": "pi_1"}
    before["lines"] = {"data": [dict(now["lines"]["data"][0])]}
    line = before["lines"]["data"][0]
    line["price"] = {"id": line.pop("pricing")["price_details"]["price"]}
    assert invoice_told(now, told_at=NOW) == invoice_told(before, told_at=NOW)


@pytest.mark.parametrize("changed", [{"status": "draft"}, {"parent": None}])
def test_a_draft_and_what_no_subscription_bills_say_nothing(changed: dict[str, Any]) -> None:
    said = invoice("in_1", made(), 900, "subscription_cycle") | changed
    assert invoice_told(said, told_at=NOW) is None
