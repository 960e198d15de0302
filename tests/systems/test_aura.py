"""Aura end to end: one user on two devices, offline and online, once by POSTs and once over sockets."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest

from tests.fakes.anthropic import PIECES, REPLY
from tests.fakes.revenuecat import event as revenuecat_event
from tests.fakes.revenuecat import milliseconds
from tests.fakes.stripe import event as stripe_event
from tests.running import ROOT

from .aura import (
    MERGE,
    PROFILES,
    Aura,
    Phone,
    Two,
    a_guest,
    agree,
    buys,
    delivered,
    due_now,
    running_aura,
    said,
    shared_profile,
    signed_in,
    signed_up,
    wallet,
    wallet_becomes,
)
from .client import Client
from .devices import Device, device

CLIENT = ROOT / "examples/aura-sync"
WATCH_PROFILES = (
    """subscription { profilesChanged { cursor deletedId profile { id name deviceId } } }"""
)
WATCH_REPLY = """subscription($id: ID!, $after: Cursor) { chatReply(messageId: $id, after: $after) {
  cursor delta message { id status text creditsCharged error { code } } } }"""
WATCH_ANALYSIS = """subscription($id: ID!) { analysisUpdated(id: $id) {
  cursor analysis { id status result creditsCharged madeOffline } } }"""
WATCH_SWITCHES = """subscription { switchesChanged {
  cursor switches { syncEnabled creditsUnlimited aiEnabled readOnly } } }"""
SEND = """mutation($id: ID!, $key: String!) { sendChatMessage(input: {
  profileId: $id, text: "What do they like?", idempotencyKey: $key}) {
  message { id status } errors { code } } }"""
CANCEL = """mutation($id: ID!) { cancelChatReply(input: {id: $id}) {
  message { status } errors { code } } }"""
ANALYZE = """mutation($id: ID!, $key: String!) { analyzeProfile(input: {
  profileId: $id, idempotencyKey: $key}) { analysis { id } errors { code } } }"""
RESOLVE = """mutation($id: ID!, $keep: ConflictChoice!) { resolveConflict(input: {id: $id, keep: $keep}) {
  conflict { status kept } errors { code } } }"""
CONFLICTS = "{ viewer { syncConflicts { nodes { id fieldGroup loser value status } } } }"
DESCRIBE = """mutation { updateUserProfile(input: {zodiacSign: "Leo", location: "Lisbon",
  synthesis: {meta: {inputsUsed: ["photos"]}}, preferences: {theme: "dark"}}) { errors { code } } }"""
ME = "{ viewer { userProfile { zodiacSign location synthesis preferences } } }"
SET_SWITCH = """mutation($name: SwitchName!, $value: Boolean!) {
  setSwitch(input: {name: $name, value: $value, reason: "a drill"}) { errors { code } } }"""
SPEND = """mutation($key: String!) { spendCredits(input: {amount: 1, idempotencyKey: $key}) {
  transaction { amount used } errors { code } } }"""
WATCH_CREDITS = "subscription { creditsChanged { cursor credits { balance held } } }"
PORTAL = "mutation { createBillingPortal(input: {}) { url errors { code } } }"
REFUND = """mutation($order: ID!) { refundOrder(input: {
  orderId: $order, reason: "unused", idempotencyKey: "1"}) { errors { code } } }"""
HISTORY = (
    """{ viewer { orders { nodes { status } } creditTransactions { nodes { type amount } } } }"""
)
ENTITLEMENTS = "{ viewer { entitlements { name isActive willRenew store } } }"
REFERRALS = "{ viewer { referralCode referrals { nodes { status credits } } } }"
REDEEM = """mutation($code: String!) { redeemReferralCode(input: {code: $code}) {
  errors { code path } } }"""
BAD_CODE = {"code": "BAD_USER_INPUT", "path": ["input", "code"]}
EXPORT = "mutation { exportMyData { export { id } errors { code } } }"
EXPORTS = "{ viewer { exports { nodes { status url } } } }"


@pytest.fixture(scope="module")
def aura(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aura]:
    """One deployment for all that follows."""
    with running_aura(tmp_path_factory.mktemp("aura") / "data") as made:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@pytest.fixture(params=["POSTs and event streams", "sockets"])
def over_socket(request: pytest.FixtureRequest) -> bool:
    """How the devices talk."""
    return bool(request.param == "sockets")


@pytest.fixture
async def two(aura: Aura, http: httpx.AsyncClient, over_socket: bool) -> AsyncIterator[Two]:
    """Ada, who has signed up on the laptop and signed in on the phone."""
    member = await signed_up(aura, http)
    again = await signed_in(aura, http, str(member.email))
    async with AsyncExitStack() as stack:
        laptop, phone = [
            Phone(await stack.enter_async_context(device(client, over_socket=over_socket)))
            for client in (member, again)
        ]
        yield Two(member, phone, laptop)


async def test_a_guest_takes_their_profiles_along(
    aura: Aura, http: httpx.AsyncClient, over_socket: bool
) -> None:
    guest = await a_guest(aura, http)
    async with device(guest, over_socket=over_socket) as tried:
        phone = Phone(tried)
        phone.write(localId=1, name="Kim", analysis={"basics": {"age": 31}})
        phone.write(localId=2, name="Sam", messages=[said("Hi")])
        made = await phone.sync()
        assert [one["localId"] for one in made["accepted"]] == [1, 2]
        assert await wallet(tried) == (3, 0)
    member = await signed_up(aura, http)
    async with device(member, over_socket=over_socket) as laptop:
        assert await wallet(laptop) == (3, 0)
        merged = (await laptop.do(MERGE, token=guest.refresh_token))["merged"]
        # The same person gets the same three credits once.
        assert (merged["credits"], await wallet(laptop)) == (0, (3, 0))
    again = await signed_in(aura, http, str(member.email))
    async with device(again, over_socket=over_socket) as tried:
        # The phone is the member's now: its cursor was the guest's, and it begins anew.
        phone.device = tried
        codes, _ = await tried.refused(SYNC_ONLY, device=phone.device_id, since=phone.cursor)
        assert codes == ["CURSOR_EXPIRED"]
        phone.cursor = None
        seen = await phone.sync()
        assert {(one["localId"], one["name"]) for one in seen["changes"]} == {
            (1, "Kim"),
            (2, "Sam"),
        }
        assert [one["text"] for one in seen["messages"]] == ["Hi"]


SYNC_ONLY = """mutation($device: String!, $since: Cursor) {
  syncProfiles(input: {deviceId: $device, since: $since}) { errors { code } } }"""


async def test_edits_of_two_offline_devices_meet_under_every_strategy(two: Two) -> None:
    phone, laptop = two.phone, two.laptop
    laptop.ahead_milliseconds = 1000
    for strategy, holds, loser in (
        ("LAST_WRITE_WINS", "by the laptop", "SERVER"),
        ("SERVER_WINS", "by the phone", "CLIENT"),
        ("CLIENT_WINS", "by the laptop", "SERVER"),
        ("MANUAL", "by the phone", "CLIENT"),
    ):
        profile = await shared_profile(two, strategy)
        # Offline, both rename it, and the laptop notes something else beside that.
        phone.write(id=profile, name="by the phone")
        laptop.write(id=profile, name="by the laptop", analysis={"note": "second"})
        await phone.sync(strategy)
        # The answer is lost, so the same is sent again.
        await laptop.send(strategy)
        (conflict,) = (await laptop.sync(strategy))["conflicts"]
        assert (conflict["fieldGroup"], conflict["loser"]) == ("NAME", loser), strategy
        assert conflict["value"] == ("by the phone" if loser == "SERVER" else "by the laptop")
        assert conflict["status"] == ("OPEN" if strategy == "MANUAL" else "SETTLED")
        await agree(two)
        assert phone.names[profile] == laptop.names[profile] == holds, strategy
        # What lost comes back on both, if the user says so.
        resolved = await phone.device.do(RESOLVE, id=conflict["id"], keep="LOST")
        assert resolved["conflict"] == {"status": "RESOLVED", "kept": "LOST"}
        await agree(two)
        assert phone.names[profile] == laptop.names[profile] == conflict["value"]
    kept = await phone.device.get(CONFLICTS, "viewer.syncConflicts.nodes")
    assert len([one for one in kept if one["status"] == "RESOLVED"]) == 4


async def test_deletions_and_a_clock_that_is_an_hour_fast(two: Two) -> None:
    phone, laptop = two.phone, two.laptop
    profile = await shared_profile(two)
    phone.ahead_milliseconds = 3_600_000
    phone.write(id=profile, name="fast")
    await phone.sync()
    await laptop.sync()
    laptop.write(id=profile, name="later")
    await agree(two)
    assert phone.names[profile] == "later"
    laptop.write(id=profile, deleted=True)
    await laptop.sync()
    # A device that was away is told of the deletion, and its own copy does not come back.
    await phone.sync()
    assert profile not in phone.names
    await agree(two)
    assert profile not in laptop.names


async def test_chats_of_two_devices_are_merged_without_loss_or_doubles(two: Two) -> None:
    phone, laptop = two.phone, two.laptop
    profile = await shared_profile(two)
    phone.write(id=profile, messages=[said("p1"), said("p2", "ASSISTANT")])
    laptop.write(id=profile, messages=[said("l1")])
    await phone.send()
    await agree(two)
    laptop.write(id=profile, messages=[said("l2")])
    await laptop.send()
    await laptop.send()
    await agree(two)
    assert sorted(phone.said[profile]) == ["l1", "l2"]
    assert sorted(laptop.said[profile]) == ["p1", "p2"]
    (shown,) = await phone.device.get(PROFILES, "viewer.profiles.nodes")
    assert sorted(one["text"] for one in shown["chatMessages"]["nodes"]) == ["l1", "l2", "p1", "p2"]


async def test_the_other_device_sees_changes_as_they_are_made(two: Two) -> None:
    watched = await two.laptop.device.watch(WATCH_PROFILES)
    assert (await watched.next())["profile"] is None
    two.phone.write(localId=7, name="Kim")
    made = await two.phone.sync()
    item = await watched.next()
    profile = made["accepted"][0]["id"]
    assert item["profile"] == {"id": profile, "name": "Kim", "deviceId": two.phone.device_id}
    two.phone.write(id=profile, deleted=True)
    await two.phone.sync()
    assert (await watched.next())["deletedId"] == profile
    await two.phone.device.do(DESCRIBE)
    assert await two.laptop.device.get(ME, "viewer.userProfile") == {
        "zodiacSign": "Leo",
        "location": "Lisbon",
        "synthesis": {"meta": {"inputsUsed": ["photos"]}},
        "preferences": {"theme": "dark"},
    }


async def test_an_analysis_holds_a_credit_and_takes_it_when_it_is_done(
    aura: Aura, two: Two
) -> None:
    aura.claude.forget()
    profile = await shared_profile(two)
    key = str(uuid4())
    asked = await two.phone.device.do(ANALYZE, id=profile, key=key)
    assert asked == await two.phone.device.do(ANALYZE, id=profile, key=key)
    watched = await two.laptop.device.watch(WATCH_ANALYSIS, {"id": asked["analysis"]["id"]})
    done = await watched.until(status="SUCCEEDED")
    assert (done["creditsCharged"], done["madeOffline"]) == (1, False)
    assert done["result"]["overall_analysis"]["summary"] == "Friendly."
    assert await wallet(two.laptop.device) == (2, 0)
    # Both devices get it with their next sync, beside what was noted by hand.
    await agree(two)
    (shown,) = await two.laptop.device.get(PROFILES, "viewer.profiles.nodes")
    assert shown["analysis"]["note"] == "first"
    assert shown["analysis"]["basics"]["name"] == "Kim"


async def test_a_reply_that_is_cut_off_goes_on_and_is_paid_once(
    aura: Aura, two: Two, over_socket: bool
) -> None:
    aura.claude.forget()
    aura.claude.script = ["held"]
    profile, key = await shared_profile(two), str(uuid4())
    sent = (await two.phone.device.do(SEND, id=profile, key=key))["message"]
    written, cursor = "", None
    async with device(two.client, over_socket=over_socket) as tunnel:
        watched = await tunnel.watch(WATCH_REPLY, {"id": sent["id"]})
        while not written:
            item = await watched.next()
            written, cursor = item["delta"], item["cursor"]
        assert await wallet(two.phone.device) == (3, 2)
    # The line is gone, and the client does not know whether its message came through.
    assert (await two.phone.device.do(SEND, id=profile, key=key))["message"]["id"] == sent["id"]
    assert written == PIECES[0]
    aura.claude.go_on.set()
    watched = await two.phone.device.watch(WATCH_REPLY, {"id": sent["id"], "after": cursor})
    while True:
        item = await watched.next()
        written += item["delta"]
        if item["message"]["status"] == "SUCCEEDED":
            break
    assert (written, item["message"]["text"]) == (REPLY, REPLY)
    assert (item["message"]["creditsCharged"], len(aura.claude.asked)) == (1, 1)
    assert await wallet(two.phone.device) == (2, 0)
    # The other device has the whole chat, each message once.
    await agree(two)
    assert two.laptop.said[profile] == ["What do they like?", REPLY]


async def test_a_reply_that_fails_or_is_called_off_in_time_costs_nothing(
    aura: Aura, two: Two
) -> None:
    aura.claude.forget()
    profile, phone = await shared_profile(two), two.phone.device
    aura.claude.script = ["overloaded midway"]
    sent = (await phone.do(SEND, id=profile, key="1"))["message"]
    watched = await phone.watch(WATCH_REPLY, {"id": sent["id"]})
    failed = await watched.until(status="FAILED")
    assert (failed["error"], failed["creditsCharged"]) == ({"code": "PROVIDER_FAILED"}, 0)
    assert await wallet(phone) == (3, 0)
    aura.claude.script = ["never"]
    sent = (await phone.do(SEND, id=profile, key="2"))["message"]
    assert (await phone.do(CANCEL, id=sent["id"]))["message"]["status"] == "CANCELLED"
    await wallet_becomes(phone, 3)


async def test_switches_hold_for_everybody_at_once(
    aura: Aura, two: Two, http: httpx.AsyncClient, over_socket: bool
) -> None:
    admin = await an_admin(aura, http)
    phone = two.phone.device
    profile = await shared_profile(two)
    watched = await phone.watch(WATCH_SWITCHES)
    usual = {"syncEnabled": True, "creditsUnlimited": False, "aiEnabled": True, "readOnly": False}
    assert (await watched.next())["switches"] == usual

    async def turn(name: str, value: bool) -> dict[str, Any]:
        (payload,) = (await admin.ask(SET_SWITCH, {"name": name, "value": value})).values()
        assert payload["errors"] == []
        async with asyncio.timeout(5):
            switches: dict[str, Any] = (await watched.next())["switches"]
            return switches

    try:
        assert await turn("SYNC_ENABLED", False) == usual | {"syncEnabled": False}
        codes, _ = await phone.refused(SYNC_ONLY, device=two.phone.device_id, since=None)
        assert codes == ["SYNC_DISABLED"]
        await turn("SYNC_ENABLED", True)
        await turn("AI_ENABLED", False)
        codes, _ = await phone.refused(ANALYZE, id=profile, key="off")
        assert codes == ["AI_DISABLED"]
        await turn("AI_ENABLED", True)
        # What is used while it costs nothing is in the history all the same.
        await turn("CREDITS_UNLIMITED", True)
        spent = await phone.do(SPEND, key="free")
        assert spent["transaction"] == {"amount": 0, "used": 1}
        assert await wallet(phone) == (3, 0)
        await turn("CREDITS_UNLIMITED", False)
        await turn("READ_ONLY", True)
        assert await is_read_only(two.client)
        assert await wallet(phone) == (3, 0)
    finally:
        for name, value in (("READ_ONLY", False), ("SYNC_ENABLED", True), ("AI_ENABLED", True)):
            await admin.ask(SET_SWITCH, {"name": name, "value": value})
    assert (await phone.do(SPEND, key="paid"))["transaction"] == {"amount": -1, "used": 1}


async def an_admin(aura: Aura, http: httpx.AsyncClient) -> Client:
    """Somebody whom the operator made an admin."""
    if aura.admin_email is None:
        operator = await signed_up(aura, http)
        aura.admin_email = str(operator.email)
        await asyncio.to_thread(aura.command, "users", "promote", aura.admin_email)
    return await signed_in(aura, http, aura.admin_email)


async def is_read_only(client: Client) -> bool:
    """Whether a change is refused for maintenance."""
    errors = (await client.post(DESCRIBE)).json()["errors"]
    return [error["extensions"]["code"] for error in errors] == ["READ_ONLY"]


async def test_everything_can_be_taken_along(two: Two, http: httpx.AsyncClient) -> None:
    profile = await shared_profile(two)
    two.phone.write(id=profile, messages=[said("Hi")])
    await two.phone.sync()
    phone = two.phone.device
    await phone.do(DESCRIBE)
    await phone.do(EXPORT)
    async with asyncio.timeout(30):
        while (export := await phone.get(EXPORTS, "viewer.exports.nodes.0"))["status"] != "READY":
            assert export["status"] != "FAILED"
            await asyncio.sleep(0.1)
    with ZipFile(io.BytesIO((await http.get(export["url"])).content)) as archive:
        tables: dict[str, list[Any]] = {}
        for name in archive.namelist():
            if name.endswith(".json") and name != "manifest.json":
                tables |= json.loads(archive.read(name))
    assert [row["name"] for row in tables["profiles"]] == ["Kim"]
    assert [row["text"] for row in tables["chat_messages"]] == ["Hi"]
    assert [row["zodiac_sign"] for row in tables["user_profiles"]] == ["Leo"]
    assert tables["credit_transactions"][0]["type"] == "SIGNUP_BONUS"


async def test_the_packs_are_bought_and_given_back_through_stripe(
    aura: Aura, two: Two, http: httpx.AsyncClient
) -> None:
    phone, balance = two.phone.device, 3
    credits = await two.laptop.device.watch(WATCH_CREDITS)
    assert (await credits.next())["credits"]["balance"] == balance
    orders = []
    for count in (10, 50, 200):
        orders.append(await buys(aura, phone, http, count))
        balance += count
        assert await wallet(phone) == (balance, 0)
        assert await credits.until(balance=balance), "the other device sees it"
    portal = await phone.do(PORTAL)
    assert portal["url"].startswith("https://billing.stripe.test/")
    # A forged delivery buys nothing.
    forged = stripe_event("checkout.session.completed", {"id": "cs_test_1"})
    forged = replace(forged, body=forged.body + b" ")
    assert await delivered(aura, http, "stripe", forged) == 401
    admin = await an_admin(aura, http)
    refunded = (await admin.ask(REFUND, {"order": orders[0]}))["refundOrder"]
    assert refunded["errors"] == []
    await wallet_becomes(phone, balance - 10)
    history = await phone.get(HISTORY, "viewer")
    assert [one["status"] for one in history["orders"]["nodes"]] == ["PAID", "PAID", "REFUNDED"]
    types = [one["type"] for one in history["creditTransactions"]["nodes"]]
    assert types == ["CLAWBACK", "PURCHASE", "PURCHASE", "PURCHASE", "SIGNUP_BONUS"]


async def test_what_app_stores_sell_is_in_the_same_wallet(
    aura: Aura, two: Two, http: httpx.AsyncClient
) -> None:
    phone, user = two.phone.device, str(two.client.user_id)
    now = datetime.now(UTC)

    async def tell(kind: str, **given: Any) -> None:
        named = {"app_user_id": user, "original_app_user_id": user, "aliases": [user]}
        bought = {"purchased_at_ms": milliseconds(now), "currency": "USD"}
        sent = revenuecat_event(kind, **(named | bought | given))
        assert await delivered(aura, http, "revenuecat", sent) == 200

    starter = await aura.store_price("CREDITS", 10)
    once = {"product_id": starter, "transaction_id": str(uuid4()), "expiration_at_ms": None}
    once |= {"price_in_purchased_currency": 5.99, "original_transaction_id": once["transaction_id"]}
    for _ in range(2):
        await tell("NON_RENEWING_PURCHASE", **once)
    await wallet_becomes(phone, 13)
    # The store gives the money back.
    back = once | {"price_in_purchased_currency": -5.99}
    await tell("CANCELLATION", **back, cancel_reason="CUSTOMER_SUPPORT")
    await wallet_becomes(phone, 3)
    assert await phone.get(ENTITLEMENTS, "viewer.entitlements") == []

    first = str(uuid4())
    month = {
        "product_id": await aura.store_price("SUBSCRIPTION"),
        "transaction_id": first,
        "original_transaction_id": first,
        "entitlement_ids": ["pro"],
        "price_in_purchased_currency": 14.99,
        "expiration_at_ms": milliseconds(now + timedelta(days=30)),
        "event_timestamp_ms": milliseconds(now),
    }
    await tell("INITIAL_PURCHASE", **month)
    pro = {"name": "pro", "isActive": True, "willRenew": True, "store": "APP_STORE"}
    await entitlement_becomes(two.laptop.device, pro)
    later = {"event_timestamp_ms": milliseconds(now + timedelta(seconds=1))}
    await tell("CANCELLATION", **(month | later), cancel_reason="UNSUBSCRIBE")
    await entitlement_becomes(phone, pro | {"willRenew": False})


async def entitlement_becomes(phone: Device, wanted: dict[str, Any]) -> None:
    """Waits until that of the store is so."""
    async with asyncio.timeout(30):
        while wanted not in await phone.get(ENTITLEMENTS, "viewer.entitlements"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_both_sides_of_a_referral_are_rewarded_once(
    aura: Aura, two: Two, http: httpx.AsyncClient, over_socket: bool
) -> None:
    ada = two.phone.device
    code = await ada.get(REFERRALS, "viewer.referralCode")
    assert await ada.refused(REDEEM, code=code) == (["BAD_USER_INPUT"], {"errors": [BAD_CODE]})
    friend = await signed_up(aura, http, code)
    async with device(friend, over_socket=over_socket) as bob:
        await buys(aura, bob, http, 10)
        for _ in range(2):
            await due_now(aura, "reward_referrals")
            await wallet_becomes(bob, 3 + 10 + 3)
        await wallet_becomes(ada, 3 + 5)
    (referral,) = await ada.get(REFERRALS, "viewer.referrals.nodes")
    assert referral == {"status": "REWARDED", "credits": 5}


# Node starts for each file, and packages are compiled: that takes long on a busy machine.
@pytest.mark.timeout(400)
async def test_the_client_for_browsers_works_offline_and_agrees(
    aura: Aura, http: httpx.AsyncClient
) -> None:
    """Its own tests, in Node: examples/aura-sync."""
    if shutil.which("npm") is None or not (CLIENT / "node_modules").is_dir():
        pytest.skip("Node and its packages are needed: npm ci --prefix examples/aura-sync")
    aura.claude.forget()
    admin = await an_admin(aura, http)
    told = {"TALLYGRAPH": aura.server.url, "ADMIN_TOKEN": str(admin.token)}
    pipe, errors = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(
        "npm", "test", cwd=CLIENT, env=os.environ | told, stdout=pipe, stderr=errors
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
