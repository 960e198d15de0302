"""A device that was away for longer than deletions are told begins anew, and revives nothing."""

from __future__ import annotations

import asyncpg
import pytest

from db.core.pool import Database
from db.core.retention import purge

from ..conftest import MakeUser
from .conftest import Ask
from .syncing import Device, at
from .test_sync import kept, shared


@pytest.fixture
async def devices(ask: Ask, make_user: MakeUser) -> tuple[Device, Device]:
    """A phone that goes away, and a laptop."""
    actor = await make_user()
    return Device(ask, actor, "phone"), Device(ask, actor, "laptop")


async def forget(owner: asyncpg.Connection, database: Database, device: Device, days: int) -> None:
    """So many days pass for the user's deletions, and the nightly purge comes."""
    await owner.execute(
        "update profile_tombstones set deleted_at = now() - make_interval(days => $2)"
        " where user_id = $1",
        device.actor.user_id,
        days,
    )
    async for _ in purge(database):
        pass


async def test_it_is_told_to_begin_anew_and_revives_nothing(
    devices: tuple[Device, Device], owner: asyncpg.Connection, database: Database
) -> None:
    phone, laptop = devices
    gone = await shared(phone, laptop)
    left = (await phone.sync({"localId": 2, "clock": at(1), "name": "Bob"}))["accepted"][0]["id"]
    await laptop.sync()
    await laptop.sync({"id": gone, "clock": at(10), "deleted": True})
    await forget(owner, database, laptop, 91)
    message = {"id": "m1", "role": "USER", "text": "Still there?"}
    edits = (
        {"id": gone, "localId": 1, "clock": at(20), "name": "Eve", "messages": [message]},
        {"id": left, "clock": at(21), "name": "Kim"},
    )
    refused = await phone.send(*edits)
    assert [one["code"] for one in refused["errors"]] == ["CURSOR_EXPIRED"]
    assert [one["name"] for one in await kept(phone)] == ["Bob"]
    # What it did offline is sent again, without a cursor: what is there takes it.
    phone.cursor = None
    anew = await phone.sync(*edits)
    assert [(one["id"], one["clock"]) for one in anew["accepted"]] == [
        (None, at(20)),
        (left, at(21)),
    ]
    assert anew["messages"] == []
    assert [(one["id"], one["name"]) for one in await kept(phone)] == [(left, "Kim")]
    (told,) = (await laptop.sync())["changes"]
    assert (told["id"], told["name"]) == (left, "Kim")
    assert (await phone.sync())["changes"] == (await laptop.sync())["changes"] == []


async def test_one_that_has_seen_the_deletion_goes_on(
    devices: tuple[Device, Device], owner: asyncpg.Connection, database: Database
) -> None:
    phone, laptop = devices
    gone = await shared(phone, laptop)
    await laptop.sync({"id": gone, "clock": at(10), "deleted": True})
    assert [one["deleted"] for one in (await phone.sync())["changes"]] == [True]
    await forget(owner, database, laptop, 91)
    assert (await phone.sync())["changes"] == []


async def test_deletions_of_the_last_days_are_told(
    devices: tuple[Device, Device], owner: asyncpg.Connection, database: Database
) -> None:
    phone, laptop = devices
    gone = await shared(phone, laptop)
    await laptop.sync({"id": gone, "clock": at(10), "deleted": True})
    await forget(owner, database, laptop, 89)
    (told,) = (await phone.sync())["changes"]
    assert (told["id"], told["deleted"]) == (gone, True)
