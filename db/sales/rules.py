"""What a discount code may say: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from db.billing.currencies import CURRENCIES, store_step_cents
from db.core.errors import DomainError, bad_input

_CODE = re.compile(r"[A-Z0-9-]{3,32}")
_AMOUNTS = ("amount_cents", "min_purchase_cents", "max_discount_cents")
_FIELDS = {
    "amount_cents": "amountCents",
    "min_purchase_cents": "minPurchaseCents",
    "max_discount_cents": "maxDiscountCents",
    "usage_limit": "usageLimit",
}
MOST = 100_000_000


def problems_of_code(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with a discount code, or with changes to one."""
    there = {name: value for name, value in values.items() if value is not None}
    if "code" in there and not _CODE.fullmatch(there["code"]):
        yield bad_input("code must have 3 to 32 letters, digits and hyphens.", "input", "code")
    for column, field in _FIELDS.items():
        if not 1 <= there.get(column, 1) <= MOST:
            yield bad_input(f"{field} must be between 1 and {MOST:,}.", "input", field)
    if len(there.get("product_ids", [])) > 100:
        yield bad_input("There may be at most 100 products.", "input", "productIds")
    if "kind" in there:
        yield from _problems_of_kind(there)


def _problems_of_kind(there: Mapping[str, Any]) -> Iterator[DomainError]:
    is_percentage = there["kind"] == "PERCENTAGE"
    if is_percentage != ("percent" in there) or not 1 <= there.get("percent", 1) <= 100:
        yield bad_input(
            "percent must be between 1 and 100 for a PERCENTAGE, and left out otherwise.",
            *("input", "percent"),
        )
    if is_percentage == ("amount_cents" in there):
        yield bad_input(
            "A FIXED code says amountCents; a PERCENTAGE does not.", "input", "amountCents"
        )
    currency = there.get("currency")
    if currency is not None and currency not in CURRENCIES:
        yield bad_input("currency must be an ISO 4217 code such as USD.", "input", "currency")
    if currency is None and any(name in there for name in _AMOUNTS):
        yield bad_input("Say the currency of the amounts.", "input", "currency")
    if currency is not None:
        step = store_step_cents(currency)
        for name in _AMOUNTS:
            if there.get(name, 0) % step:
                yield bad_input(
                    f"This currency is paid in whole units: {_FIELDS[name]} must be a multiple of "
                    f"{step}, such as 50,000 for 500.",
                    *("input", _FIELDS[name]),
                )
