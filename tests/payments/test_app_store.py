"""The App Store: what is signed, what subscriptions become, and proofs that apps send."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.app_store import AppStoreProvider, make_app_store
from payments.app_store_events import moment
from payments.base import Delivery, DeliveryRefusal, DeliveryRefused, PaidOrder
from payments.checkouts import Checkouts
from payments.events import NeedsOperator, PaymentSucceeded, Refunded, SubscriptionState
from payments.purchases import Purchases
from settings import Settings
from tests.fakes import app_store
from tests.fakes.app_store import BUNDLE, milliseconds

from ..conftest import MakeUser
from .conftest import open_shop
from .store_subscriptions import Subscribers, subscribers_of

NOW = datetime.now(UTC)
MONTH, YEAR = timedelta(days=31), timedelta(days=366)


def settings_with(folder: Path, **given: Any) -> Settings:
    told = app_store.settings(folder) | given
    return Settings(_env_file=None, data_directory=folder, **told)


@pytest.fixture
def provider(tmp_path: Path) -> AppStoreProvider:
    made = make_app_store(settings_with(tmp_path))
    assert made is not None
    return made


def month(**changed: Any) -> dict[str, Any]:
    return app_store.subscription("2", "1", 499, "USD", NOW + MONTH) | changed


def told(kind: str, about: dict[str, Any], subtype: str | None = None, **renewal: Any) -> Delivery:
    renews = app_store.renewal(about, **renewal)
    return app_store.notification(kind, about, subtype=subtype, renews=renews)


PAID, STATE = PaymentSucceeded, SubscriptionState
GRACE = {"gracePeriodExpiresDate": milliseconds(NOW + MONTH)}
REVOKED = {"revocationDate": milliseconds(NOW)}
BOUGHT = {"transactionReason": "PURCHASE"}
SAYS: list[tuple[Delivery, list[type]]] = [
    (told("SUBSCRIBED", month(), "INITIAL_BUY"), [PAID, STATE]),
    (told("SUBSCRIBED", month(), "RESUBSCRIBE"), [PAID, STATE]),
    (told("DID_RENEW", month()), [PAID, STATE]),
    (told("DID_RENEW", month(), "BILLING_RECOVERY"), [PAID, STATE]),
    (told("OFFER_REDEEMED", month()), [PAID, STATE]),
    (told("DID_CHANGE_RENEWAL_PREF", month(), "UPGRADE"), [PAID, STATE]),
    (told("DID_CHANGE_RENEWAL_PREF", month(), "DOWNGRADE"), []),
    (told("DID_CHANGE_RENEWAL_STATUS", month(), "AUTO_RENEW_DISABLED"), [STATE]),
    (told("DID_FAIL_TO_RENEW", month(), "GRACE_PERIOD", **GRACE), [STATE]),
    (told("DID_FAIL_TO_RENEW", month()), []),
    (told("GRACE_PERIOD_EXPIRED", month()), [STATE]),
    (told("EXPIRED", month(), "VOLUNTARY"), [STATE]),
    (told("RENEWAL_EXTENDED", month()), [STATE]),
    (told("REFUND", month(**REVOKED)), [Refunded]),
    (told("REVOKE", month(**REVOKED)), [Refunded]),
    (told("REFUND_REVERSED", month()), [PAID]),
    (told("REFUND_DECLINED", month()), []),
    (told("CONSUMPTION_REQUEST", month()), []),
    (told("PRICE_INCREASE", month(), "PENDING"), []),
    (app_store.notification("ONE_TIME_CHARGE", app_store.transaction("1", 500, "EUR")), [PAID]),
    (
        app_store.notification("ONE_TIME_CHARGE", app_store.transaction("1", 5, "EUR", quantity=2)),
        [NeedsOperator],
    ),
    # What was refunded before it was told of.
    (told("SUBSCRIBED", month(**REVOKED)), [PAID, STATE, Refunded]),
    (app_store.notification("TEST"), []),
    (app_store.notification("A_KIND_OF_NEXT_YEAR", month()), []),
]


@pytest.mark.parametrize(("delivery", "expected"), SAYS)
async def test_each_notification_says_what_happened(
    provider: AppStoreProvider, delivery: Delivery, expected: list[type]
) -> None:
    await provider.verify(delivery)
    notice = provider.parse(delivery)
    assert [type(event) for event in notice.events] == expected
    assert UUID(notice.event_id)
    assert not notice.is_test


MONEY: list[tuple[dict[str, Any], int]] = [
    ({"price": 4990}, 499),
    ({"price": 1_995, "currency": "KWD"}, 200),
    ({"price": 150_000, "currency": "JPY"}, 15_000),
    ({"price": 0, "offerType": 1}, 0),
    ({"inAppOwnershipType": "FAMILY_SHARED"}, 0),
]


@pytest.mark.parametrize(("changed", "cents"), MONEY)
def test_prices_are_in_hundredths(
    provider: AppStoreProvider, changed: dict[str, Any], cents: int
) -> None:
    event = provider.parse(told("DID_RENEW", month(**changed))).events[0]
    assert isinstance(event, PaymentSucceeded)
    assert event.amount_cents == cents


def test_a_part_that_went_back_is_a_part_of_the_price(provider: AppStoreProvider) -> None:
    about = month(**REVOKED, revocationPercentage=25_000)
    event, end = provider.parse(told("REFUND", about)).events
    assert isinstance(event, Refunded)
    assert (event.payment_id, event.amount_cents) == ("2", 124)
    assert isinstance(end, SubscriptionState)
    assert (end.payment_id, end.has_ended, end.expires_at) == ("2", True, moment(milliseconds(NOW)))


OTHERS = app_store.authority("somebody else")
FORGED: list[Delivery] = [
    app_store.notification("TEST", by=OTHERS),
    # Certificates of the same authority that are not for this.
    app_store.notification("TEST", by=app_store.authority("the tests", "1.2.3.4")),
    app_store.notification("TEST", data={"bundleId": "com.other", "environment": "Production"}),
    app_store.notification(
        "TEST", data={"bundleId": BUNDLE, "environment": "Production", "appAppleId": 1}
    ),
    *(
        replace(app_store.notification("TEST"), body=body)
        for body in (b"{}", b"[", b'{"signedPayload": 1}', b'{"signedPayload": "a.b.c"}', b"null")
    ),
]


@pytest.mark.parametrize("delivery", FORGED)
async def test_what_apple_has_not_signed_for_this_app_is_forged(
    provider: AppStoreProvider, delivery: Delivery
) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        await provider.verify(delivery)
    assert refused.value.refusal is DeliveryRefusal.FORGED


def signed_within(**changed: Any) -> Delivery:
    """A notification of this app, with a transaction of another."""
    about = month()
    said = {"signedTransactionInfo": app_store.authority().sign(about | changed)}
    data = {"bundleId": BUNDLE, "environment": "Production", "appAppleId": app_store.APPLE_ID}
    return app_store.notification("SUBSCRIBED", data=data | said)


UNREADABLE = [
    signed_within(bundleId="com.other"),
    signed_within(environment="Sandbox"),
    signed_within(transactionId=None),
    signed_within(price="4.99"),
    signed_within(expiresDate=None),
    signed_within(appAccountToken="somebody"),
    app_store.notification("SUBSCRIBED"),
    app_store.notification("TEST", event_id="no uuid"),
    told("SUBSCRIBED", month(environment="Sandbox")),
]


@pytest.mark.parametrize("delivery", UNREADABLE)
async def test_what_is_not_as_documented_is_unreadable(
    provider: AppStoreProvider, delivery: Delivery
) -> None:
    await provider.verify(delivery)
    with pytest.raises(DeliveryRefused) as refused:
        provider.parse(delivery)
    assert refused.value.refusal is DeliveryRefusal.UNREADABLE


def test_the_sandbox_is_a_test(tmp_path: Path) -> None:
    made = make_app_store(settings_with(tmp_path, app_store_environment="Sandbox"))
    assert made is not None
    assert made.parse(told("DID_RENEW", month(environment="Sandbox"))).is_test
    with pytest.raises(DeliveryRefused):
        made.parse(told("DID_RENEW", month()))


OFF: list[tuple[dict[str, Any], str]] = [
    ({"app_store_bundle_id": ""}, "development"),
    ({"app_store_apple_id": None}, "development"),
    ({"app_store_environment": "Sandbox"}, "production"),
]


@pytest.mark.parametrize(("given", "environment"), OFF)
def test_where_it_is_off(tmp_path: Path, given: dict[str, Any], environment: str) -> None:
    settings = settings_with(tmp_path, **given)
    assert make_app_store(settings.model_copy(update={"environment": environment})) is None


def test_apples_own_root_is_the_default(tmp_path: Path) -> None:
    made = make_app_store(settings_with(tmp_path, app_store_root_certificates=""))
    assert made is not None
    with pytest.raises(DeliveryRefused):
        made.parse(app_store.notification("TEST"))


async def test_only_apple_gives_money_back(provider: AppStoreProvider) -> None:
    with pytest.raises(DomainError) as refused:
        await provider.refund(PaidOrder(uuid4(), "1", 499, "USD", ("1",)), 499, "key")
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED


@pytest.fixture
async def store(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> Subscribers:
    shop = await open_shop("app-store", database, owner, settings, make_user)
    return await subscribers_of(
        shop, owner, "com.shop.credits", "com.shop.premium.month", "com.shop.premium.year"
    )


class Subscription:
    """A subscriber's, as Apple tells of it."""

    def __init__(self, user: Actor, product: str = "com.shop.premium.month") -> None:
        self.user, self.product = user, product
        self.original = str(uuid4().int % 10**15)
        self.token: str | None = str(user.user_id)
        self.told = 0

    def paid(self, until: datetime, number: int = 1, **changed: Any) -> dict[str, Any]:
        """One of its payments."""
        self.told += 1
        made = app_store.subscription(f"{self.original}{number}", self.original, 499, "USD", until)
        made |= {
            "productId": self.product,
            "purchaseDate": milliseconds(NOW) - 60_000 + number,
            "signedDate": milliseconds(NOW) + self.told,
            "transactionReason": "PURCHASE" if number == 1 else "RENEWAL",
        }
        return made | ({"appAccountToken": self.token} if self.token else {}) | changed

    def says(
        self, kind: str, about: dict[str, Any], subtype: str | None = None, **renewal: Any
    ) -> Delivery:
        """What Apple tells of one of its payments."""
        renews = app_store.renewal(about, **renewal)
        return app_store.notification(
            kind, about, subtype=subtype, renews=renews, query=str(self.user.user_id)
        )


