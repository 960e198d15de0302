"""Paymob's transactions: what their HMAC covers, read strictly, and what they say.

The HMAC-SHA-512 is over twenty values that are joined without a separator, so characters can be
moved from one to its neighbour; and the same HMAC stands in the address that the buyer's browser is
sent to. So nothing but those twenty is read, each in the one form that Paymob writes: a digit that
moved from the year to the amount leaves no year. `merchant_order_id`, `is_refund` and the parent's
id are not covered.
(https://developers.paymob.com, "HMAC calculation"; docs of transaction callbacks.)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from payments.events import (
    PaymentEvent,
    PaymentFailed,
    PaymentPending,
    PaymentSucceeded,
    ProviderEvent,
    Refunded,
)

# In the order in which they are joined.
SIGNED = (
    "amount_cents",
    "created_at",
    "currency",
    "error_occured",
    "has_parent_transaction",
    "id",
    "integration_id",
    "is_3d_secure",
    "is_auth",
    "is_capture",
    "is_refunded",
    "is_standalone_payment",
    "is_voided",
    "order.id",
    "owner",
    "pending",
    "source_data.pan",
    "source_data.sub_type",
    "source_data.type",
    "success",
)
_MOST_CENTS = 2**31 - 1
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)


class UnreadableTransaction(ValueError):
    """An object whose signed values are not in the form that Paymob writes."""


@dataclass(frozen=True, slots=True)
class PaymobTransaction:
    """The signed values of a transaction that say something."""

    id: int
    order_id: int
    integration_id: int
    amount_cents: int
    currency: str
    created_at: str
    success: bool
    pending: bool
    is_auth: bool
    is_capture: bool
    is_voided: bool
    is_refunded: bool
    has_parent_transaction: bool

    @property
    def event_id(self) -> str:
        """The transaction in the state that it is told of: it is told again when that changes."""
        flags = (
            ("pending", self.pending),
            ("success", self.success),
            ("voided", self.is_voided),
            ("refunded", self.is_refunded),
        )
        return f"transaction_{self.id}" + "".join(f"_{name}" for name, is_set in flags if is_set)

    def events(self) -> tuple[ProviderEvent, ...]:
        """What it says of the order.

        A child gives money back, whether it is called a refund or a void: that word is not signed.
        A void of the whole comes also as a flag of the payment itself, so that the two converge.
        """
        if self.has_parent_transaction and not self.is_capture:
            return (self._refund(str(self.id)),) if self.success and not self.pending else ()
        if self.pending or (self.success and self.is_auth and not self.is_capture):
            return (self._payment(PaymentPending),)
        if not self.success:
            return (self._payment(PaymentFailed),)
        paid = self._payment(PaymentSucceeded)
        return (paid, self._refund(None)) if self.is_voided else (paid,)

    def _payment(self, kind: type[PaymentEvent]) -> PaymentEvent:
        return kind(
            references=self.references,
            payment_id=str(self.id),
            amount_cents=self.amount_cents,
            currency=self.currency,
        )

    def _refund(self, refund_id: str | None) -> Refunded:
        # The parent's id is not signed: it is the payment of the order, whichever that is.
        return Refunded(
            references=self.references,
            payment_id=None,
            amount_cents=self.amount_cents,
            currency=self.currency,
            refund_id=refund_id,
        )

    @property
    def references(self) -> tuple[str, ...]:
        """The name by which Paymob knows the order."""
        return (str(self.order_id),)


def signature(values: Mapping[str, str], secret: str) -> str:
    """The HMAC of a transaction's signed values."""
    joined = "".join(values[name] for name in SIGNED)
    return hmac.digest(secret.encode(), joined.encode(), "sha512").hex()


def signed_values(transaction: Mapping[str, Any]) -> dict[str, str]:
    """The signed values as they are joined: booleans as `true` and `false`, null as nothing."""
    return {name: _as_signed(_at(transaction, name)) for name in SIGNED}


def read_transaction(transaction: Mapping[str, Any]) -> PaymobTransaction:
    """Reads the signed values of a transaction; `UnreadableTransaction` unless each is in form."""
    values: dict[str, Any] = {name: _at(transaction, name) for name in SIGNED}
    return PaymobTransaction(
        id=_integer(values, "id"),
        order_id=_integer(values, "order.id"),
        integration_id=_integer(values, "integration_id"),
        amount_cents=_integer(values, "amount_cents", _MOST_CENTS),
        currency=_text(values, "currency", _CURRENCY.fullmatch),
        created_at=_text(values, "created_at", _TIME.fullmatch),
        **{
            name: _boolean(values, name)
            for name in (
                "success",
                "pending",
                "is_auth",
                "is_capture",
                "is_voided",
                "is_refunded",
                "has_parent_transaction",
            )
        },
    )


def from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """A transaction as the buyer's browser brings it back: flat, and everything a text."""
    values: dict[str, Any] = {}
    for name in SIGNED:
        given = (
            query.get("order") or query.get("order_id") if name == "order.id" else query.get(name)
        )
        whole, _, part = name.partition(".")
        if part:
            values.setdefault(whole, {})[part] = given
        else:
            values[name] = given
    return values


def _at(transaction: Mapping[str, Any], name: str) -> Any:
    whole, _, part = name.partition(".")
    found = transaction.get(whole)
    if part:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _as_signed(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    raise UnreadableTransaction("a signed value is neither text, number nor boolean")


def _integer(values: Mapping[str, Any], name: str, most: int = 10**18) -> int:
    value = values[name]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value) and int(value) <= most:
        return int(value)
    raise UnreadableTransaction(f"{name} is no number")


def _boolean(values: Mapping[str, Any], name: str) -> bool:
    value = values[name]
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise UnreadableTransaction(f"{name} is no boolean")


def _text(values: Mapping[str, Any], name: str, is_in_form: Callable[[str], object]) -> str:
    value = values[name]
    if isinstance(value, str) and is_in_form(value):
        return value
    raise UnreadableTransaction(f"{name} is not in its form")
