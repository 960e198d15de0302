"""Amounts as Stripe counts them: in the smallest unit of a currency, not in hundredths.

Source: https://docs.stripe.com/currencies, "Minor units in API amounts" and "Special cases".
"""

from __future__ import annotations

from typing import Any

from db.billing.currencies import WHOLE

# Whole units as well, but written with two decimals, both 0, as they were once.
_WRITTEN_WITH_TWO = frozenset({"ISK", "UGX"})
# Written with three decimals, of which the last is 0.
_THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def to_stripe(cents: int, currency: str) -> int:
    """Hundredths of a currency as Stripe counts them; ValueError for what it cannot be paid."""
    currency = currency.upper()
    if currency in WHOLE and cents % 100:
        raise ValueError("the currency has whole units alone")
    if currency in _WRITTEN_WITH_TWO:
        return cents
    if currency in WHOLE:
        return cents // 100
    return cents * 10 if currency in _THREE_DECIMALS else cents


def from_stripe(amount: Any, currency: Any) -> int:
    """What Stripe counts in hundredths of the currency.

    Raises TypeError for what is no whole number of a currency, ValueError for a part of a
    hundredth.
    """
    if not isinstance(amount, int) or isinstance(amount, bool) or not isinstance(currency, str):
        raise TypeError("an amount is no whole number of a currency")
    currency = currency.upper()
    if currency in _THREE_DECIMALS:
        cents, rest = divmod(amount, 10)
        if rest:
            raise ValueError("an amount has a part of a hundredth")
        return cents
    return amount * 100 if currency in WHOLE - _WRITTEN_WITH_TWO else amount


def charged_part(amount: int, currency: str) -> int:
    """An amount as Stripe counts it, rounded down to what may be moved of the currency."""
    currency = currency.upper()
    if currency in _WRITTEN_WITH_TWO:
        return amount - amount % 100
    return amount - amount % 10 if currency in _THREE_DECIMALS else amount
