"""Purchases in app stores through the API: from a proof to days without a limit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from payments.purchases import purchases_of
from server.services import Services
from tests.fakes import app_store

from ..conftest import MakeUser
from .conftest import Ask
from .purchase_errors import store

PRODUCT = "com.shop.premium.api"
VALIDATE = """mutation($proof: String!) { validatePurchase(input: {provider: "app-store", proof: $proof}) {
  order { id status provider amountCents currency paidUntil product { id } }
  viewer { dailyLimit { limit remaining upgradeRequired } plan { id } subscription { status }
    subscriptionTransactions { nodes { provider transactionId status amountCents autoRenews graceEndsAt
      orderId plan { id } } } }
  errors { code } } }"""
RESTORE = """mutation($proofs: [String!]!) { restorePurchases(input: {provider: "app-store", proofs: $proofs}) {
  restored errors { code } } }"""


@pytest.fixture(autouse=True)
async def sold(services: Services, owner: asyncpg.Connection) -> None:
    """A month of a plan, sold in the App Store."""
    services.of(purchases_of).providers["app-store"] = store()
    await owner.execute(
        "insert into products (id, name, kind, plan_id, is_active)"
        " values ('store-api-month', 'A month', 'SUBSCRIPTION', 'pro', false) on conflict do nothing"
    )
    await owner.execute(
        "insert into product_prices (product_id, provider, amount_cents, currency, billing_interval,"
        " price_id) values ('store-api-month', 'app-store', 499, 'USD', 'MONTH', $1)"
        " on conflict do nothing",
        PRODUCT,
    )


def proof_of(token: str | None, days: int = 31) -> str:
    """Days that were just bought."""
    number = str(uuid4().int % 10**15)
    about = app_store.subscription(
        number, number, 449, "EUR", datetime.now(UTC) + timedelta(days=days)
    ) | {"productId": PRODUCT}
    return app_store.authority().sign(about | ({"appAccountToken": token} if token else {}))


async def test_a_proof_gives_the_plan_at_once(ask: Ask, make_user: MakeUser) -> None:
    buyer = await make_user()
    proof = proof_of(str(buyer.user_id))
    answers = await asyncio.gather(
        *(ask(VALIDATE, {"proof": proof}, actor=buyer) for _ in range(2))
    )
    first, second = [answer["data"]["validatePurchase"] for answer in answers]
    assert first == second
    order: dict[str, Any] = first["order"]
    money = (order["status"], order["amountCents"], order["currency"])
    assert money == ("PAID", 449, "EUR")
    assert first["errors"] == []
    viewer = first["viewer"]
    assert viewer["dailyLimit"] == {"limit": None, "remaining": None, "upgradeRequired": False}
    assert (viewer["plan"]["id"], viewer["subscription"]["status"]) == ("plan_pro", "ACTIVE")
    (node,) = viewer["subscriptionTransactions"]["nodes"]
    assert node["orderId"] == order["id"]
    assert (node["status"], node["autoRenews"], node["graceEndsAt"]) == ("ACTIVE", True, None)


async def test_another_device_and_another_account(ask: Ask, make_user: MakeUser) -> None:
    buyer, other = await make_user(), await make_user()
    proofs = [proof_of(str(buyer.user_id)), proof_of(None, 62)]
    for user, restored, codes in (
        (buyer, 2, []),
        (buyer, 2, []),
        (other, None, ["PURCHASE_IN_USE"]),
    ):
        answer = await ask(RESTORE, {"proofs": proofs}, actor=user)
        payload = answer["data"]["restorePurchases"]
        assert payload["restored"] == restored
        assert [error["code"] for error in payload["errors"]] == codes
