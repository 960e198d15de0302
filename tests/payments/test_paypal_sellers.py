"""Sellers at PayPal: onboarding, what PayPal says of them, and money that goes to them directly."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.paypal_client import auth_assertion
from payments.paypal_events import fee_part, seller_of
from settings import Settings

from ..conftest import MakeUser
from ..fakes import paypal as fake
from ..fakes.paypal import paypal
from .paypal_sellers import PAGE, Shop

ASSERTION = "paypal-auth-assertion"
OTHERS_GRANT = [
    {
        "integration_type": "OAUTH_THIRD_PARTY",
        "oauth_third_party": [{"partner_client_id": "another platform"}],
    }
]


@pytest.fixture
def shop(database: Database, owner: asyncpg.Connection, settings: Settings) -> Iterator[Shop]:
    with paypal() as running:
        yield Shop(running, database, owner, settings)


def asked_at(shop: Shop, end: str) -> list[dict[str, str]]:
    """The headers of what PayPal was asked at addresses with this end."""
    return [one.headers for one in shop.paypal.stub.asked if one.path.endswith(end)]


async def test_5_3_a_seller_is_onboarded_as_paypal_tells(shop: Shop, make_user: MakeUser) -> None:
    seller, merchant = await make_user(), uuid4().hex[:13].upper()
    store_id, product_id = await shop.open(seller)
    tracking = await shop.onboard(seller, store_id)
    asked = shop.paypal.referrals[tracking]
    assert asked["partner_config_override"] == {"return_url": PAGE}
    (operation,) = asked["operations"]
    integration = operation["api_integration_preference"]["rest_api_integration"]
    assert integration["third_party_details"]["features"] == ["PAYMENT", "REFUND", "PARTNER_FEE"]
    assert await shop.status(store_id) == ("PENDING", "NOT_CONNECTED")
    # Back from the page too soon: PayPal knows nobody yet. The page is had again.
    await shop.sellers.refresh(seller, store_id, provider="paypal")
    assert await shop.onboard(seller, store_id) == tracking
    assert await shop.status(store_id) == ("PENDING", "NOT_CONNECTED")
    agreed = shop.paypal.agree(tracking, merchant, primary_email_confirmed=False)
    for _ in range(2):
        await shop.tell(agreed)
    assert await shop.status(store_id) == ("INCOMPLETE", "NOT_CONNECTED")
    with pytest.raises(asyncpg.PostgresError, match="cannot be paid at this provider yet"):
        await shop.buy(await make_user(), product_id)
    # PayPal's name of the seller is nowhere in the open.
    kept = await shop.account(store_id)
    assert kept is not None
    assert merchant not in kept
    assert merchant.encode().hex() not in kept
    shop.paypal.stand(merchant)
    await shop.sellers.refresh(seller, store_id, provider="paypal")
    assert await shop.status(store_id) == ("COMPLETE", "NOT_CONNECTED")
    onboarded = "select onboarded_at is not null from creator_profiles where user_id = $1"
    assert await shop.owner.fetchval(onboarded, seller.user_id)
    await shop.tell(shop.paypal.revoke(tracking, merchant))
    assert await shop.status(store_id) == ("NOT_CONNECTED", "NOT_CONNECTED")
    assert await shop.account(store_id) is None
    with pytest.raises(asyncpg.PostgresError, match="There is no such store"):
        await shop.onboard(await make_user(), store_id)


@pytest.mark.parametrize(
    ("stands", "expected"),
    [
        ({}, "COMPLETE"),
        ({"payments_receivable": False}, "INCOMPLETE"),
        ({"primary_email_confirmed": False}, "INCOMPLETE"),
        ({"oauth_integrations": []}, "INCOMPLETE"),
        ({"oauth_integrations": OTHERS_GRANT}, "INCOMPLETE"),
    ],
)
async def test_a_store_sells_once_paypal_says_all_three(
    shop: Shop, make_user: MakeUser, stands: dict[str, Any], expected: str
) -> None:
    seller = await make_user()
    store_id, _ = await shop.open(seller)
    tracking = await shop.onboard(seller, store_id)
    await shop.tell(shop.paypal.agree(tracking, uuid4().hex, **stands))
    assert (await shop.status(store_id))[0] == expected


async def test_paypal_is_asked_whatever_an_event_says(shop: Shop, make_user: MakeUser) -> None:
    seller, merchant = await make_user(), uuid4().hex
    store_id, _ = await shop.open(seller)
    tracking = await shop.onboard(seller, store_id)
    agreed = shop.paypal.agree(tracking, merchant)
    revoked = shop.paypal.revoke(tracking, merchant)
    # They agreed again since: what was revoked is told of late.
    shop.paypal.stand(merchant)
    await shop.tell(agreed)
    await shop.tell(revoked)
    assert (await shop.status(store_id))[0] == "COMPLETE"
    # Nobody but PayPal tells of it, and a stranger to this platform is set aside.
    forged = shop.paypal.revoke(tracking, merchant)
    shop.paypal.signed.clear()
    await shop.tell(forged)
    assert (await shop.status(store_id))[0] == "COMPLETE"
    await shop.tell(shop.paypal.agree(str(uuid4()), uuid4().hex))
    reasons = "select reason from webhook_events where provider = 'paypal' and reason is not null order by id"
    assert [row["reason"] for row in await shop.owner.fetch(reasons)] == [
        "FORGED",
        "UNKNOWN_ACCOUNT",
    ]


async def test_one_merchant_is_paid_for_two_stores(shop: Shop, make_user: MakeUser) -> None:
    seller, merchant = await make_user(), uuid4().hex
    stores = [(await shop.open(seller))[0] for _ in range(2)]
    for store_id in stores:
        tracking = await shop.onboard(seller, store_id)
        await shop.tell(shop.paypal.agree(tracking, merchant))
    assert [(await shop.status(one))[0] for one in stores] == ["COMPLETE", "COMPLETE"]
    await shop.tell(shop.paypal.revoke(tracking, merchant))
    assert [(await shop.status(one))[0] for one in stores] == ["NOT_CONNECTED", "NOT_CONNECTED"]


async def test_a_sale_is_captured_and_refunded_in_the_sellers_name(
    shop: Shop, make_user: MakeUser
) -> None:
    seller, admin, merchant = await make_user(), await make_user(), uuid4().hex
    await shop.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    store_id, product_id = await shop.open(seller)
    await shop.tell(shop.paypal.agree(await shop.onboard(seller, store_id), merchant))
    order_id, name = await shop.buy(await make_user(), product_id)
    (unit,) = shop.paypal.orders[name]["purchase_units"]
    assert unit["payee"] == {"merchant_id": merchant}
    fees = unit["payment_instruction"]["platform_fees"]
    assert fees == [{"amount": {"currency_code": "USD", "value": "1.00"}}]
    expected = auth_assertion(fake.CLIENT_ID, merchant)
    assert [headers.get(ASSERTION) for headers in asked_at(shop, "/capture")] == [expected]
    sale = await shop.owner.fetchrow(
        "select status, fee_cents, seller_cents from sales where order_id = $1", order_id
    )
    assert tuple(sale) == ("COMPLETED", 100, 1_900)
    await shop.refunds.refund(
        admin, order_id=order_id, amount_cents=500, reason="asked", idempotency_key="k"
    )
    (refund,) = [one for one in shop.paypal.stub.asked if one.path.endswith("/refund")]
    assert refund.headers[ASSERTION] == expected
    back = json.loads(refund.body)["payment_instruction"]["platform_fees"]
    assert back == [{"amount": {"currency_code": "USD", "value": "0.25"}}]
    status = "select status from sales where order_id = $1"
    assert await shop.owner.fetchval(status, order_id) == "PARTIALLY_REFUNDED"


async def test_5_3_an_order_that_would_pay_somebody_else_is_not_captured(
    shop: Shop, make_user: MakeUser
) -> None:
    seller, merchant = await make_user(), uuid4().hex
    store_id, product_id = await shop.open(seller)
    await shop.tell(shop.paypal.agree(await shop.onboard(seller, store_id), merchant))
    for payee in ({"merchant_id": uuid4().hex}, {"merchant_id": fake.PARTNER_ID}, None):
        order_id, name = await shop.order(await make_user(), product_id)
        (unit,) = shop.paypal.orders[name]["purchase_units"]
        unit |= {"payee": payee} if payee else {}
        if payee is None:
            del unit["payee"]
        await shop.tell(shop.paypal.approve(name))
        assert asked_at(shop, "/capture") == []
        status = "select status from orders where id = $1"
        assert await shop.owner.fetchval(status, order_id) == "PENDING"
    # A seller whose account is gone is not paid either.
    order_id, name = await shop.order(await make_user(), product_id)
    await shop.owner.execute("delete from seller_accounts where store_id = $1", store_id)
    await shop.tell(shop.paypal.approve(name))
    assert asked_at(shop, "/capture") == []


async def test_without_a_partner_id_nobody_is_onboarded(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> None:
    with paypal() as running:
        shop = Shop(running, database, owner, settings)
        shop.inbox.providers["paypal"].sellers = None  # type: ignore[attr-defined]
        store_id, _ = await shop.open(seller := await make_user())
        with pytest.raises(DomainError) as refused:
            await shop.onboard(seller, store_id)
    assert refused.value.code is ErrorCode.PROVIDER_NOT_CONFIGURED


def test_an_assertion_is_an_unsigned_token_for_one_seller() -> None:
    head, payload, signature = auth_assertion("client", "MERCHANT1").split(".")
    told = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, payload)]
    assert told == [{"alg": "none"}, {"iss": "client", "payer_id": "MERCHANT1"}]
    assert signature == ""


@pytest.mark.parametrize(
    ("payee", "partner", "expected"),
    [("M1", "P1", "M1"), ("P1", "P1", None), (None, "P1", None), ("M1", "", None)],
)
def test_whose_order_it_is(payee: str | None, partner: str, expected: str | None) -> None:
    unit = {"payee": {"merchant_id": payee}} if payee else {}
    assert seller_of({"purchase_units": [unit]}, partner) == expected


@pytest.mark.parametrize(
    ("fee", "total", "currency", "cents", "expected"),
    [
        ("1.00", "20.00", "USD", 500, 25),
        ("1.00", "20.00", "USD", 2_000, 100),
        ("0.10", "3.00", "USD", 50, 1),
        ("75", "1500", "JPY", 50_000, 2_500),
        ("1", "3", "JPY", 100, 0),
    ],
)
def test_as_large_a_part_of_the_fee_goes_back(
    fee: str, total: str, currency: str, cents: int, expected: int
) -> None:
    def amount(value: str) -> dict[str, str]:
        return {"currency_code": currency, "value": value}

    unit = {
        "amount": amount(total),
        "payment_instruction": {"platform_fees": [{"amount": amount(fee)}]},
    }
    assert fee_part({"purchase_units": [unit]}, cents) == expected
