"""Paymob: what its HMAC covers, what a buyer could make of it, and its API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from db.core.errors import DomainError, ErrorCode
from payments.base import Delivery, DeliveryRefused, NewCheckout, PaidOrder
from payments.events import PaymentFailed, PaymentPending, PaymentSucceeded, Refunded
from payments.paymob import PaymobProvider, make_paymob
from payments.paymob_transactions import (
    SIGNED,
    UnreadableTransaction,
    from_query,
    read_transaction,
    signature,
    signed_values,
)
from settings import Settings
from tests.fakes.paymob import (
    HMAC_SECRET,
    INTEGRATION,
    SECRET_KEY,
    Callback,
    FakePaymob,
    callback,
    paymob,
    transaction,
)

MONEY: dict[str, Any] = {"amount_cents": 1000, "currency": "EGP"}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakePaymob]:
    with paymob() as made:
        yield made


@pytest.fixture(scope="module")
def provider(fake: FakePaymob, tmp_path_factory: pytest.TempPathFactory) -> PaymobProvider:
    made = make_paymob(settings_with(tmp_path_factory.mktemp("paymob"), **fake.settings))
    assert made is not None
    return made


def settings_with(folder: Path, **given: str) -> Settings:
    named = {name.lower(): value for name, value in given.items()}
    return Settings(_env_file=None, data_directory=folder, **named)  # type: ignore[arg-type, call-arg]


def delivery(sent: Callback) -> Delivery:
    return Delivery({}, sent.body, datetime.now(UTC), sent.query)


def paid(**changed: Any) -> dict[str, Any]:
    return transaction(2_556_706, 4_778_239, 1000, "EGP", **changed)


async def is_believed(provider: PaymobProvider, sent: Callback) -> bool:
    """Whether a callback passes and says something."""
    try:
        await provider.verify(delivery(sent))
        return bool(provider.parse(delivery(sent)).events)
    except DeliveryRefused:
        return False


def test_the_hmac_is_the_documented_one() -> None:
    """The values in their documented order, joined without anything in between."""
    made = paid(created_at="2020-03-25T18:39:44.719228", owner=4705)
    assert "".join(signed_values(made)[name] for name in SIGNED) == (
        "10002020-03-25T18:39:44.719228EGPfalsefalse25567066741truefalsefalsefalsetruefalse"
        "47782394705false2346MasterCardcardtrue"
    )
    assert len(signature(signed_values(made), HMAC_SECRET)) == 128


STATES = [
    ({}, [PaymentSucceeded]),
    ({"success": False}, [PaymentFailed]),
    ({"success": False, "pending": True}, [PaymentPending]),
    ({"success": True, "pending": True}, [PaymentPending]),
    ({"is_auth": True}, [PaymentPending]),
    ({"is_auth": True, "is_capture": True}, [PaymentSucceeded]),
    ({"is_capture": True, "has_parent_transaction": True}, [PaymentSucceeded]),
    ({"is_voided": True}, [PaymentSucceeded, Refunded]),
    ({"is_refunded": True}, [PaymentSucceeded]),
    ({"has_parent_transaction": True}, [Refunded]),
    ({"has_parent_transaction": True, "success": False}, []),
    ({"has_parent_transaction": True, "pending": True}, []),
]


@pytest.mark.parametrize(("changed", "kinds"), STATES)
async def test_each_state_of_a_transaction_says_what_happened(
    provider: PaymobProvider, changed: dict[str, Any], kinds: list[type]
) -> None:
    sent = callback(paid(**changed))
    await provider.verify(delivery(sent))
    notice = provider.parse(delivery(sent))
    assert [type(event) for event in notice.events] == kinds
    for event in notice.events:
        assert event.references == ("4778239",)
        assert (event.amount_cents, event.currency) == (1000, "EGP")  # type: ignore[attr-defined]


def test_a_transaction_is_another_event_in_each_of_its_states(provider: PaymobProvider) -> None:
    told = [callback(paid(**changed)) for changed, _ in STATES[:4] + STATES[7:9]]
    ids = [provider.parse(delivery(sent)).event_id for sent in told]
    assert len(set(ids)) == len(ids)
    assert ids[0] == provider.parse(delivery(told[0])).event_id


UNSIGNED = [
    {"order": {"id": 4_778_239, "merchant_order_id": "somebody else's"}},
    {"is_refund": True, "parent_transaction": 1},
    {"refunded_amount_cents": 1000},
    {"data": {"message": "Refunded"}},
]


@pytest.mark.parametrize("changed", UNSIGNED)
async def test_what_is_not_signed_changes_nothing(
    provider: PaymobProvider, changed: dict[str, Any]
) -> None:
    real = callback(paid())
    said = json.loads(real.body)
    said["obj"] |= changed
    altered = Callback(real.query, json.dumps(said).encode())
    await provider.verify(delivery(altered))
    assert provider.parse(delivery(altered)) == provider.parse(delivery(real))


SHIFTED = [
    {"amount_cents": 10002, "created_at": "020-03-25T18:39:44.719228"},
    {"amount_cents": 100, "created_at": "02020-03-25T18:39:44.719228"},
    {"amount_cents": "01000", "created_at": "2020-03-25T18:39:44.719228"},
    {"created_at": "2020-03-25T18:39:44.719228EGP", "currency": ""},
    {"created_at": "2020-03-25T18:39:44.719228E", "currency": "GP"},
    {"id": 255_670_667, "integration_id": 41},
    {"id": 25_567, "integration_id": 66_741},
    {"source_data": {"pan": "", "sub_type": "", "type": "2346MasterCardcardtru"}, "success": "e"},
    {"currency": "EGPfalse", "error_occured": "", "has_parent_transaction": False},
]


@pytest.mark.parametrize("changed", SHIFTED)
async def test_characters_that_move_from_value_to_value_are_not_believed(
    provider: PaymobProvider, changed: dict[str, Any]
) -> None:
    real = callback(paid(created_at="2020-03-25T18:39:44.719228"))
    said = json.loads(real.body)
    said["obj"] |= changed
    assert await is_believed(provider, real)
    assert not await is_believed(provider, Callback(real.query, json.dumps(said).encode()))


def forgeries() -> list[Callback]:
    real = callback(paid())
    declined = callback(paid(success=False))
    mac = real.query.removeprefix("hmac=")
    return [
        Callback("", real.body),
        Callback("hmac=", real.body),
        Callback(f"hmac={mac[:-1]}", real.body),
        Callback(f"hmac={mac.upper()}", real.body),
        Callback(f"hmac={mac}&hmac={mac}", real.body),
        Callback("hmac=%ff%00", real.body),
        Callback(real.query, declined.body),
        Callback(real.query, real.body.replace(b"1000", b"2000")),
        callback(paid(), "another secret"),
        callback(paid(), ""),
        callback(paid(integration_id=INTEGRATION + 1)),
        Callback(real.query, b""),
        Callback(real.query, b"[]"),
        Callback(real.query, b'{"type": "TRANSACTION"}'),
        Callback(real.query, b'{"type": "TOKEN", "obj": {}}'),
        Callback(
            real.query, json.dumps({"type": "TRANSACTION", "obj": paid() | {"id": 1.5}}).encode()
        ),
        Callback(
            real.query, json.dumps({"type": "TRANSACTION", "obj": paid() | {"order": [1]}}).encode()
        ),
    ]


@pytest.mark.parametrize("number", range(len(forgeries())))
async def test_forgeries_are_not_believed(provider: PaymobProvider, number: int) -> None:
    assert not await is_believed(provider, forgeries()[number])


def test_what_the_browser_brings_back_is_read_by_the_same_rules() -> None:
    made = paid()
    flat = {name: value for name, value in signed_values(made).items() if name != "order.id"} | {
        "order": "4778239"
    }
    assert read_transaction(from_query(flat)) == read_transaction(made)
    assert signed_values(from_query(flat)) == signed_values(made)
    for wrong in ({}, flat | {"amount_cents": "1e3"}, flat | {"success": "1"}):
        with pytest.raises(UnreadableTransaction):
            read_transaction(from_query(wrong))


def new_checkout(**changed: Any) -> NewCheckout:
    given = {"email": "ada@example.test", "product_name": "Pro", "product_id": "pro", **MONEY}
    return NewCheckout(order_id=uuid4(), user_id=uuid4(), kind="PLAN", **(given | changed))


async def test_a_checkout_is_an_intention(provider: PaymobProvider, fake: FakePaymob) -> None:
    made = await provider.create_checkout(new_checkout(email=None))
    (reference,) = made.references
    asked = fake.orders[int(reference)]
    assert (asked["amount"], asked["currency"]) == (1000, "EGP")
    assert asked["notification_url"].endswith("/webhooks/paymob")
    page = urlsplit(made.url)
    assert page.path == "/unifiedcheckout/"
    assert parse_qs(page.query)["clientSecret"] == [f"egy_csk_test_{reference}"]
    again = await provider.create_checkout(new_checkout())
    assert again.references != made.references


async def bought(provider: PaymobProvider, fake: FakePaymob, *, pays: bool = True) -> PaidOrder:
    made = await provider.create_checkout(new_checkout())
    order = int(made.references[0])
    fake.pay(order, pays=pays)
    (number,) = fake.of_order(order)
    return PaidOrder(uuid4(), str(number), references=made.references, **MONEY)


async def test_an_inquiry_says_what_a_lost_callback_would_have(
    provider: PaymobProvider, fake: FakePaymob
) -> None:
    made = await provider.create_checkout(new_checkout())
    order = PaidOrder(uuid4(), None, references=made.references, **MONEY)
    assert await provider.fetch(order) == ()
    sent = fake.pay(int(made.references[0]))
    assert await provider.fetch(order) == provider.parse(delivery(sent)).events
    declined = await bought(provider, fake, pays=False)
    assert [type(event) for event in await provider.fetch(declined)] == [PaymentFailed]


@pytest.mark.parametrize("voids", [True, False])
async def test_a_whole_refund_is_a_void_where_it_can_be(
    provider: PaymobProvider, fake: FakePaymob, monkeypatch: pytest.MonkeyPatch, voids: bool
) -> None:
    monkeypatch.setattr(fake, "voids", voids)
    order = await bought(provider, fake)
    (refunded,) = await provider.refund(order, 1000, "key")
    assert isinstance(refunded, Refunded)
    assert refunded.amount_cents == 1000
    assert refunded.refund_id is not None
    child = fake.transactions[int(refunded.refund_id)]
    assert child["is_void"] is voids
    told = provider.parse(delivery(fake.callback(int(refunded.refund_id)))).events
    assert [event.refund_id for event in told] == [refunded.refund_id]  # type: ignore[attr-defined]


async def test_a_refund_that_was_made_is_not_made_again(
    provider: PaymobProvider, fake: FakePaymob
) -> None:
    order = await bought(provider, fake)
    await provider.refund(order, 400, "key")
    (again,) = await provider.refund(order, 400, "key")
    assert isinstance(again, Refunded)
    assert (again.amount_cents, again.refund_id) == (400, None)
    assert fake.transactions[int(order.payment_id or 0)]["refunded_amount_cents"] == 400


async def test_a_refund_of_too_much_is_refused(provider: PaymobProvider, fake: FakePaymob) -> None:
    order = await bought(provider, fake)
    with pytest.raises(DomainError) as refused:
        await provider.refund(order, 1001, "key")
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED


async def test_without_an_api_key_all_that_is_left_goes_back_or_nothing(
    fake: FakePaymob, provider: PaymobProvider, tmp_path: Path
) -> None:
    """A part could go back twice when its answer is lost, and nobody could ask whether it did."""
    without = make_paymob(settings_with(tmp_path, **fake.settings | {"PAYMOB_API_KEY": ""}))
    assert without is not None
    order = await bought(provider, fake)
    with pytest.raises(DomainError) as refused:
        await without.refund(order, 999, "key")
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED
    payment = fake.transactions[int(order.payment_id or 0)]
    assert payment["refunded_amount_cents"] == 0
    await without.refund(order, 1000, "key")
    assert payment["refunded_amount_cents"] == 1000
    with pytest.raises(DomainError):
        await without.refund(order, 1000, "key")
    assert payment["refunded_amount_cents"] == 1000


WRONG_ANSWERS = [
    ((500, {}), ErrorCode.PROVIDER_FAILED),
    ((429, {}), ErrorCode.PROVIDER_FAILED),
    ((302, {}), ErrorCode.PROVIDER_FAILED),
    ((200, b"<html>"), ErrorCode.PROVIDER_FAILED),
    ((200, b"x" * 1_048_577), ErrorCode.PROVIDER_FAILED),
    ((200, []), ErrorCode.PROVIDER_FAILED),
    ((201, {"intention_order_id": "1", "client_secret": "s"}), ErrorCode.PROVIDER_FAILED),
    ((201, {"intention_order_id": 1, "client_secret": ""}), ErrorCode.PROVIDER_FAILED),
    ((401, {"detail": "Incorrect credentials"}), ErrorCode.PROVIDER_REFUSED),
    ((404, {"detail": "Integration ID/Name does not exist"}), ErrorCode.PROVIDER_REFUSED),
]


@pytest.mark.parametrize(("answer", "code"), WRONG_ANSWERS)
async def test_wrong_answers_are_a_clear_error(
    provider: PaymobProvider,
    fake: FakePaymob,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    code: ErrorCode,
) -> None:
    monkeypatch.setitem(fake.stub.answers, "/v1/intention/", lambda _: answer)
    with pytest.raises(DomainError) as refused:
        await provider.create_checkout(new_checkout())
    assert refused.value.code is code
    assert SECRET_KEY not in str(refused.value)


MISSING = ["PAYMOB_SECRET_KEY", "PAYMOB_HMAC_SECRET", "PAYMOB_INTEGRATION_ID"]


@pytest.mark.parametrize("name", MISSING)
def test_half_of_its_settings_leave_it_off(fake: FakePaymob, tmp_path: Path, name: str) -> None:
    half = {key: value for key, value in fake.settings.items() if key != name}
    assert make_paymob(settings_with(tmp_path, **half)) is None
