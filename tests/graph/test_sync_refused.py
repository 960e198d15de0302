"""A sync takes what is good of it: the rest is refused by itself, and who loses is told what holds."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.sync import operations
from graph.engine.execution.engine import Engine
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .live.test_topics import Stream
from .syncing import START_MILLISECONDS, Device, at
from .test_sync import kept, said, shared

# Each attempt that fails within a transaction has taken a number of its own.
NEXT_TRANSACTION = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


@pytest.fixture
async def devices(ask: Ask, make_user: MakeUser) -> tuple[Device, Device]:
    """A phone and a laptop of one user."""
    actor = await make_user()
    return Device(ask, actor, "phone"), Device(ask, actor, "laptop")


async def test_a_bad_change_is_refused_alone(devices: tuple[Device, Device]) -> None:
    phone, _ = devices
    answer = await phone.sync(
        {"localId": 1, "clock": at(1), "name": "Ada"},
        {"clock": at(2), "name": "Bob"},
        {"localId": 3, "clock": "yesterday", "name": "x" * 256, "analysis": None},
        {"id": "profile_none", "clock": at(4), "since": "cursor"},
        {"localId": 5, "clock": "١:٠", "name": "Kim"},
        {"localId": 6, "clock": at(6), "messages": [said(1, "x"), said(2, "x" * 140_000)]},
        {"localId": 7, "clock": at(7), "name": "Eve"},
    )
    assert [one["localId"] for one in answer["accepted"]] == [1, 7]
    assert {one["name"] for one in await kept(phone)} == {"Ada", "Eve"}
    assert {
        (one["localId"], one["clock"], one["code"], ".".join(one["path"]))
        for one in answer["refused"]
    } == {
        (None, at(2), "BAD_USER_INPUT", "input.changes.1.localId"),
        (3, "yesterday", "BAD_USER_INPUT", "input.changes.2.clock"),
        (3, "yesterday", "BAD_USER_INPUT", "input.changes.2.name"),
        (3, "yesterday", "BAD_USER_INPUT", "input.changes.2.analysis"),
        (None, at(4), "BAD_USER_INPUT", "input.changes.3.since"),
        (None, at(4), "NOT_FOUND", "input.changes.3.id"),
        (5, "١:٠", "BAD_USER_INPUT", "input.changes.4.clock"),
        (6, at(6), "BAD_USER_INPUT", "input.changes.5.messages.1.text"),
    }
    assert all(one["message"] for one in answer["refused"])


async def test_what_exceeds_a_quota_is_refused_alone(
    devices: tuple[Device, Device], owner: asyncpg.Connection
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    plan = f"plan-{uuid4()}"
    await owner.execute("insert into plans values ($1, $1, 1, 1)", plan)
    await owner.execute("insert into quota_limits values ($1, 'profiles', 3, 1000000)", plan)
    await owner.execute("update users set plan_id = $2 where id = $1", phone.actor.user_id, plan)
    await owner.execute(
        "update quota_use set rows_allowed = 0 where user_id = $1", phone.actor.user_id
    )
    new = [{"localId": n, "clock": at(n), "name": f"n{n}"} for n in range(2, 7)]
    edit = {"id": made, "clock": at(10), "name": "Eve"}
    answer = await phone.sync(*new, edit)
    assert [one["localId"] for one in answer["accepted"]] == [2, 3, None]
    assert [(one["localId"], one["code"], one["path"][-1]) for one in answer["refused"]] == [
        (n, "QUOTA_EXCEEDED", str(n - 2)) for n in (4, 5, 6)
    ]
    assert {one["name"] for one in await kept(phone)} == {"Eve", "n2", "n3"}
    # What makes room goes first, wherever it stands.
    answer = await phone.sync(new[2], {"id": made, "clock": at(11), "deleted": True})
    assert [one["localId"] for one in answer["accepted"]] == [4, None]
    assert {one["name"] for one in await kept(phone)} == {"n2", "n3", "n4"}
    # Of a large one that is too much nothing is tried by itself; one profile may have several changes.
    begun = await owner.fetchval(NEXT_TRANSACTION)
    many = [{"localId": n // 2, "clock": at(20 + n), "name": f"n{n}"} for n in range(20, 268)]
    answer = await phone.sync(*many, {"localId": 4, "clock": at(300), "name": "Zoe"})
    assert [one["localId"] for one in answer["accepted"]] == [4]
    assert len(answer["refused"]) == len(many)
    assert {one["code"] for one in answer["refused"]} == {"QUOTA_EXCEEDED"}
    assert await owner.fetchval(NEXT_TRANSACTION) - begun < len(many) / 2
    assert {one["name"] for one in await kept(phone)} == {"n2", "n3", "Zoe"}


async def test_a_first_sync_beyond_a_quota_is_taken_as_far_as_there_is_room(
    devices: tuple[Device, Device], owner: asyncpg.Connection
) -> None:
    phone, _ = devices
    plan = f"plan-{uuid4()}"
    await owner.execute("insert into plans values ($1, $1, 1, 1)", plan)
    await owner.execute("insert into quota_limits values ($1, 'profiles', 3, 1000000)", plan)
    await owner.execute("update users set plan_id = $2 where id = $1", phone.actor.user_id, plan)
    answer = await phone.sync(*({"localId": n, "clock": at(n), "name": f"n{n}"} for n in range(5)))
    assert [one["localId"] for one in answer["accepted"]] == [0, 1, 2]
    assert [one["localId"] for one in answer["refused"]] == [3, 4]


async def test_who_loses_is_told_again_what_holds(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    since = phone.cursor
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    assert [one["name"] for one in (await phone.sync())["changes"]] == ["Eve"]
    # Made before the phone was told, and sent behind that: the laptop's is later.
    late = {"id": made, "clock": at(10), "name": "Bob", "since": since}
    for _ in range(2):
        answer = await phone.sync(late)
        assert [one["value"] for one in answer["conflicts"]] == ["Bob"]
        assert [one["name"] for one in answer["changes"]] == ["Eve"]
    assert (await phone.sync())["changes"] == []
    # A deletion that loses, an edit of what is gone, and one of before the last of its own.
    deletion = {"id": made, "clock": at(15), "deleted": True, "since": since}
    assert [one["name"] for one in (await phone.sync(deletion))["changes"]] == ["Eve"]
    await laptop.sync({"id": made, "clock": at(30), "deleted": True})
    await phone.sync()
    late = {"id": made, "clock": at(16), "name": "Bob", "since": since}
    assert [one["deleted"] for one in (await phone.sync(late))["changes"]] == [True]


async def test_what_is_told_again_comes_in_pages(
    devices: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, laptop = devices
    made = await phone.sync(
        *({"localId": n, "clock": at(n), "analysis": {"n": "x" * 200}} for n in range(4))
    )
    await laptop.sync()
    ids = [one["id"] for one in made["accepted"]]
    since = phone.cursor
    await laptop.sync(*({"id": one, "clock": at(20), "name": "Eve"} for one in ids))
    await phone.sync()
    monkeypatch.setattr(operations, "PAGE_BYTES", 300)
    waiting = [{"id": one, "clock": at(10), "name": "Bob", "since": since} for one in ids]
    told: list[str] = []
    while waiting:
        answer = await phone.sync(*waiting)
        accepted = {one["id"] for one in answer["accepted"]}
        assert 0 < len(accepted) <= 2
        assert {one["id"] for one in answer["changes"]} == accepted
        told += [one["name"] for one in answer["changes"]]
        waiting = [one for one in waiting if one["id"] not in accepted]
    assert told == ["Eve"] * 4


async def test_a_clock_that_is_put_back_loses_no_edit(devices: tuple[Device, Device]) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    fast = int((time.time() + 3_600) * 1_000)
    await phone.sync({"id": made, "clock": f"{fast}:0", "name": "fast"})
    right = {"id": made, "clock": at(1), "name": "right", "since": phone.cursor}
    assert (await phone.sync(right))["conflicts"] == []
    assert [one["name"] for one in await kept(phone)] == ["right"]
    # Neither that nor what was sent before comes back, however often it is repeated.
    await phone.send({"id": made, "clock": f"{fast}:0", "name": "fast", "since": right["since"]})
    await phone.send(right)
    assert [one["name"] for one in await kept(phone)] == ["right"]
    # While the first is still under way, both are sent together.
    both = [
        {"id": made, "clock": f"{fast}:1", "name": "fast again", "since": phone.cursor},
        {"id": made, "clock": at(2), "name": "right again", "since": phone.cursor},
    ]
    for sent in (both[:1], both, both):
        await phone.send(*sent)
    assert [one["name"] for one in await kept(phone)] == ["right again"]
    gone = {"id": made, "clock": at(3), "deleted": True, "since": (await phone.sync())["cursor"]}
    await phone.sync(gone)
    assert await kept(phone) == []


async def test_a_clock_that_is_put_back_goes_by_the_cursor_of_the_sync(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    fast = int((time.time() + 3_600) * 1_000)
    first = {"localId": 9, "clock": f"{fast}:0", "name": "fast"}
    await phone.sync(first)
    since = phone.cursor
    right = {"localId": 9, "clock": at(4), "name": "right"}
    for _ in range(2):
        assert (await phone.send(right))["conflicts"] == []
        assert [one["name"] for one in await kept(phone)] == ["right"]
    await phone.sync()
    # Neither the first sync nor the second brings anything back when it comes again.
    await phone.send(first, since=None)
    await phone.send(right, since=since)
    gone = {"localId": 9, "clock": at(3), "deleted": True}
    assert [one["name"] for one in await kept(phone)] == ["right"]
    await phone.sync(gone)
    assert await kept(phone) == []
    assert (await laptop.sync())["changes"] == []


async def test_what_a_device_without_a_cursor_wrote_by_a_clock_that_is_put_back_is_kept_as_lost(
    devices: tuple[Device, Device],
) -> None:
    phone, _ = devices
    await phone.sync({"localId": 9, "clock": at(9), "name": "fast", "analysis": {"a": 1}})
    right = {"localId": 9, "clock": at(4), "name": "right", "analysis": {"a": 1}}
    for _ in range(2):
        told = await phone.send(right, since=None)
        (conflict,) = told["conflicts"]
        assert (conflict["value"], conflict["loser"]) == ("right", "CLIENT")
        assert [one["name"] for one in told["changes"]] == ["fast"]
    # So is a deletion, until it is known.
    gone = await phone.send({"localId": 9, "clock": at(5), "deleted": True}, since=None)
    assert [one["fieldGroup"] for one in gone["conflicts"]] == ["DELETION"]
    await phone.sync({"localId": 9, "clock": at(10), "deleted": True})
    # What the device deleted later than it wrote is no conflict.
    assert (await phone.send(right, since=None))["conflicts"] == told["conflicts"]
    known = await phone.send({"localId": 9, "clock": at(6), "name": "old"}, since=None)
    assert (known["conflicts"], await kept(phone)) == ([], [])


async def test_what_a_clock_that_is_put_back_had_not_seen_is_kept_as_lost(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.sync({"id": made, "clock": at(100), "name": "fast"})
    since = phone.cursor
    await laptop.sync()
    await laptop.sync({"id": made, "clock": at(60), "name": "Eve"})
    # The clock is put right, and the phone goes on without a connection.
    right = {"id": made, "clock": at(50), "name": "right", "since": since}
    first = await phone.send(right)
    assert [(one["value"], one["loser"]) for one in first["conflicts"]] == [("right", "CLIENT")]
    # The answer was lost, and more was written meanwhile: all of it is kept, once.
    later = {"id": made, "clock": at(51), "name": "righter", "since": since}
    second = await phone.send(right, later)
    assert {one["value"] for one in second["conflicts"]} == {"right", "righter"}
    # What comes again is known, also from before the clock was put back.
    old = {"id": made, "clock": at(100), "name": "fast", "since": None}
    again = await phone.send(right, later, old)
    assert {one["value"] for one in again["conflicts"]} == {"right", "righter"}
    for change in (right, old):
        await phone.send(change)
    assert [one["name"] for one in await kept(phone)] == ["Eve"]
    # A deletion that had not seen it loses likewise; one that wins by its clock keeps what it met.
    gone = await phone.send({"id": made, "clock": at(52), "deleted": True, "since": since})
    assert [one["fieldGroup"] for one in gone["conflicts"]] == ["DELETION"]
    won = await phone.sync({"id": made, "clock": at(170), "name": "late", "since": since})
    assert [(one["value"], one["loser"]) for one in won["conflicts"]] == [("Eve", "SERVER")]
    assert [one["name"] for one in await kept(phone)] == ["late"]


async def test_who_edits_ahead_of_time_and_then_deletes_has_deleted(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    fast: dict[str, Any] = {"id": made, "clock": at(100), "name": "fast", "since": phone.cursor}
    gone: dict[str, Any] = {"id": made, "clock": at(50), "deleted": True, "since": phone.cursor}
    # What comes again brings nothing back.
    for sent in ((fast, gone), (fast,), (fast, gone)):
        await phone.send(*sent)
        assert await kept(phone) == []


async def test_times_that_cannot_be_are_the_clocks(
    devices: tuple[Device, Device], owner: asyncpg.Connection
) -> None:
    phone, _ = devices
    years = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2024-02-03T04:05:06Z")
    messages = [
        {"id": f"m{n}", "role": "USER", "text": "hi", "createdAt": year}
        for n, year in enumerate(years)
    ]
    for n, year in enumerate(years):
        await phone.sync({"localId": n, "clock": at(n), "createdAt": year, "messages": messages})
    found = await owner.fetch(
        "select p.origin_local_id as n, m.client_id, p.created_at as made, m.created_at"
        " from profiles p join chat_messages m on m.profile_id = p.id where p.user_id = $1",
        phone.actor.user_id,
    )
    for row in found:
        clock = START_MILLISECONDS / 1000 + row["n"]
        told = row["made"].timestamp(), row["created_at"].timestamp()
        real = 1_706_933_106
        assert told == (
            real if row["n"] == 2 else clock,
            real if row["client_id"] == "m2" else clock,
        )
    assert len(found) == 9


async def test_messages_of_another_device_are_told_live(
    devices: tuple[Device, Device], engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    text = "subscription { profilesChanged { profile { id name deviceId } } }"
    stream = Stream(engine, services, phone.actor, text)
    await stream.item()
    change = {"id": made, "clock": at(2), "messages": [said(1, "hi"), said(2, "there")]}
    for _ in range(2):
        await laptop.sync(change)
    # A message with an edit is told with that; and then the laptop says one thing more.
    await laptop.sync({"id": made, "clock": at(3), "name": "Eve", "messages": [said(3, "oh")]})
    await laptop.sync({"id": made, "clock": at(4), "messages": [said(4, "bye")]})
    items = [(await stream.item())[0]["profile"] for _ in range(3)]
    assert items == [
        {"id": made, "name": name, "deviceId": "laptop"} for name in ("Ada", "Eve", "Eve")
    ]
    await stream.close()
    told = await owner.fetch(
        "select array(select jsonb_object_keys(snapshot) order by 1) as keys from events"
        " where topic = 'profiles.changed' and user_id = $1",
        phone.actor.user_id,
    )
    assert len({tuple(row["keys"]) for row in told}) == 1, (
        "events of messages have no other columns"
    )


async def test_syncs_are_noted_once_in_an_hour(
    devices: tuple[Device, Device], owner: asyncpg.Connection
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await phone.sync({"id": made, "clock": at(1), "name": "Eve"})
    await laptop.sync({"id": made, "clock": at(2), "name": "Bob"})
    noted = await owner.fetch(
        "select subject, detail ->> 'status' as status from audit_log"
        " where user_id = $1 and action = 'sync' order by id",
        phone.actor.user_id,
    )
    assert [tuple(row) for row in noted] == [("phone", "success"), ("laptop", "success")]


@pytest.mark.parametrize("device_id", ["1", "a phone of Zoë's", "x" * 128, "", "x" * 129, "a\nb"])
async def test_an_id_of_a_device_is_one_in_syncs_as_in_referrals(
    devices: tuple[Device, Device], device_id: str
) -> None:
    phone, _ = devices
    payload = await phone.send({"localId": 1, "clock": at(1), "name": "Ada"}, deviceId=device_id)
    is_refused = [one["code"] for one in payload["errors"]] == ["BAD_USER_INPUT"]
    text = 'mutation($id: String!) { redeemReferralCode(input: {code: "none", deviceId: $id})'
    answer = await phone.ask(text + " { errors { path } } }", {"id": device_id}, actor=phone.actor)
    told = answer["data"]["redeemReferralCode"]["errors"]
    assert (["input", "deviceId"] in [one["path"] for one in told]) is is_refused
    assert is_refused is (not device_id or len(device_id) > 128 or "\n" in device_id)


async def test_of_two_changes_in_a_request_the_later_in_the_list_holds(
    devices: tuple[Device, Device],
) -> None:
    phone, _ = devices
    await phone.sync(
        {"localId": 1, "clock": at(9), "name": "before the clock was put back"},
        {"localId": 1, "clock": at(5), "name": "after"},
    )
    assert [one["name"] for one in await kept(phone)] == ["after"]
