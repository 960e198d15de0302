"""Pictures of a sync lie in storage; one that is none is refused with its change, and no other."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from db.core.pool import Database
from db.files.storage import Storage, open_storage
from db.uploads.operations import known_files
from settings import Settings
from tests import photos, pictures

from ..conftest import MakeUser
from .conftest import Ask
from .syncing import Device, at
from .test_sync import CONFLICTS, RESOLVE, kept


def as_text(data: bytes) -> str:
    """A picture as clients send it."""
    return base64.b64encode(data).decode()


PICTURE = as_text(photos.jpeg())
OTHER = as_text(photos.png(pictures.portrait(60, 80).picture))
LINKS = "{ viewer { syncConflicts { nodes { fieldGroup value thumbnailUrl } } } }"


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """The files that there are."""
    return open_storage(settings)


@pytest.fixture
async def devices(ask: Ask, make_user: MakeUser) -> tuple[Device, Device]:
    """A phone and a laptop of one user."""
    actor = await make_user()
    return Device(ask, actor, "phone"), Device(ask, actor, "laptop")


def path_of(link: str) -> str:
    """Where a linked file lies."""
    return urlsplit(link).path.removeprefix("/files/")


async def test_the_other_device_gets_a_link_and_base64(
    devices: tuple[Device, Device], storage: Storage, database: Database
) -> None:
    phone, laptop = devices
    change = {"localId": 1, "clock": at(0), "thumbnail": PICTURE}
    await phone.sync(change)
    (seen,) = (await laptop.sync())["changes"]
    path = path_of(seen["thumbnailUrl"])
    stored = await storage.get(path)
    assert seen["thumbnail"] == f"data:image/jpeg;base64,{as_text(stored)}"
    assert await known_files(database, [path]) == {path}
    (again,) = (await Device(laptop.ask, laptop.actor, "tablet").sync())["changes"]
    assert path_of(again["thumbnailUrl"]) == path
    assert (await phone.send(change))["refused"] == []
    assert (await laptop.sync())["changes"] == []


async def test_who_asks_for_links_alone_has_no_file_read(
    devices: tuple[Device, Device], storage: Storage
) -> None:
    phone, laptop = devices
    await phone.sync({"localId": 1, "clock": at(0), "thumbnail": PICTURE})
    text = 'mutation { syncProfiles(input: {deviceId: "l"}) { changes { %s } errors { code } } }'
    for asked in ("thumbnailUrl", "thumbnail"):
        answer: Any = await laptop.ask(text % asked, actor=laptop.actor)
        (change,) = answer["data"]["syncProfiles"]["changes"]
        if asked == "thumbnailUrl":
            await storage.delete(path_of(change["thumbnailUrl"]))
    # What is gone is none.
    assert change == {"thumbnail": None}


async def test_a_bad_picture_is_refused_with_its_change_alone(
    devices: tuple[Device, Device],
) -> None:
    phone, laptop = devices
    payload = await phone.sync(
        {"localId": 1, "clock": at(0), "name": "Ada", "thumbnail": "aGk="},
        {"localId": 2, "clock": at(1), "name": "Eve", "thumbnail": PICTURE},
        {"localId": 3, "clock": at(2), "name": "Bob", "thumbnail": "no base64!"},
        {"localId": 4, "clock": at(3), "name": "Kim", "thumbnail": "A" * 600_000},
    )
    refused = [(one["localId"], one["clock"], one["code"]) for one in payload["refused"]]
    assert refused == [
        (1, at(0), "INVALID_IMAGE"),
        (3, at(2), "BAD_USER_INPUT"),
        (4, at(3), "BAD_USER_INPUT"),
    ]
    assert payload["refused"][1]["message"] == "thumbnail must be base64."
    assert [one["localId"] for one in payload["accepted"]] == [2]
    assert [one["name"] for one in await kept(phone)] == ["Eve"]
    fixed = await phone.sync({"localId": 1, "clock": at(0), "name": "Ada"})
    assert (fixed["refused"], len(fixed["accepted"])) == ([], 1)
    assert {one["name"] for one in (await laptop.sync())["changes"]} == {"Ada", "Eve"}


async def test_pictures_whose_processes_end_are_refused(
    devices: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both in one child first, then each in one of its own.
    monkeypatch.setattr("db.files.images.CHILD_CPU_SECONDS", 0)
    phone, _ = devices
    payload = await phone.send(
        {"localId": 1, "clock": at(0), "thumbnail": PICTURE},
        {"localId": 2, "clock": at(1), "name": "Eve"},
        {"localId": 3, "clock": at(2), "thumbnail": OTHER},
    )
    assert [one["localId"] for one in payload["refused"]] == [1, 3]
    assert [one["localId"] for one in payload["accepted"]] == [2]


@pytest.mark.parametrize("nothing", [None, ""])
async def test_nothing_in_the_place_of_a_picture_takes_it_away(
    devices: tuple[Device, Device], nothing: str | None
) -> None:
    phone, laptop = devices
    await phone.sync({"localId": 1, "clock": at(0), "thumbnail": PICTURE})
    taken = await phone.sync({"localId": 1, "clock": at(1), "thumbnail": nothing})
    assert [one["localId"] for one in taken["accepted"]] == [1]
    assert [one["thumbnailUrl"] for one in (await laptop.sync())["changes"]] == [None]


async def test_a_picture_that_loses_is_kept_and_comes_back(
    devices: tuple[Device, Device], owner: asyncpg.Connection, database: Database
) -> None:
    phone, laptop = devices
    made = await phone.sync({"localId": 1, "clock": at(0), "thumbnail": PICTURE})
    wanted = made["accepted"][0]["id"]
    await laptop.sync()
    await laptop.sync({"id": wanted, "clock": at(20), "thumbnail": OTHER})
    lost = await phone.sync({"id": wanted, "clock": at(30), "thumbnail": None})
    (conflict,) = lost["conflicts"]
    assert (conflict["fieldGroup"], conflict["loser"]) == ("THUMBNAIL", "SERVER")
    path = path_of(conflict["thumbnailUrl"])
    assert conflict["value"] == path
    assert await known_files(database, [path]) == {path}
    (shown,) = (await phone.ask(LINKS, actor=phone.actor))["data"]["viewer"]["syncConflicts"][
        "nodes"
    ]
    assert path_of(shown["thumbnailUrl"]) == path
    await phone.ask(RESOLVE, {"id": conflict["id"], "keep": "LOST"}, actor=phone.actor)
    (back,) = (await phone.sync())["changes"]
    assert path_of(back["thumbnailUrl"]) == path


async def test_a_deleted_profile_comes_back_with_its_picture(
    devices: tuple[Device, Device], database: Database
) -> None:
    phone, laptop = devices
    made = await phone.sync({"localId": 1, "clock": at(0), "thumbnail": PICTURE})
    wanted = made["accepted"][0]["id"]
    (seen,) = (await laptop.sync())["changes"]
    path = path_of(seen["thumbnailUrl"])
    await laptop.sync({"id": wanted, "clock": at(10), "deleted": True})
    assert await known_files(database, [path]) == {path}
    nodes = (await phone.ask(CONFLICTS, actor=phone.actor))["data"]["viewer"]["syncConflicts"][
        "nodes"
    ]
    await phone.ask(RESOLVE, {"id": nodes[0]["id"], "keep": "LOST"}, actor=phone.actor)
    back = (await laptop.sync())["changes"]
    assert [path_of(one["thumbnailUrl"]) for one in back] == [path]
