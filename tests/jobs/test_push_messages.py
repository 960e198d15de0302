"""What a device is shown of a notification, for each platform, within what its provider takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from db.push.operations import BegunPush
from db.push.tables import DevicePlatform, PushProvider
from jobs.pushing import apns, fcm
from jobs.pushing.messages import message_of
from jobs.pushing.payloads import LIMIT_BYTES, fitted

NOTIFICATION = UUID("0191d2a4-0000-7000-8000-000000000001")


def begun(platform: str = "IOS", **given: Any) -> BegunPush:
    """An attempt with texts that the server has."""
    values: dict[str, Any] = {
        "title": "Done: {tool}",
        "message": "{count} of {total}, {missing}",
        "parameters": {"tool": "Hair", "count": 3, "total": 4.5, "list": [1]},
        "data": {"count": 3},
        "type": "GENERAL",
        "unread": 7,
    }
    return BegunPush(
        delivery_id=uuid4(),
        attempt=1,
        provider=PushProvider.FCM,
        platform=DevicePlatform(platform),
        token_hash=b"",
        sealed_token=b"",
        notification_id=NOTIFICATION,
        title_key="notifications.done.title",
        message_key="notifications.done.message",
        created_at=datetime.now(UTC),
        **{**values, **given},
    )


def as_apns(push: BegunPush) -> dict[str, Any]:
    return fitted(message_of(push), apns.payload)


def as_fcm(push: BegunPush) -> dict[str, Any]:
    return fitted(message_of(push), fcm.payload)


DATA = {
    "notificationId": f"notification_{NOTIFICATION}",
    "type": "GENERAL",
    "titleKey": "notifications.done.title",
    "messageKey": "notifications.done.message",
    "data": '{"count":3}',
}
UNTRANSLATED: dict[str, Any] = {
    "title": "notifications.done.title",
    "message": "notifications.done.message",
    "parameters": {"b": "two", "a": 1, "c": {}},
    "data": {"b": "two", "a": 1, "c": {}},
}


def test_an_iphone_is_shown_texts_badge_and_data() -> None:
    assert as_apns(begun()) == {
        "aps": {
            "alert": {"title": "Done: Hair", "body": "3 of 4.5, {missing}"},
            "badge": 7,
            "sound": "default",
            "thread-id": "GENERAL",
        },
        **DATA,
    }


def test_an_iphone_is_given_keys_where_the_server_has_no_text() -> None:
    assert as_apns(begun(**UNTRANSLATED))["aps"]["alert"] == {
        "title": "notifications.done.title",
        "title-loc-key": "notifications.done.title",
        "title-loc-args": ["1", "two"],
        "body": "notifications.done.message",
        "loc-key": "notifications.done.message",
        "loc-args": ["1", "two"],
    }


def test_an_android_is_shown_a_tag_that_replaces_copies() -> None:
    made = as_fcm(begun("ANDROID"))
    assert made.keys() == {"notification", "data", "android"}
    assert made["notification"] == {"title": "Done: Hair", "body": "3 of 4.5, {missing}"}
    assert made["data"] == DATA
    assert made["android"]["priority"] == "HIGH"
    assert made["android"]["notification"] == {
        "tag": str(NOTIFICATION),
        "notification_count": 7,
    }
    assert 259_190 <= int(made["android"]["ttl"].removesuffix("s")) <= 259_200


def test_an_android_is_given_keys_in_place_of_texts() -> None:
    made = as_fcm(begun("ANDROID", **UNTRANSLATED))
    assert made["notification"] == {}
    assert made["android"]["notification"]["title_loc_key"] == "notifications_done_title"
    assert made["android"]["notification"]["body_loc_args"] == ["1", "two"]
    # What can be no name of a string is a text that somebody wrote in place of a key.
    made = as_fcm(begun("ANDROID", title="Hello, you", message="m"))
    assert made["notification"]["title"] == "Hello, you"


def test_a_browser_is_given_a_topic_of_thirty_two_characters() -> None:
    made = as_fcm(begun("WEB", type="OFFER"))
    assert made["webpush"]["headers"]["Topic"] == NOTIFICATION.hex
    assert made["webpush"]["headers"]["Urgency"] == "normal"
    assert made["webpush"]["notification"] == {"tag": str(NOTIFICATION)}


def test_an_iphone_that_uses_firebase_is_given_what_apple_takes() -> None:
    made = as_fcm(begun())["apns"]
    assert made["headers"]["apns-collapse-id"] == str(NOTIFICATION)
    assert made["headers"]["apns-priority"] == "10"
    assert made["payload"]["aps"] == {"badge": 7, "sound": "default", "thread-id": "GENERAL"}


@pytest.mark.parametrize("platform", ["IOS", "ANDROID", "WEB"])
@pytest.mark.parametrize(
    "given",
    [
        {"data": {"x": "y" * 4000}},
        {"message": "é" * 2000},
        {"message": '"' * 2000, "title": "\\" * 300},
        {"message": "👩‍👩‍👧" * 900, "data": {"x": "y" * 4000}},
        {"title": "\x01" * 255, "message": "\x01" * 2000},
        {**UNTRANSLATED, "data": {"x": "z" * 4000}, "parameters": {"x": "z" * 4000}},
        {
            "title": "{x}", "message": "{x} {x}",
            "data": {"x": "\x02" * 600}, "parameters": {"x": "\x02" * 600},
        },
    ],
    ids=["data", "letters", "escapes", "emoji", "controls", "arguments", "values"],
)  # fmt: skip
def test_what_is_too_long_is_cut_to_four_kilobytes(platform: str, given: dict[str, Any]) -> None:
    for made in (as_apns(begun(platform, **given)), as_fcm(begun(platform, **given))):
        assert len(orjson.dumps(made)) <= LIMIT_BYTES
        shown = made.get("notification") or made.get("aps", {}).get("alert") or made["android"]
        assert shown


def test_nothing_is_cut_that_fits() -> None:
    made = as_apns(begun(message="é" * 900))
    assert made["aps"]["alert"]["body"] == "é" * 900
    assert made["data"] == DATA["data"]
