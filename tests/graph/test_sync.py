"""A sync keeps the last write of each field group, whoever sends it how often and in which order."""

from __future__ import annotations

import time
from typing import Any

import asyncpg
import pytest

from db.sync import operations

from ..conftest import MakeUser
from .conftest import Ask
from .syncing import Device, at

CHATS = "{ viewer { profiles { nodes { chatMessages { nodes { text } } } } } }"
CONFLICTS = "{ viewer { syncConflicts { nodes { id fieldGroup value status } } } }"
RESOLVE = """mutation($id: ID!, $keep: ConflictChoice!) {
  resolveConflict(input: {id: $id, keep: $keep}) { conflict { status } errors { code message } } }"""
PROFILES = "{ viewer { profiles { nodes { id name thumbnail analysis } } } }"


@pytest.fixture
async def devices(ask: Ask, make_user: MakeUser) -> tuple[Device, Device]:
    """A phone and a laptop of one user."""
    actor = await make_user()
    return Device(ask, actor, "phone"), Device(ask, actor, "laptop")


async def kept(device: Device) -> list[dict[str, Any]]:
    """The profiles as the server has them."""
    answer = await device.ask(PROFILES, actor=device.actor)
    found: list[dict[str, Any]] = answer["data"]["viewer"]["profiles"]["nodes"]
    return found


async def resolve(device: Device, conflict: str, keep: str = "LOST") -> str:
    """The status of a conflict after a choice."""
    given = {"id": conflict, "keep": keep}
    answer = await device.ask(RESOLVE, given, actor=device.actor)
    payload = answer["data"]["resolveConflict"]
    assert payload["errors"] == []
    status: str = payload["conflict"]["status"]
    return status


async def shared(phone: Device, laptop: Device) -> str:
    """A profile that both devices have; gives its id."""
    made = await phone.sync({"localId": 1, "clock": at(0), "name": "Ada", "analysis": {"a": 1}})
    await laptop.sync()
    found: str = made["accepted"][0]["id"]
    return found


