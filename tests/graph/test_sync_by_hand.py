"""Strategy MANUAL: what conflicts stays open until somebody chooses, once, whatever has become of the profile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..conftest import MakeUser
from .conftest import Ask
from .syncing import Device, at
from .test_sync import RESOLVE, kept, resolve, shared

OPEN = """{ viewer { syncConflicts(where: {status: {eq: OPEN}}) { nodes {
  id fieldGroup value kept profileId } } } }"""
ALL = "{ viewer { syncConflicts { nodes { id fieldGroup value status kept profileId } } } }"


@pytest.fixture
async def devices(ask: Ask, make_user: MakeUser) -> tuple[Device, Device]:
    """A phone and a laptop of one user."""
    actor = await make_user()
    return Device(ask, actor, "phone"), Device(ask, actor, "laptop")


async def conflicts(device: Device, document: str = OPEN) -> list[dict[str, Any]]:
    answer = await device.ask(document, actor=device.actor)
    found: list[dict[str, Any]] = answer["data"]["viewer"]["syncConflicts"]["nodes"]
    return found


async def disputed(phone: Device, laptop: Device) -> tuple[str, str]:
    """A profile of which the laptop wrote a name that the phone had not seen, and their conflict."""
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    await phone.sync({"id": made, "clock": at(30), "name": "Bob"}, strategy="MANUAL")
    (conflict,) = await conflicts(laptop)
    assert (conflict["value"], conflict["profileId"]) == ("Bob", made)
    return made, conflict["id"]


async def test_of_two_devices_that_choose_at_once_one_does(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    _, conflict = await disputed(phone, laptop)
    statuses = await asyncio.gather(
        resolve(phone, conflict, "LOST"), resolve(laptop, conflict, "CURRENT")
    )
    assert statuses == ["RESOLVED", "RESOLVED"]
    assert await conflicts(phone) == []
    (one,) = [each for each in await conflicts(phone, ALL) if each["id"] == conflict]
    expected = {"LOST": "Bob", "CURRENT": "Eve"}[one["kept"]]
    # A second thought changes nothing more.
    for choice in ("LOST", "CURRENT"):
        assert await resolve(laptop, conflict, choice) == "RESOLVED"
    assert [profile["name"] for profile in await kept(phone)] == [expected]


@pytest.mark.parametrize(("keep", "names"), [("LOST", ["Bob"]), ("CURRENT", [])])
async def test_what_conflicts_about_a_deleted_profile_can_still_be_chosen(
    devices: tuple[Device, Device], keep: str, names: list[str]
) -> None:
    phone, laptop = devices
    made, conflict = await disputed(phone, laptop)
    await laptop.sync({"id": made, "clock": at(60), "deleted": True})
    assert [each["id"] for each in await conflicts(phone)] == [conflict]
    assert await resolve(phone, conflict, keep) == "RESOLVED"
    assert [profile["name"] for profile in await kept(phone)] == names
    # All that gave way on the way is still there, the other name as well.
    values = [each["value"] for each in await conflicts(phone, ALL)]
    assert any("Eve" in str(value) for value in values)


async def test_a_deletion_that_lost_is_made_when_it_is_chosen_and_can_be_taken_back(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    made = await shared(phone, laptop)
    await laptop.sync({"id": made, "clock": at(20), "name": "Eve"})
    await phone.sync({"id": made, "clock": at(30), "deleted": True}, strategy="MANUAL")
    (conflict,) = await conflicts(phone)
    assert conflict["fieldGroup"] == "DELETION"
    assert [profile["name"] for profile in await kept(phone)] == ["Eve"]
    assert await resolve(phone, conflict["id"]) == "RESOLVED"
    assert await kept(phone) == []
    assert [one["deleted"] for one in (await laptop.sync())["changes"]] == [True]
    (held,) = [each for each in await conflicts(laptop, ALL) if each["fieldGroup"] == "PROFILE"]
    assert await resolve(laptop, held["id"]) == "RESOLVED"
    assert [(p["id"], p["name"]) for p in await kept(laptop)] == [(made, "Eve")]


async def test_a_conflict_is_its_owners_alone(
    devices: tuple[Device, Device], make_user: MakeUser
) -> None:
    _, conflict = await disputed(*devices)
    given = {"id": conflict, "keep": "LOST"}
    answer = await devices[0].ask(RESOLVE, given, actor=await make_user())
    assert [one["code"] for one in answer["data"]["resolveConflict"]["errors"]] == ["NOT_FOUND"]
    assert [each["id"] for each in await conflicts(devices[0])] == [conflict]
