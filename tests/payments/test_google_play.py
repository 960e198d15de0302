"""Google Play: who may push, what it is asked then, and what subscriptions become."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.base import Delivery, DeliveryRefusal, DeliveryRefused, PaidOrder
from payments.events import (
    AcknowledgementDue,
    NeedsOperator,
    PaymentSucceeded,
    Refunded,
    SubscriptionState,
)
from payments.google_play import GooglePlayProvider, make_google_play
from payments.purchases import Purchases
from settings import Settings
from tests.fakes import google_play
from tests.fakes.google_play import CANCELED, PENDING, PURCHASED, RENEWED, FakePlay, push_token
from tests.fakes.http_stub import stub_server

from ..conftest import MakeUser
from .conftest import open_shop
from .store_subscriptions import Subscribers, subscribers_of

NOW = datetime.now(UTC)
MONTH = timedelta(days=31)


@pytest.fixture
def play() -> Iterator[FakePlay]:
    with stub_server() as stub:
        yield FakePlay(stub)


def settings_with(play: FakePlay, folder: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, data_directory=folder, **(play.settings | given))


@pytest.fixture
def provider(play: FakePlay, tmp_path: Path) -> GooglePlayProvider:
    made = make_google_play(settings_with(play, tmp_path))
    assert made is not None
    return made


TOKENS: list[tuple[str, DeliveryRefusal | None]] = [
    (f"Bearer {push_token()}", None),
    (f"bearer {push_token(iss='accounts.google.com')}", None),
    ("", DeliveryRefusal.FORGED),
    ("Basic eDp5", DeliveryRefusal.FORGED),
    ("Bearer a.b.c", DeliveryRefusal.FORGED),
    (f"Bearer {'x' * 20_000}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(google_play.key('somebody else'))}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(aud='https://another.test')}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(iss='https://accounts.example')}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(email='other@shop.example')}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(email_verified=False)}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(exp=None)}", DeliveryRefusal.FORGED),
    (f"Bearer {push_token(exp=int(NOW.timestamp()) - 600)}", DeliveryRefusal.STALE),
]


@pytest.mark.parametrize("case", range(len(TOKENS)))
async def test_only_the_push_subscription_is_believed(
    provider: GooglePlayProvider, case: int
) -> None:
    authorization, refusal = TOKENS[case]
    delivery = replace(
        google_play.push(google_play.of_product("t")), headers={"authorization": authorization}
    )
    if refusal is None:
        await provider.verify(delivery)
        return
    with pytest.raises(DeliveryRefused) as refused:
        await provider.verify(delivery)
    assert refused.value.refusal is refusal


async def test_keys_are_fetched_once_and_while_they_are_away_it_is_pushed_again(
    play: FakePlay, provider: GooglePlayProvider
) -> None:
    delivery = google_play.push(google_play.of_product("t"))
    keys = play.stub.answers.pop("/certs")
    # However many ask, the keys are looked for once in some seconds.
    for _ in range(3):
        with pytest.raises(DomainError) as failed:
            await provider.verify(delivery)
        assert failed.value.code is ErrorCode.PROVIDER_FAILED
    assert play.stub.count("/certs") == 1
    play.stub.answers["/certs"] = keys
    provider._push_tokens._failed_at = float("-inf")
    await asyncio.gather(*(provider.verify(delivery) for _ in range(5)))
    assert play.stub.count("/certs") == 2
    # Old keys go on being used while there are no new ones; an unknown one is no reason to ask.
    del play.stub.answers["/certs"]
    provider._push_tokens._fetched_at -= 7200
    await provider.verify(delivery)


UNREADABLE = [
    {"packageName": "com.other"},
    {"eventTimeMillis": "soon"},
    {"oneTimeProductNotification": {}},
    {"oneTimeProductNotification": []},
    {"voidedPurchaseNotification": {"purchaseToken": "t"}, "oneTimeProductNotification": None},
]


@pytest.mark.parametrize("changed", UNREADABLE)
def test_what_is_not_as_documented_is_unreadable(
    provider: GooglePlayProvider, changed: dict[str, Any]
) -> None:
    told = {**google_play.of_product("t"), **changed}
    told = {name: value for name, value in told.items() if value is not None}
    for delivery in (
        google_play.push(told),
        replace(google_play.push({}), body=b'{"message": {"data": "%", "messageId": "1"}}'),
        replace(google_play.push({}), body=b"[]"),
    ):
        with pytest.raises(DeliveryRefused) as refused:
            provider.parse(delivery)
        assert refused.value.refusal is DeliveryRefusal.UNREADABLE


async def said(provider: GooglePlayProvider, delivery: Delivery) -> list[type]:
    notice = await provider.complete(delivery, provider.parse(delivery))
    return [type(event) for event in notice.events]


PAID, STATE = PaymentSucceeded, SubscriptionState
STATES: list[tuple[str, list[type], bool, bool]] = [
    ("ACTIVE", [PAID, STATE], True, False),
    ("CANCELED", [PAID, STATE], False, False),
    ("IN_GRACE_PERIOD", [PAID, STATE], True, False),
    ("ON_HOLD", [PAID, STATE], False, True),
    ("PAUSED", [PAID, STATE], False, True),
    ("EXPIRED", [PAID, STATE], False, True),
    ("PENDING", [], False, False),
    ("PENDING_PURCHASE_CANCELED", [], False, False),
]


@pytest.mark.parametrize(("state", "expected", "renews", "has_ended"), STATES)
async def test_what_each_state_says(
    play: FakePlay, provider: GooglePlayProvider, state: str, expected: list[type], renews: bool,
    has_ended: bool,
) -> None:  # fmt: skip
    play.order("GPA.1", 499, "USD")
    play.subscription("t", "GPA.1", NOW + MONTH, state)
    delivery = google_play.push(google_play.of_subscription("t", RENEWED))
    notice = await provider.complete(delivery, provider.parse(delivery))
    assert [type(event) for event in notice.events] == expected
    assert (notice.kind, notice.is_test) == ("subscriptionNotification.2", False)
    for event in notice.events:
        if isinstance(event, SubscriptionState):
            assert (event.auto_renews, event.has_ended) == (renews, has_ended)
            is_grace = state == "IN_GRACE_PERIOD"
            assert (event.expires_at is None, event.grace_until is not None) == (is_grace, is_grace)


async def test_what_else_is_told(play: FakePlay, provider: GooglePlayProvider) -> None:
    assert await said(provider, google_play.push({"testNotification": {"version": "1.0"}})) == []
    unknown = google_play.push(google_play.of_product("unknown"))
    assert await said(provider, unknown) == []
    play.order("GPA.2", 500, "USD")
    token = google_play.push(google_play.of_product("t"))
    play.product("t", "GPA.2", "credits", acknowledgementState=PENDING)
    assert await said(provider, token) == [PAID, AcknowledgementDue]
    play.product("t", "GPA.2", "credits", purchaseStateContext={"purchaseState": "PENDING"})
    assert await said(provider, token) == []
    several = [{"productId": "credits", "productOfferDetails": {"quantity": 2}}]
    play.product("t", "GPA.2", "credits", productLineItem=several)
    assert await said(provider, token) == [NeedsOperator]
    play.product("t", "GPA.2", "credits", testPurchaseContext={"fopType": "TEST"})
    assert (await provider.complete(token, provider.parse(token))).is_test
    void = google_play.push(google_play.of_void("t", "GPA.2"))
    assert await said(provider, void) == []
    play.order("GPA.2", 500, "USD", state="REFUNDED")
    assert await said(provider, void) == [Refunded]
    # What it says no more, or not as documented, is asked for again.
    play.product("t", "GPA.2", "credits", productLineItem=[])
    with pytest.raises(DomainError) as failed:
        await provider.complete(token, provider.parse(token))
    assert failed.value.code is ErrorCode.PROVIDER_FAILED
    assert play.access_tokens == 1


MISSING = ["package_name", "service_account", "push_audience", "push_email"]


@pytest.mark.parametrize("name", MISSING)
def test_without_one_of_its_settings_it_is_off(play: FakePlay, tmp_path: Path, name: str) -> None:
    assert make_google_play(settings_with(play, tmp_path, **{f"google_play_{name}": ""})) is None


async def test_all_of_a_payment_can_go_back_and_no_part(
    play: FakePlay, provider: GooglePlayProvider
) -> None:
    play.order("GPA.3", 500, "USD")
    paid = PaidOrder(uuid4(), "GPA.3", 500, "USD", ("t",))
    with pytest.raises(DomainError) as refused:
        await provider.refund(paid, 100, "key")
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED
    for _ in range(2):
        (event,) = await provider.refund(paid, 500, "key")
        assert isinstance(event, Refunded)
        assert (event.payment_id, event.amount_cents) == ("GPA.3", 500)
    assert play.stub.count(f"{google_play.BASE}/orders/GPA.3:refund") == 1


@pytest.fixture
async def store(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> Subscribers:
    shop = await open_shop("google-play", database, owner, settings, make_user)
    return await subscribers_of(shop, owner, "credits", "premium:monthly", "premium:yearly")


class Subscription:
    """A subscriber's, as Google Play knows it."""

    def __init__(self, store: Subscribers, user: Actor) -> None:
        self.store, self.user = store, user
        self.play = google_play.running()
        self.order_id, self.token = f"GPA.{uuid4()}", f"token.{uuid4()}"
        self.account = {
            "externalAccountIdentifiers": {"obfuscatedExternalAccountId": str(user.user_id)}
        }

    async def is_now(
        self, state: str, until: datetime, renewal: int = 0, kind: int = RENEWED, **changed: Any
    ) -> None:
        """What Google Play knows from now on, and tells of."""
        order_id = f"{self.order_id}..{renewal}"
        self.play.order(order_id, 499, "USD")
        self.play.subscription(self.token, order_id, until, state, **(self.account | changed))
        await self.told(kind)

    async def told(self, kind: int) -> None:
        about = google_play.of_subscription(self.token, kind)
        await self.store.tell(google_play.push(about, query=str(self.user.user_id)))


