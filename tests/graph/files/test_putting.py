"""A signed link takes one sound photo once and refuses all else by name."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.decoding import inspect_image
from db.files.storage import (
    Storage,
    upload_path,
)
from server import files as routes_module
from tests import photos, pictures

from .conftest import LIMIT_BYTES, QUOTA_BYTES, House, assert_refused, new_upload


async def test_a_photo_is_taken_cleaned_and_recorded(house: House, photo: bytes) -> None:
    response = await house.put(photo)
    assert response.status_code == 201
    stored = await house.storage.get(house.upload_path)
    assert response.json()["upload"] == {
        "status": "READY",
        "contentType": "image/jpeg",
        "widthPixels": 240,
        "heightPixels": 320,
        "sizeBytes": len(stored),
    }
    assert b"anary" in photo
    assert b"anary" not in stored
    row = await house.row()
    assert (row["status"], row["width_pixels"], row["height_pixels"]) == ("READY", 240, 320)
    assert row["original_sha256"] == hashlib.sha256(photo).hexdigest()


@pytest.mark.parametrize(
    "data",
    [photos.several_pictures()[0], photos.bad_profiles()[0], photos.comments()[0]],
    ids=["second picture", "broken profile", "markup in a comment"],
)
async def test_what_a_photo_carries_beside_its_pixels_does_not_matter(
    house: House, data: bytes
) -> None:
    response = await house.put(data)
    assert response.status_code == 201, response.text
    assert await house.status() == "READY"


async def test_a_second_photo_is_refused_and_the_first_stays(house: House, photo: bytes) -> None:
    await house.put(photo)
    stored = await house.storage.get(house.upload_path)
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    for again in (photo, other, b""):
        assert_refused(await house.put(again), 409, ErrorCode.BAD_USER_INPUT)
    assert await house.storage.get(house.upload_path) == stored
    assert (await house.row())["original_sha256"] == hashlib.sha256(photo).hexdigest()


async def test_of_two_photos_at_once_one_is_taken(house: House, photo: bytes) -> None:
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    answers = await asyncio.gather(house.put(photo), house.put(other))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    taken = next(answer.json()["upload"] for answer in answers if answer.status_code == 201)
    assert len(await house.storage.get(house.upload_path)) == taken["sizeBytes"]
    row = await house.row()
    assert (row["width_pixels"], row["size_bytes"]) == (taken["widthPixels"], taken["sizeBytes"])


async def test_a_crash_between_storing_and_recording_is_mended_by_sending_again(
    house: House, photo: bytes
) -> None:
    await house.put(photo)
    await house.set("status = 'AWAITING', size_bytes = null, path = ''")
    assert (await house.put(photo)).status_code == 201
    assert await house.status() == "READY"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", ErrorCode.EMPTY_FILE),
        (pictures.text_as_jpeg(), ErrorCode.INVALID_IMAGE),
        (pictures.svg(), ErrorCode.INVALID_IMAGE),
        (pictures.bomb_png(), ErrorCode.INVALID_IMAGE),
    ],
    ids=["empty", "text", "svg", "bomb"],
)
async def test_bad_bytes_are_refused_remembered_and_may_be_replaced(
    house: House, photo: bytes, body: bytes, code: ErrorCode
) -> None:
    response = await house.put(body)
    assert_refused(response, 422, code)
    message = response.json()["errors"][0]["message"]
    row = await house.row()
    assert (row["status"], row["rejected_code"], row["rejected_message"]) == (
        "REJECTED",
        code,
        message,
    )
    await house.assert_nothing_stored()
    assert (await house.put(photo)).status_code == 201


async def test_a_declared_size_over_the_limit_is_refused_unread(house: House) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x" * 1000

    headers = {"Content-Length": str(LIMIT_BYTES + 1)}
    response = await house.client.put(house.put_url(), content=body(), headers=headers)
    assert_refused(response, 413, ErrorCode.LIMIT_EXCEEDED)
    assert response.headers["connection"] == "close"
    assert read == 0
    assert await house.status() == "REJECTED"


async def test_an_undeclared_body_is_given_up_at_the_limit(house: House) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    assert_refused(await house.put(body()), 413, ErrorCode.LIMIT_EXCEEDED)
    assert sent <= LIMIT_BYTES + 20_000
    await house.assert_nothing_stored()


@pytest.mark.parametrize("which", ["BYTE_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS"])
async def test_a_body_that_stalls_or_trickles_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(routes_module, which, 0.3)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\xff\xd8\xff"
            await asyncio.sleep(30 if which == "BYTE_TIMEOUT_SECONDS" else 0.02)

    started = time.perf_counter()
    response = await house.put(body())
    assert_refused(response, 408, ErrorCode.BAD_USER_INPUT)
    assert response.headers["connection"] == "close"
    assert time.perf_counter() - started < 2
    assert await house.status() == "AWAITING"


async def test_an_expired_upload_says_so(house: House, photo: bytes) -> None:
    await house.set("expires_at = now() - interval '1 second'")
    assert_refused(await house.put(photo), 410, ErrorCode.UPLOAD_EXPIRED)
    assert await house.status() == "AWAITING"
    await house.assert_nothing_stored()


async def test_altered_foreign_and_deleted_look_the_same(house: House, photo: bytes) -> None:
    good, other_id = house.put_url(), uuid4()
    urls = [
        good.replace("signature=", "signature=A"),
        good.replace(str(house.upload_id), str(other_id)),
        good.partition("?")[0],
        house.links.sign_url("GET", house.upload_path, time.time() + 600),
        house.links.sign_url("PUT", house.upload_path, time.time() - 900),
        house.links.sign_url("PUT", upload_path(house.user_id, other_id), time.time() + 600),
        "http://api.test/files/..%2F..%2Fetc%2Fpasswd?method=PUT&expires=9999999999&signature=x",
        "http://api.test/files/",
    ]
    texts = set()
    for url in urls:
        response = await house.client.put(url, content=photo)
        assert_refused(response, 403, ErrorCode.FORBIDDEN)
        texts.add(response.text)
    assert len(texts) == 1
    assert await house.status() == "AWAITING"
    await house.assert_nothing_stored()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_a_photo_of_another_type_than_announced_is_refused(house: House, kind: str) -> None:
    photo = pictures.encoded(pictures.portrait(60, 80).picture, kind)
    response = await house.put(photo)
    assert_refused(response, 422, ErrorCode.INVALID_IMAGE)
    assert f"contentType image/{kind.lower()}" in response.json()["errors"][0]["message"]
    await house.assert_nothing_stored()


async def test_more_bytes_than_announced_are_refused(house: House, photo: bytes) -> None:
    await house.set(f"declared_size_bytes = {len(photo) - 1}")
    response = await house.put(photo)
    assert_refused(response, 413, ErrorCode.LIMIT_EXCEEDED)
    assert f"{len(photo)} bytes" in response.json()["errors"][0]["message"]
    await house.assert_nothing_stored()
    assert await house.status() == "REJECTED"


async def test_a_photo_without_room_in_the_quota_is_refused_and_may_come_later(
    house: House, database: Database, photo: bytes
) -> None:
    actor = Actor("authenticated", house.user_id)
    taken = await new_upload(
        database, actor, replace(house.files.uploads.limits, size_bytes=90_000)
    )
    await house.owner.execute(
        "update uploads set declared_size_bytes = $2 where id = $1", taken, QUOTA_BYTES - 100
    )
    assert_refused(await house.put(photo), 413, ErrorCode.QUOTA_EXCEEDED)
    await house.assert_nothing_stored()
    assert await house.status() == "AWAITING"
    await house.files.uploads.delete(actor, taken)
    assert (await house.put(photo)).status_code == 201


async def test_photos_that_come_at_once_do_not_pass_the_quota_together(
    house: House, database: Database
) -> None:
    actor = Actor("authenticated", house.user_id)
    photo = pictures.as_jpeg(pictures.portrait(240, 320).picture, quality=40)
    await house.files.uploads.delete(actor, house.upload_id)
    limits = replace(house.files.uploads.limits, size_bytes=len(photo))
    uploads = [await new_upload(database, actor, limits) for _ in range(6)]
    stored_bytes = len(inspect_image(photo, 40_000_000).data)
    await house.owner.execute(
        "update uploads set declared_size_bytes = $2 where id = $1",
        uploads[0],
        QUOTA_BYTES - 5 * len(photo) - 2 * (stored_bytes - len(photo)),
    )
    urls = [
        house.links.sign_url("PUT", upload_path(house.user_id, upload_id), time.time() + 600)
        for upload_id in uploads[1:]
    ]
    answers = await asyncio.gather(*(house.client.put(url, content=photo) for url in urls))
    codes = sorted(answer.status_code for answer in answers)
    assert stored_bytes > len(photo)
    assert codes == [201, 201, 413, 413, 413]
    kept = await house.owner.fetchval(
        "select count(*) from uploads where user_id = $1 and status = 'READY'", house.user_id
    )
    assert kept == 2


async def test_a_photo_deleted_while_it_arrives_leaves_no_file(
    house: House, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Storage.create

    async def deleted_meanwhile(storage: Storage, *arguments: Any) -> bool:
        await house.files.uploads.delete(Actor("authenticated", house.user_id), house.upload_id)
        return await create(storage, *arguments)

    monkeypatch.setattr(Storage, "create", deleted_meanwhile)
    assert_refused(await house.put(photo), 409, ErrorCode.BAD_USER_INPUT)
    await house.assert_nothing_stored()