async def test_a_new_profile_reaches_the_other_device(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await phone.sync({"localId": 7, "clock": at(0), "name": "Ada", "analysis": {"a": 1}})
    (accepted,) = made["accepted"]
    assert accepted == {"localId": 7, "id": accepted["id"], "clock": at(0)}
    assert (made["changes"], made["conflicts"], made["hasMore"]) == ([], [], False)
    (change,) = (await laptop.sync())["changes"]
    assert change["id"] == accepted["id"]
    assert (change["localId"], change["name"], change["analysis"]) == (None, "Ada", {"a": 1})
    assert (change["deleted"], change["deviceId"]) == (False, "phone")
    assert (await phone.sync())["changes"] == (await laptop.sync())["changes"] == []


async def test_sent_again_it_is_no_second_profile(devices: tuple[Device, Device]) -> None:
    phone, _ = devices
    change = {"localId": 1, "clock": at(0), "name": "Ada", "analysis": {}}
    first = await phone.send(change)
    again = await phone.send(change, change)
    assert {one["id"] for one in again["accepted"]} == {first["accepted"][0]["id"]}
    assert len(await kept(phone)) == 1


async def test_local_ids_are_each_devices_own(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    for device in devices:
        await device.sync({"localId": 1, "clock": at(0), "name": device.device_id})
    assert {one["name"] for one in await kept(phone)} == {"phone", "laptop"}
    (seen,) = (await laptop.send(since=None))["changes"][1:]
    assert (seen["localId"], seen["name"]) == (1, "laptop")


async def test_the_later_write_of_each_group_holds(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    lost = await phone.sync({"id": made, "clock": at(10), "name": "Bob", "analysis": {"b": 2}})
    (conflict,) = lost["conflicts"]
    assert conflict["value"] == "Bob"
    assert (conflict["fieldGroup"], conflict["loser"], conflict["status"]) == (
        "NAME",
        "CLIENT",
        "SETTLED",
    )
    (change,) = lost["changes"]
    assert (change["name"], change["analysis"]) == ("Eve", {"b": 2})
    (change,) = (await laptop.sync())["changes"]
    assert (change["name"], change["analysis"]) == ("Eve", {"b": 2})


async def test_a_write_that_wins_over_another_keeps_it(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(10), "name": "Eve"})
    won = await phone.sync({"id": made, "clock": at(20), "name": "Bob"})
    (conflict,) = won["conflicts"]
    assert (conflict["value"], conflict["loser"]) == ("Eve", "SERVER")
    assert [one["name"] for one in await kept(phone)] == ["Bob"]


@pytest.mark.parametrize(
    ("strategy", "clock", "name", "loser", "status"),
    [
        ("SERVER_WINS", at(30), "Eve", "CLIENT", "SETTLED"),
        ("CLIENT_WINS", at(10), "Bob", "SERVER", "SETTLED"),
        ("MANUAL", at(30), "Eve", "CLIENT", "OPEN"),
    ],
)
async def test_other_strategies_ask_no_clock(
    devices: tuple[Device, Device], strategy: str, clock: str, name: str, loser: str, status: str
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    met = await phone.send({"id": made, "clock": clock, "name": "Bob"}, strategy=strategy)
    (conflict,) = met["conflicts"]
    assert (conflict["loser"], conflict["status"]) == (loser, status)
    assert [one["name"] for one in await kept(phone)] == [name]
    again = await phone.send({"id": made, "clock": clock, "name": "Bob"}, strategy=strategy)
    assert again["conflicts"] == [conflict]


async def test_who_has_seen_a_write_is_later_whatever_the_clocks_say(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    ahead = f"{int((time.time() + 3_600) * 1_000)}:0"
    await phone.sync({"id": made, "clock": ahead, "name": "Eve"})
    await laptop.sync()
    done = await laptop.sync({"id": made, "clock": at(1), "name": "Bob"})
    assert done["conflicts"] == []
    (change,) = (await phone.sync())["changes"]
    assert change["name"] == "Bob"


async def test_a_phone_an_hour_fast_does_not_win_for_ever(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    ahead = {"id": made, "clock": f"{int((time.time() + 3_600) * 1_000)}:0", "name": "Eve"}
    await phone.send(ahead)
    later = f"{int((time.time() + 1) * 1_000)}:0"
    assert (await laptop.send({"id": made, "clock": later, "name": "Bob"}))["accepted"]
    await phone.send(ahead)
    assert [one["name"] for one in await kept(phone)] == ["Bob"]


async def test_a_deletion_reaches_the_other_device(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    deletion = {"id": made, "clock": at(10), "deleted": True}
    assert (await phone.sync(deletion))["conflicts"] == []
    (change,) = (await laptop.sync())["changes"]
    assert (change["id"], change["deleted"], change["name"]) == (made, True, None)
    assert (await phone.sync(deletion))["accepted"][0]["id"] == made
    assert await kept(phone) == []
    # Who begins anew needs no tombstones.
    assert (await laptop.send(since=None))["changes"] == []


async def test_a_deletion_and_an_edit_go_by_the_clocks(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.sync({"id": made, "clock": at(10), "deleted": True})
    back = await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    assert [one["deleted"] for one in back["changes"]] == []
    (only,) = await kept(phone)
    assert (only["id"], only["name"], only["analysis"]) == (made, "Eve", {"a": 1})
    (change,) = (await phone.sync())["changes"]
    assert (change["name"], change["deleted"]) == ("Eve", False)


async def test_an_edit_older_than_a_deletion_is_kept_as_lost(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.sync({"id": made, "clock": at(20), "deleted": True})
    lost = await laptop.sync({"id": made, "clock": at(10), "name": "Eve"})
    assert [one["value"] for one in lost["conflicts"]] == ["Eve"]
    assert [one["deleted"] for one in lost["changes"]] == [True]
    assert await kept(phone) == []


async def test_a_deletion_older_than_an_edit_loses(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    deletion = {"id": made, "clock": at(10), "deleted": True}
    lost = await phone.send(deletion)
    assert [one["fieldGroup"] for one in lost["conflicts"]] == ["DELETION"]
    assert [one["name"] for one in lost["changes"]] == ["Eve"]
    phone.cursor = lost["cursor"]
    again = await phone.send(deletion)
    assert again["conflicts"] == lost["conflicts"]
    assert [one["name"] for one in await kept(phone)] == ["Eve"]


async def test_what_other_mutations_change_is_the_servers(
    devices: tuple[Device, Device], owner: asyncpg.Connection
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    change = """mutation($id: ID!) { updateProfile(input: {id: $id, name: "Eve"}) {
        profile { name } } }"""
    await phone.ask(change, {"id": made}, actor=phone.actor)
    (change,) = (await phone.sync())["changes"]
    assert (change["name"], change["deviceId"]) == ("Eve", None)
    delete = "mutation($id: ID!) { deleteProfile(input: {id: $id}) { deletedId } }"
    await phone.ask(delete, {"id": made}, actor=phone.actor)
    assert [one["deleted"] for one in (await phone.sync())["changes"]] == [True]
    assert [one["deleted"] for one in (await laptop.sync())["changes"]] == [True]


async def test_an_older_write_of_the_same_device_changes_nothing(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    first = {"id": made, "clock": at(10), "name": "Bob"}
    await phone.send({"id": made, "clock": at(20), "name": "Eve"})
    late = await phone.send(first)
    assert (late["conflicts"], [one["id"] for one in late["accepted"]]) == ([], [made])
    assert [one["name"] for one in await kept(phone)] == ["Eve"]


async def test_an_unknown_profile_is_no_ones(
    devices: tuple[Device, Device], ask: Ask, make_user: MakeUser
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    stranger = Device(ask, await make_user(), "phone")
    refused = await stranger.send({"id": made, "clock": at(99), "name": "Mine", "localId": 1})
    assert [one["id"] for one in refused["accepted"]] == [None]
    assert refused["changes"] == await kept(stranger) == []
    assert [one["name"] for one in await kept(phone)] == ["Ada"]


async def test_a_cursor_of_another_user_or_of_the_future_is_refused(
    devices: tuple[Device, Device], ask: Ask, make_user: MakeUser
) -> None:
    phone, laptop = devices
    await shared(phone, laptop)
    stranger = Device(ask, await make_user(), "phone")
    assert phone.cursor
    life, position = phone.cursor.split("-")
    for device, since in ((stranger, phone.cursor), (phone, f"{life}-{int(position) + 1}")):
        refused = await device.send(since=since)
        assert [(one["code"], one["path"]) for one in refused["errors"]] == [
            ("CURSOR_EXPIRED", ["input", "since"])
        ]


def said(n: int, text: str) -> dict[str, Any]:
    """A message of the user's, said in a second of its own."""
    created = f"2026-01-01T00:00:{n:02}.000000Z"
    return {"id": f"m{n}", "role": "USER", "text": text, "createdAt": created}


async def texts(device: Device) -> list[str]:
    """All that was said, as the server has it."""
    answer = await device.ask(CHATS, actor=device.actor)
    (only,) = answer["data"]["viewer"]["profiles"]["nodes"]
    return [one["text"] for one in reversed(only["chatMessages"]["nodes"])]


async def test_chats_are_merged_by_message_and_time(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    for device, n in ((phone, 2), (laptop, 1)):
        change = {"id": made, "clock": at(n), "messages": [said(n, device.device_id)]}
        await device.send(change)
        await device.sync(change)
    assert await texts(phone) == ["laptop", "phone"]
    (heard,) = (await phone.sync())["messages"]
    assert (heard["clientId"], heard["text"], heard["profileId"]) == ("m1", "laptop", made)
    assert (await phone.sync())["messages"] == []


async def test_two_messages_of_one_id_are_both_kept(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.send({"id": made, "clock": at(1), "messages": [said(1, "hello from the phone")]})
    change = {"id": made, "clock": at(2), "messages": [said(1, "and from the laptop")]}
    (conflict,) = (await laptop.send(change))["conflicts"]
    assert (conflict["fieldGroup"], conflict["value"][0]["text"]) == ("CHAT", "and from the laptop")
    assert await texts(phone) == ["hello from the phone"]
    # What is sent again, as it was, or before it was whole, is no other message.
    await laptop.send(change)
    await laptop.send({"id": made, "clock": at(3), "messages": [said(1, "hello from")]})
    answer = await phone.ask(CONFLICTS, actor=phone.actor)
    assert len(answer["data"]["viewer"]["syncConflicts"]["nodes"]) == 1
    assert await resolve(laptop, conflict["id"]) == "RESOLVED"
    assert sorted(await texts(phone)) == ["and from the laptop", "hello from the phone"]


async def test_what_was_said_of_a_deleted_profile_comes_back_with_it(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(1), "messages": [said(1, "first")]})
    await phone.sync()
    await phone.sync({"id": made, "clock": at(20), "deleted": True})
    lost = await laptop.send({"id": made, "clock": at(10), "messages": [said(2, "late")]})
    (conflict,) = lost["conflicts"]
    assert (conflict["fieldGroup"], [one["text"] for one in conflict["value"]]) == (
        "CHAT",
        ["late"],
    )
    assert await resolve(laptop, conflict["id"]) == "RESOLVED"
    assert await resolve(laptop, conflict["id"]) == "RESOLVED"
    assert await texts(laptop) == ["first", "late"]
    assert [one["name"] for one in (await phone.sync())["changes"]] == ["Ada"]


async def test_what_lost_can_be_brought_back(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    (conflict,) = (await phone.sync({"id": made, "clock": at(10), "name": "Bob"}))["conflicts"]
    assert await resolve(phone, conflict["id"]) == "RESOLVED"
    assert [one["name"] for one in (await laptop.sync())["changes"]] == ["Bob"]
    answer = await phone.ask(CONFLICTS, actor=phone.actor)
    found = answer["data"]["viewer"]["syncConflicts"]["nodes"]
    assert [(one["value"], one["status"]) for one in found] == [
        ("Eve", "SETTLED"),
        ("Bob", "RESOLVED"),
    ]


async def test_a_profile_that_was_deleted_comes_back(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.sync({"id": made, "clock": at(10), "deleted": True})
    await laptop.sync()
    answer = await phone.ask(CONFLICTS, actor=phone.actor)
    (held,) = answer["data"]["viewer"]["syncConflicts"]["nodes"]
    assert (held["fieldGroup"], held["status"]) == ("PROFILE", "DELETED")
    assert await resolve(phone, held["id"]) == "RESOLVED"
    for device in devices:
        assert [(one["id"], one["name"]) for one in (await device.sync())["changes"]] == [
            (made, "Ada")
        ]


async def test_what_comes_back_is_its_own_devices_by_its_number(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    first = {"localId": 1, "clock": at(0), "name": "Ada"}
    edit = {"localId": 1, "clock": at(5), "name": "Eve"}
    made = (await phone.sync(first))["accepted"][0]["id"]
    await phone.sync(edit)
    await phone.sync({"localId": 1, "clock": at(10), "deleted": True})
    answer = await phone.ask(CONFLICTS, actor=phone.actor)
    (held,) = answer["data"]["viewer"]["syncConflicts"]["nodes"]
    await resolve(phone, held["id"])
    # What was sent before is known, whatever the strategy: no conflict, and nothing of it comes back.
    again = await phone.send(edit, since=None, strategy="CLIENT_WINS")
    assert again["conflicts"] == []
    for device, number in ((phone, 1), (laptop, None)):
        (told,) = (await device.sync())["changes"]
        assert (told["id"], told["localId"], told["name"]) == (made, number, "Eve")
    await phone.sync({"localId": 1, "clock": at(20), "name": "Zoe"})
    assert [(one["id"], one["name"]) for one in await kept(phone)] == [(made, "Zoe")]


async def test_a_choice_for_what_is_there_changes_nothing(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    met = await phone.sync({"id": made, "clock": at(30), "name": "Bob"}, strategy="MANUAL")
    (conflict,) = met["conflicts"]
    assert conflict["status"] == "OPEN"
    assert await resolve(phone, conflict["id"], "CURRENT") == "RESOLVED"
    assert [one["name"] for one in await kept(phone)] == ["Eve"]


async def test_pages_end_where_the_next_begin(
    devices: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, laptop = devices
    await phone.sync(
        *({"localId": n, "clock": at(n), "messages": [said(n, "hi")]} for n in range(5))
    )
    monkeypatch.setattr(operations, "PAGE_ROWS", 3)
    pages = [await laptop.sync() for _ in range(4)]
    assert [page["hasMore"] for page in pages] == [True, True, True, False]
    counts = [len(page["changes"]) + len(page["messages"]) for page in pages]
    assert counts == [3, 3, 3, 1]
    assert len({one["id"] for page in pages for one in page["changes"]}) == 5


async def test_who_begins_anew_is_told_of_their_own_writes_on_every_page(
    devices: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, _ = devices
    for n in range(4):
        await phone.sync({"localId": n, "clock": at(n), "messages": [said(n, "hi")]})
    monkeypatch.setattr(operations, "PAGE_ROWS", 3)
    phone.cursor, told = None, []
    while True:
        # What is written meanwhile is not told back.
        page = await phone.sync({"localId": 9, "clock": at(9 + len(told)), "name": "new"})
        told += [one["localId"] for one in page["changes"]]
        told += [one["clientId"] for one in page["messages"]]
        if not page["hasMore"]:
            break
    assert sorted(told, key=str) == [
        0,
        1,
        2,
        3,
        *(one["id"] for one in map(said, range(4), "hihi")),
    ]
    assert (await phone.sync())["changes"] == []


async def test_who_wrote_and_then_deleted_brings_nothing_back(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(10), "deleted": True})
    written = {"id": made, "clock": at(20), "name": "Eve", "messages": [said(1, "hi")]}
    since = phone.cursor
    await phone.sync(written, {"id": made, "clock": at(30), "deleted": True})
    # Nor when what was written comes once more, later.
    await phone.send(written, since=since)
    assert await kept(phone) == []
    assert (await laptop.sync())["changes"] == []