async def subscribed(store: Subscribers, until: datetime) -> Subscription:
    """Somebody who has just subscribed."""
    one = Subscription(await store.shop.buyer())
    await store.tell(one.says("SUBSCRIBED", one.paid(until), "INITIAL_BUY"))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    return one


async def test_a_subscription_is_renewed_cancelled_and_ends(store: Subscribers) -> None:
    until = NOW + MONTH
    one = await subscribed(store, until)
    before = one.paid(until)
    on = one.says("DID_CHANGE_RENEWAL_STATUS", one.paid(until))
    await store.tell(one.says("DID_CHANGE_RENEWAL_STATUS", before, autoRenewStatus=0))
    assert await store.plan(one.user) == ("pro", "CANCELLING", True)
    assert await store.transactions(one.user) == [("CANCELLED", False, False)]
    # What was signed before changes nothing when it is told of later.
    await store.tell(on, one.says("DID_CHANGE_RENEWAL_STATUS", before, autoRenewStatus=0))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    await store.tell(one.says("DID_RENEW", one.paid(until + MONTH, 2)))
    assert await store.transactions(one.user) == [("ACTIVE", True, False)] * 2
    paid_until = await store.paid_until(one.user)
    assert milliseconds(paid_until) == milliseconds(until + MONTH)
    await store.later(one.user, 2 * MONTH + timedelta(hours=1))
    over = one.paid(until - MONTH - timedelta(hours=1), 2)
    await store.tell(one.says("EXPIRED", over, "VOLUNTARY", autoRenewStatus=0))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert (await store.transactions(one.user))[-1] == ("EXPIRED", False, False)