async def subscribed(store: Subscribers, until: datetime) -> Subscription:
    one = Subscription(store, await store.shop.buyer())
    await one.is_now("ACTIVE", until, kind=PURCHASED)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    return one


async def test_a_subscription_is_renewed_cancelled_and_ends(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    await one.is_now("ACTIVE", NOW + 2 * MONTH, 1)
    # Told of late, and again: what counts is how it is now.
    await one.told(PURCHASED)
    assert await store.transactions(one.user) == [("ACTIVE", True, False)] * 2
    await one.is_now("CANCELED", NOW + 2 * MONTH, 1, CANCELED)
    assert await store.plan(one.user) == ("pro", "CANCELLING", True)
    assert (await store.transactions(one.user))[-1] == ("CANCELLED", False, False)
    # Revoked: it ends before its time.
    await one.is_now("EXPIRED", NOW - timedelta(minutes=1), 1)
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert await store.quarantined(one.user.user_id or "") == []


async def test_a_period_of_grace_and_what_is_on_hold(store: Subscribers) -> None:
    one = await subscribed(store, NOW + timedelta(hours=1))
    await one.is_now("IN_GRACE_PERIOD", NOW + timedelta(days=7))
    assert await store.plan(one.user) == ("pro", "PAST_DUE", True)
    assert await store.transactions(one.user) == [("ACTIVE", True, True)]
    await store.later(one.user, timedelta(hours=2))
    await one.is_now("ON_HOLD", NOW - timedelta(hours=1))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    await one.is_now("ACTIVE", NOW + MONTH, 1)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)


