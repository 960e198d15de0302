"""Paymob as its documents describe it: intentions, callbacks, refunds, voids and inquiries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from payments.paymob import INQUIRY, INTENTION, REFUND, TOKENS, VOID
from payments.paymob_transactions import signature, signed_values

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

SECRET_KEY, API_KEY, PUBLIC_KEY = "egy_sk_test_secret", "the api key", "egy_pk_test_public"
HMAC_SECRET = "the hmac secret"
INTEGRATION, OWNER = 6741, 4705


@dataclass(frozen=True)
class Callback:
    """What Paymob sends: a query and a body."""

    query: str
    body: bytes


@dataclass
class FakePaymob:
    """Its orders by number, and their transactions."""

    stub: Stub
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    transactions: dict[int, dict[str, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(uuid4().int % 10**12))
    voids: bool = True

    def __post_init__(self) -> None:
        self.stub.answers |= {
            INTENTION: self.intention,
            TOKENS: self.tokens,
            INQUIRY: self.inquiry,
            REFUND: self.refund,
            VOID: self.void,
        }

    @property
    def settings(self) -> dict[str, str]:
        """What turns it on."""
        return {
            "PAYMOB_API_URL": self.stub.url,
            "PAYMOB_SECRET_KEY": SECRET_KEY,
            "PAYMOB_HMAC_SECRET": HMAC_SECRET,
            "PAYMOB_INTEGRATION_ID": str(INTEGRATION),
            "PAYMOB_PUBLIC_KEY": PUBLIC_KEY,
            "PAYMOB_API_KEY": API_KEY,
        }

    def intention(self, request: StubRequest) -> StubAnswer:
        if request.headers.get("authorization") != f"Token {SECRET_KEY}":
            return 401, {"detail": "Incorrect credentials"}
        asked = json.loads(request.body)
        if asked["payment_methods"] != [INTEGRATION]:
            return 404, {"detail": "Integration ID/Name does not exist in our system"}
        assert sum(item["amount"] * item["quantity"] for item in asked["items"]) == asked["amount"]
        assert {"first_name", "last_name", "phone_number", "email"} <= set(asked["billing_data"])
        number = next(self.numbers)
        self.orders[number] = asked
        return 201, {
            "id": f"pi_test_{number}",
            "client_secret": f"egy_csk_test_{number}",
            "intention_order_id": number,
            "status": "intended",
        }

    def tokens(self, request: StubRequest) -> StubAnswer:
        if json.loads(request.body).get("api_key") != API_KEY:
            return 403, {"detail": "incorrect credentials"}
        return 201, {"token": "a token"}

    def inquiry(self, request: StubRequest) -> StubAnswer:
        if request.headers.get("authorization") != "Bearer a token":
            return 401, {"detail": "no token"}
        order = json.loads(request.body)["order_id"]
        found = [
            one
            for one in self.transactions.values()
            if one["order"]["id"] == order and not one["has_parent_transaction"]
        ]
        return (200, found) if found else (404, {"detail": "Not found."})

    def refund(self, request: StubRequest) -> StubAnswer:
        asked = json.loads(request.body)
        return self._give_back(request, asked["transaction_id"], asked["amount_cents"])

    def void(self, request: StubRequest) -> StubAnswer:
        number = json.loads(request.body)["transaction_id"]
        if not self.voids:
            return 400, {"message": "Transaction can not be voided"}
        whole = self.transactions[number]["amount_cents"]
        return self._give_back(request, number, whole, is_void=True)

    def pay(self, order: int, *, pays: bool = True, **changed: Any) -> Callback:
        """Somebody pays on its page, or is declined; `changed` are values of the transaction."""
        asked = self.orders[order]
        number = next(self.numbers)
        self.transactions[number] = transaction(
            number, order, asked["amount"], asked["currency"], success=pays, **changed
        )
        return self.callback(number)

    def callback(self, number: int) -> Callback:
        """The callback of a transaction as it is now."""
        return callback(self.transactions[number])

    def of_order(self, order: int) -> list[int]:
        """The numbers of an order's transactions."""
        return [n for n, one in self.transactions.items() if one["order"]["id"] == order]

    def _give_back(
        self, request: StubRequest, number: int, amount: int, *, is_void: bool = False
    ) -> StubAnswer:
        if request.headers.get("authorization") != f"Token {SECRET_KEY}":
            return 401, {"detail": "Incorrect credentials"}
        parent = self.transactions[number]
        if parent["refunded_amount_cents"] + amount > parent["amount_cents"]:
            return 400, {"message": "Full Amount has been already refunded"}
        parent["refunded_amount_cents"] += amount
        parent["is_voided" if is_void else "is_refunded"] = True
        child = next(self.numbers)
        made = transaction(child, parent["order"]["id"], amount, parent["currency"])
        made |= {"has_parent_transaction": True, "parent_transaction": number}
        made |= {"is_void": is_void, "is_refund": not is_void}
        self.transactions[child] = made
        return 201, made


def transaction(
    number: int, order: int, amount_cents: int, currency: str, **changed: Any
) -> dict[str, Any]:
    """A transaction as a callback has it, with more than is signed."""
    made = {
        "id": number,
        "pending": False,
        "amount_cents": amount_cents,
        "success": True,
        "is_auth": False,
        "is_capture": False,
        "is_standalone_payment": True,
        "is_voided": False,
        "is_refunded": False,
        "is_3d_secure": True,
        "integration_id": INTEGRATION,
        "has_parent_transaction": False,
        "order": {"id": order, "merchant_order_id": "whatever", "paid_amount_cents": amount_cents},
        "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "currency": currency,
        "error_occured": False,
        "refunded_amount_cents": 0,
        "source_data": {"type": "card", "pan": "2346", "sub_type": "MasterCard"},
        "owner": OWNER,
        "data": {"message": "Approved"},
    }
    return made | changed


def callback(made: dict[str, Any], secret: str = HMAC_SECRET) -> Callback:
    """The POST that tells of a transaction."""
    body = json.dumps({"type": "TRANSACTION", "obj": made}).encode()
    return Callback(f"hmac={signature(signed_values(made), secret)}", body)


@contextmanager
def paymob() -> Iterator[FakePaymob]:
    """A Paymob for a block."""
    with stub_server() as stub:
        yield FakePaymob(stub)