async def test_the_order_of_notifications_changes_nothing(store: Subscribers) -> None:
    until = NOW + MONTH
    for order in permutations(range(3)):
        one = Subscription(await store.shop.buyer())
        second = one.paid(until + MONTH, 2)
        deliveries = [
            one.says("SUBSCRIBED", one.paid(until)),
            one.says("DID_RENEW", second),
            one.says("DID_CHANGE_RENEWAL_STATUS", one.paid(until + MONTH, 2), autoRenewStatus=0),
        ]
        await store.tell(*(deliveries[n] for n in order))
        assert await store.plan(one.user) == ("pro", "CANCELLING", True), order
        assert len(await store.transactions(one.user)) == 2
        paid_until = await store.paid_until(one.user)
        assert milliseconds(paid_until) == milliseconds(until + MONTH)
        assert await store.quarantined(one.user.user_id or "") == []


@pytest.mark.parametrize("ends", ["renewed", "over"])
async def test_a_period_of_grace(store: Subscribers, ends: str) -> None:
    until = NOW + timedelta(hours=1)
    one = await subscribed(store, until)
    grace = {"gracePeriodExpiresDate": milliseconds(NOW + timedelta(days=16))}
    await store.tell(one.says("DID_FAIL_TO_RENEW", one.paid(until), "GRACE_PERIOD", **grace))
    assert await store.plan(one.user) == ("pro", "PAST_DUE", True)
    assert await store.transactions(one.user) == [("ACTIVE", True, True)]
    await store.later(one.user, timedelta(hours=2))
    # What the scheduler does with other plans that are not paid.
    await store.owner.fetchval("select app.settle_plan($1, '0 seconds')", one.user.user_id)
    assert await store.plan(one.user) == ("pro", "PAST_DUE", True)
    if ends == "renewed":
        await store.tell(one.says("DID_RENEW", one.paid(NOW + MONTH, 2), "BILLING_RECOVERY"))
        assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    else:
        until -= timedelta(hours=2)
        await store.tell(one.says("GRACE_PERIOD_EXPIRED", one.paid(until)))
        assert await store.plan(one.user) == ("free", "ENDED", False)