async def test_a_change_of_plan_is_a_new_token_of_the_same_subscription(
    store: Subscribers,
) -> None:
    one = await subscribed(store, NOW + MONTH)
    before, one.token, one.order_id = one.token, f"token.{uuid4()}", f"GPA.{uuid4()}"
    await one.is_now(
        "ACTIVE", NOW + 12 * MONTH, kind=PURCHASED, plan="yearly", linkedPurchaseToken=before
    )
    products = await store.owner.fetch(
        "select product_id from orders where user_id = $1 order by created_at, id",
        one.user.user_id,
    )
    assert [row["product_id"] for row in products] == ["store-month", "store-year"]
    # Who holds the new token does not hold the subscription.
    other = Subscription(store, await store.shop.buyer())
    other.token = f"token.{uuid4()}"
    await other.is_now("ACTIVE", NOW + MONTH, linkedPurchaseToken=one.token)
    assert await store.quarantined(other.user.user_id or "") == ["USER_MISMATCH"]


@pytest.mark.parametrize("first_told", ["the new token", "the old one's end"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("monthly", MONTH), ("yearly", 12 * MONTH)),
        (("yearly", 12 * MONTH), ("monthly", 6 * MONTH)),
    ],
    ids=["up", "down"],
)
async def test_what_was_paid_with_a_change_of_plan_outlives_the_plan_before(
    store: Subscribers,
    before: tuple[str, timedelta],
    after: tuple[str, timedelta],
    first_told: str,
) -> None:
    """Google Play ends the token before at once, and the new one's time counts from then on."""
    old = Subscription(store, await store.shop.buyer())
    await old.is_now("ACTIVE", NOW + before[1], kind=PURCHASED, plan=before[0])
    await store.later(old.user, timedelta(hours=1))
    new = Subscription(store, old.user)

    async def changed() -> None:
        linked = {"plan": after[0], "linkedPurchaseToken": old.token}
        await new.is_now("ACTIVE", NOW + after[1], kind=PURCHASED, **linked)

    async def ended() -> None:
        await old.is_now("EXPIRED", NOW - timedelta(minutes=1), kind=13, plan=before[0])

    steps = (changed, ended) if first_told == "the new token" else (ended, changed)
    for step in (*steps, ended):
        await step()
    assert await store.plan(old.user) == ("pro", "ACTIVE", True)
    assert await store.paid_until(old.user) == NOW + after[1]
    assert await store.transactions(old.user) == [
        ("EXPIRED", False, False),
        ("ACTIVE", True, False),
    ]
    await store.later(old.user, after[1])
    await store.owner.fetchval("select app.settle_plan($1, '0 seconds')", old.user.user_id)
    assert await store.plan(old.user) == ("free", "ENDED", False)