async def test_who_subscribes_again_keeps_what_an_old_end_is_told_of(store: Subscribers) -> None:
    until = NOW + timedelta(hours=1)
    one = await subscribed(store, until)
    await store.later(one.user, timedelta(hours=2))
    ended = one.says("EXPIRED", one.paid(until - timedelta(hours=2)), "VOLUNTARY")
    again = one.says("SUBSCRIBED", one.paid(NOW + MONTH, 2, **BOUGHT), "RESUBSCRIBE")
    await store.tell(again, ended)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert await store.transactions(one.user) == [
        ("EXPIRED", False, False), ("ACTIVE", True, False)
    ]  # fmt: skip


@pytest.mark.parametrize("price", [4990, 0])
async def test_a_refund_ends_the_plan_and_its_reversal_gives_it_again(
    store: Subscribers, price: int
) -> None:
    until = NOW + MONTH
    one = Subscription(await store.shop.buyer())
    await store.tell(one.says("SUBSCRIBED", one.paid(until, price=price)))
    for _ in range(2):
        back = one.paid(until, price=price, revocationDate=milliseconds(NOW))
        await store.tell(one.says("REFUND", back))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert await store.transactions(one.user) == [("REFUNDED", True, False)]
    for _ in range(2):
        await store.tell(one.says("REFUND_REVERSED", one.paid(until)))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)


async def test_another_product_and_currency_of_the_same_subscription(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    one.product = "com.shop.premium.year"
    await store.tell(
        one.says(
            "DID_CHANGE_RENEWAL_PREF", one.paid(NOW + YEAR, 2, currency="EUR", **BOUGHT), "UPGRADE"
        )
    )
    paid_until = await store.paid_until(one.user)
    assert milliseconds(paid_until) == milliseconds(NOW + YEAR)
    orders = await store.owner.fetch(
        "select product_id, currency from orders where user_id = $1 order by created_at, id",
        one.user.user_id,
    )
    assert [tuple(row) for row in orders] == [("store-month", "USD"), ("store-year", "EUR")]


async def test_a_date_that_was_put_off(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    for _ in range(2):
        await store.tell(one.says("RENEWAL_EXTENDED", one.paid(NOW + 2 * MONTH)))
    paid_until = await store.paid_until(one.user)
    assert milliseconds(paid_until) == milliseconds(NOW + 2 * MONTH)


@pytest.mark.parametrize("wrong", ["another user", "unknown product", "nobody"])
async def test_what_cannot_be_right_is_kept_for_a_person(store: Subscribers, wrong: str) -> None:
    one, other = await subscribed(store, NOW + MONTH), await store.shop.buyer()
    reason = {"another user": "USER_MISMATCH", "unknown product": "PRODUCT_MISMATCH"}.get(wrong)
    if wrong == "another user":
        one.token = str(other.user_id)
    elif wrong == "unknown product":
        one.product = "com.shop.unknown"
    else:
        one = Subscription(other)
        one.token, reason = None, "UNKNOWN_ORDER"
    await store.tell(one.says("DID_RENEW", one.paid(NOW + 2 * MONTH, 2)))
    assert await store.quarantined(one.user.user_id or "") == [reason]
    assert await store.transactions(other) == []


async def test_a_plan_that_something_else_pays_for_does_not_end_with_the_subscription(
    store: Subscribers,
) -> None:
    one = await subscribed(store, NOW + MONTH)
    await store.owner.fetchval(
        "select app.start_plan($1, 'pro', $2, $3)", one.user.user_id, NOW + YEAR, str(uuid4())
    )
    await store.tell(
        one.says("DID_CHANGE_RENEWAL_STATUS", one.paid(NOW + MONTH), autoRenewStatus=0)
    )
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)


def purchases(store: Subscribers, *, is_production: bool = False) -> Purchases:
    provider = store.shop.driver.provider
    return Purchases(store.shop.database, {provider.name: provider}, is_production=is_production)


def signed(about: dict[str, Any]) -> str:
    return app_store.authority().sign(about)


async def test_a_proof_gives_once_whoever_tells_of_it_first(store: Subscribers) -> None:
    shop = purchases(store)
    one = Subscription(await store.shop.buyer())
    about = one.paid(NOW + MONTH)
    proven = [shop.validate(one.user, provider="app-store", proof=signed(about)) for _ in range(5)]
    told = [store.shop.receive(one.says("SUBSCRIBED", about)) for _ in range(2)]
    found = await asyncio.gather(*proven, *told)
    await store.shop.process()
    assert len(set(found[:5])) == 1
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert await store.transactions(one.user) == [("ACTIVE", True, False)]
    # Later it is a proof of the same, and of nothing more.
    await store.tell(one.says("REFUND", one.paid(NOW + MONTH, revocationDate=milliseconds(NOW))))
    assert await shop.validate(one.user, provider="app-store", proof=signed(about)) == found[0]
    assert await store.plan(one.user) == ("free", "ENDED", False)


async def test_one_purchase_is_one_users(store: Subscribers) -> None:
    shop = purchases(store)
    first, second = await store.shop.buyer(), await store.shop.buyer()
    credits = app_store.transaction(
        str(uuid4().int % 10**15), 500, "USD", productId="com.shop.credits"
    )
    # Without a token it is the first's who sends it, with one the token's.
    for about, owner, other in (
        (credits, first, second),
        (credits | {"transactionId": "t" + credits["transactionId"],
                    "originalTransactionId": "t" + credits["transactionId"],
                    "appAccountToken": str(second.user_id)}, second, first),
    ):  # fmt: skip
        if "appAccountToken" not in about:
            await shop.validate(owner, provider="app-store", proof=signed(about))
        with pytest.raises(asyncpg.PostgresError) as refused:
            await shop.validate(other, provider="app-store", proof=signed(about))
        assert refused.value.hint == "PURCHASE_IN_USE"
        await shop.validate(owner, provider="app-store", proof=signed(about))
        assert await store.shop.wallet(owner) == (50, 0, 0)


@pytest.mark.parametrize(
    "changed", [{"bundleId": "com.other"}, {"environment": "Sandbox"}, {"price": None}]
)
async def test_what_proves_nothing(store: Subscribers, changed: dict[str, Any]) -> None:
    buyer = await store.shop.buyer()
    about = app_store.transaction("1", 500, "USD") | changed
    for proof in (signed(about), "a.b.c", "", OTHERS.sign(month()), "x" * 60_000):
        with pytest.raises(DomainError) as refused:
            await purchases(store).validate(buyer, provider="app-store", proof=proof)
        assert refused.value.code is ErrorCode.PURCHASE_INVALID


async def test_a_proof_of_the_sandbox_never_counts_in_production(
    store: Subscribers, tmp_path: Path
) -> None:
    made = make_app_store(settings_with(tmp_path, app_store_environment="Sandbox"))
    assert made is not None
    buyer = await store.shop.buyer()
    proof = signed(app_store.transaction(str(uuid4()), 500, "USD", environment="Sandbox"))
    shop = Purchases(store.shop.database, {"app-store": made}, is_production=True)
    with pytest.raises(DomainError) as refused:
        await shop.validate(buyer, provider="app-store", proof=proof)
    assert refused.value.code is ErrorCode.PURCHASE_INVALID


async def test_what_an_account_of_the_store_has_is_restored(store: Subscribers) -> None:
    shop = purchases(store)
    user = await store.shop.buyer()
    mine, others = Subscription(user), Subscription(await store.shop.buyer())
    over, proofs = Subscription(user), list[str]()
    for one, until in ((mine, NOW + MONTH), (others, NOW + MONTH), (over, NOW - MONTH)):
        proofs.append(signed(one.paid(until)))
    for _ in range(2):
        assert await shop.restore(user, provider="app-store", proofs=proofs) == 1
    assert await store.plan(user) == ("pro", "ACTIVE", True)
    assert await shop.restore(user, provider="app-store", proofs=[]) == 0
    with pytest.raises(asyncpg.PostgresError) as refused:
        await shop.restore(user, provider="app-store", proofs=[proofs[1]])
    assert refused.value.hint == "PURCHASE_IN_USE"


async def test_there_is_no_checkout_for_what_the_app_sells(store: Subscribers) -> None:
    buyer, provider = await store.shop.buyer(), store.shop.driver.provider
    checkouts = Checkouts(
        store.shop.database, {provider.name: provider}, origins=[], takes_any_return=False
    )
    with pytest.raises(DomainError) as refused:
        await checkouts.create(
            buyer, product_id="credits-50", provider="app-store", success_url=None,
            cancel_url=None, idempotency_key="k",
        )  # fmt: skip
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED
    found = await store.owner.fetchval(
        "select count(*) from orders where user_id = $1", buyer.user_id
    )
    assert found == 0


async def test_what_has_run_out_is_noted(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    await store.later(one.user, 2 * MONTH)
    while await store.owner.fetchval("select app.expire_subscription_transactions(1000)"):
        pass
    assert await store.transactions(one.user) == [("EXPIRED", True, False)]