async def test_a_change_of_plan_that_is_told_of_when_all_is_over_ends_the_plan(
    store: Subscribers,
) -> None:
    old = await subscribed(store, NOW + 12 * MONTH)
    new = Subscription(store, old.user)
    linked = {"plan": "monthly", "linkedPurchaseToken": old.token}
    await new.is_now("EXPIRED", NOW - timedelta(minutes=1), kind=13, **linked)
    assert await store.plan(old.user) == ("free", "ENDED", False)
    assert await store.quarantined(old.user.user_id or "") == []


async def test_a_refund_ends_the_plan(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    order_id = f"{one.order_id}..0"
    one.play.order(order_id, 499, "USD", state="REFUNDED")
    for _ in range(2):
        await store.tell(google_play.push(google_play.of_void(one.token, order_id)))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert await store.transactions(one.user) == [("REFUNDED", True, False)]


async def test_a_tester_counts_in_the_demo_alone(store: Subscribers) -> None:
    one = Subscription(store, await store.shop.buyer())
    store.shop.inbox._is_production = True
    await one.is_now("ACTIVE", NOW + MONTH, testPurchase={})
    assert await store.quarantined(one.user.user_id or "") == ["TEST_MODE"]
    assert await store.transactions(one.user) == []
    with pytest.raises(DomainError) as refused:
        await shop_of(store, is_production=True).validate(
            one.user, provider="google-play", proof=one.token
        )
    assert refused.value.code is ErrorCode.PURCHASE_INVALID
    await shop_of(store).validate(one.user, provider="google-play", proof=one.token)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)


def shop_of(store: Subscribers, *, is_production: bool = False) -> Purchases:
    provider = store.shop.driver.provider
    return Purchases(store.shop.database, {provider.name: provider}, is_production=is_production)


async def test_a_token_gives_once_and_what_was_given_is_acknowledged(store: Subscribers) -> None:
    shop, provider = shop_of(store), store.shop.driver.provider
    one, other = Subscription(store, await store.shop.buyer()), await store.shop.buyer()
    one.play.order(f"{one.order_id}..0", 499, "USD")
    pending = one.account | {"acknowledgementState": PENDING}
    one.play.subscription(one.token, f"{one.order_id}..0", NOW + MONTH, **pending)
    orders = await asyncio.gather(
        *(shop.validate(one.user, provider="google-play", proof=one.token) for _ in range(3)),
        one.told(PURCHASED),
    )
    assert len(set(orders[:3])) == 1
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert len(await store.transactions(one.user)) == 1
    with pytest.raises(asyncpg.PostgresError) as refused:
        await shop.validate(other, provider="google-play", proof=one.token)
    assert refused.value.hint == "PURCHASE_IN_USE"
    # One job tells the store.
    jobs = await store.owner.fetch(
        "select convert_from(payload, 'UTF8')::jsonb ->> 'purchase' as purchase from queue.pgqueuer"
        " where entrypoint = 'acknowledge_purchase' and dedupe_key like $1",
        f"%{one.order_id}%",
    )
    path = f"subscriptions/premium/tokens/{one.token}"
    assert [row["purchase"] for row in jobs] == [path]
    assert isinstance(provider, GooglePlayProvider)
    one.play.fails_next = [503]
    with pytest.raises(DomainError):
        await provider.acknowledge(path)
    await provider.acknowledge(path)
    assert one.play.acknowledged.count(path) == 1


@pytest.mark.parametrize("proof", ["", "unknown", "é", "x" * 3_000])
async def test_what_proves_nothing(store: Subscribers, proof: str) -> None:
    with pytest.raises(DomainError) as refused:
        await shop_of(store).validate(await store.shop.buyer(), provider="google-play", proof=proof)
    assert refused.value.code is ErrorCode.PURCHASE_INVALID
