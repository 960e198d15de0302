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

from ...jobs.helpers import delete_photo
from .conftest import LIMIT_BYTES, QUOTA_BYTES, FileServer, assert_refused, new_upload


async def test_a_photo_is_taken_cleaned_and_recorded(file_server: FileServer, photo: bytes) -> None:
    response = await file_server.put(photo)
    assert response.status_code == 201
    stored = await file_server.storage.get(file_server.upload_path)
    assert response.json()["upload"] == {
        "status": "READY",
        "contentType": "image/jpeg",
        "widthPixels": 240,
        "heightPixels": 320,
        "sizeBytes": len(stored),
    }
    assert b"anary" in photo
    assert b"anary" not in stored
    row = await file_server.row()
    assert (row["status"], row["width_pixels"], row["height_pixels"]) == ("READY", 240, 320)
    assert row["original_sha256"] == hashlib.sha256(photo).hexdigest()


@pytest.mark.parametrize(
    "data",
    [photos.several_pictures()[0], photos.bad_profiles()[0], photos.comments()[0]],
    ids=["second picture", "broken profile", "markup in a comment"],
)
async def test_what_a_photo_carries_beside_its_pixels_does_not_matter(
    file_server: FileServer, data: bytes
) -> None:
    response = await file_server.put(data)
    assert response.status_code == 201, response.text
    assert await file_server.status() == "READY"


async def test_a_second_photo_is_refused_and_the_first_stays(
    file_server: FileServer, photo: bytes
) -> None:
    await file_server.put(photo)
    stored = await file_server.storage.get(file_server.upload_path)
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    for again in (photo, other, b""):
        assert_refused(await file_server.put(again), 409, ErrorCode.BAD_USER_INPUT)
    assert await file_server.storage.get(file_server.upload_path) == stored
    assert (await file_server.row())["original_sha256"] == hashlib.sha256(photo).hexdigest()


async def test_of_two_photos_at_once_one_is_taken(file_server: FileServer, photo: bytes) -> None:
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    answers = await asyncio.gather(file_server.put(photo), file_server.put(other))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    taken = next(answer.json()["upload"] for answer in answers if answer.status_code == 201)
    assert len(await file_server.storage.get(file_server.upload_path)) == taken["sizeBytes"]
    row = await file_server.row()
    assert (row["width_pixels"], row["size_bytes"]) == (taken["widthPixels"], taken["sizeBytes"])


async def test_a_crash_between_storing_and_recording_is_mended_by_sending_again(
    file_server: FileServer, photo: bytes
) -> None:
    stored = inspect_image(photo, 40_000_000).data
    await file_server.storage.put(file_server.upload_path, stored)
    assert (await file_server.row())["status"] == "AWAITING"
    assert (await file_server.put(photo)).status_code == 201
    assert await file_server.status() == "READY"


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
    file_server: FileServer, photo: bytes, body: bytes, code: ErrorCode
) -> None:
    response = await file_server.put(body)
    assert_refused(response, 422, code)
    message = response.json()["errors"][0]["message"]
    row = await file_server.row()
    assert (row["status"], row["rejected_code"], row["rejected_message"]) == (
        "REJECTED",
        code,
        message,
    )
    await file_server.assert_nothing_stored()
    assert (await file_server.put(photo)).status_code == 201


async def test_a_declared_size_over_the_limit_is_refused_unread(file_server: FileServer) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x" * 1000

    headers = {"Content-Length": str(LIMIT_BYTES + 1)}
    response = await file_server.client.put(file_server.put_url(), content=body(), headers=headers)
    assert_refused(response, 413, ErrorCode.LIMIT_EXCEEDED)
    assert response.headers["connection"] == "close"
    assert read == 0
    assert await file_server.status() == "REJECTED"


async def test_an_undeclared_body_is_given_up_at_the_limit(file_server: FileServer) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    assert_refused(await file_server.put(body()), 413, ErrorCode.LIMIT_EXCEEDED)
    assert sent <= LIMIT_BYTES + 20_000
    await file_server.assert_nothing_stored()


@pytest.mark.parametrize("which", ["BYTE_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS"])
async def test_a_body_that_stalls_or_trickles_is_closed(
    file_server: FileServer, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(routes_module, which, 0.3)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\xff\xd8\xff"
            await asyncio.sleep(30 if which == "BYTE_TIMEOUT_SECONDS" else 0.02)

    started = time.perf_counter()
    response = await file_server.put(body())
    assert_refused(response, 408, ErrorCode.BAD_USER_INPUT)
    assert response.headers["connection"] == "close"
    assert time.perf_counter() - started < 2
    assert await file_server.status() == "AWAITING"


async def test_an_expired_upload_says_so(file_server: FileServer, photo: bytes) -> None:
    await file_server.set("expires_at = now() - interval '1 second'")
    assert_refused(await file_server.put(photo), 410, ErrorCode.UPLOAD_EXPIRED)
    assert await file_server.status() == "AWAITING"
    await file_server.assert_nothing_stored()


async def test_altered_foreign_and_deleted_look_the_same(
    file_server: FileServer, photo: bytes
) -> None:
    good, other_id = file_server.put_url(), uuid4()
    urls = [
        good.replace("signature=", "signature=A"),
        good.replace(str(file_server.upload_id), str(other_id)),
        good.partition("?")[0],
        file_server.links.sign_url("GET", file_server.upload_path, time.time() + 600),
        file_server.links.sign_url("PUT", file_server.upload_path, time.time() - 900),
        file_server.links.sign_url(
            "PUT", upload_path(file_server.user_id, other_id), time.time() + 600
        ),
        "http://api.test/files/..%2F..%2Fetc%2Fpasswd?method=PUT&expires=9999999999&signature=x",
        "http://api.test/files/",
    ]
    texts = set()
    for url in urls:
        response = await file_server.client.put(url, content=photo)
        assert_refused(response, 403, ErrorCode.FORBIDDEN)
        texts.add(response.text)
    assert len(texts) == 1
    assert await file_server.status() == "AWAITING"
    await file_server.assert_nothing_stored()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_a_photo_of_another_type_than_announced_is_refused(
    file_server: FileServer, kind: str
) -> None:
    photo = pictures.encoded(pictures.portrait(60, 80).picture, kind)
    response = await file_server.put(photo)
    assert_refused(response, 422, ErrorCode.INVALID_IMAGE)
    assert f"contentType image/{kind.lower()}" in response.json()["errors"][0]["message"]
    await file_server.assert_nothing_stored()


async def test_more_bytes_than_announced_are_refused(file_server: FileServer, photo: bytes) -> None:
    await file_server.set(f"declared_size_bytes = {len(photo) - 1}")
    response = await file_server.put(photo)
    assert_refused(response, 413, ErrorCode.LIMIT_EXCEEDED)
    assert f"{len(photo)} bytes" in response.json()["errors"][0]["message"]
    await file_server.assert_nothing_stored()
    assert await file_server.status() == "REJECTED"


async def test_a_photo_without_room_in_the_quota_is_refused_and_may_come_later(
    file_server: FileServer, database: Database, photo: bytes
) -> None:
    actor = Actor("authenticated", file_server.user_id)
    taken = await new_upload(
        database, actor, replace(file_server.files.uploads.limits, size_bytes=90_000)
    )
    await file_server.owner.execute(
        "update uploads set declared_size_bytes = $2 where id = $1", taken, QUOTA_BYTES - 100
    )
    assert_refused(await file_server.put(photo), 413, ErrorCode.QUOTA_EXCEEDED)
    await file_server.assert_nothing_stored()
    assert await file_server.status() == "AWAITING"
    await delete_photo(
        database, file_server.storage, Actor("authenticated", file_server.user_id), taken
    )
    assert (await file_server.put(photo)).status_code == 201


async def test_photos_that_come_at_once_do_not_pass_the_quota_together(
    file_server: FileServer, database: Database
) -> None:
    actor = Actor("authenticated", file_server.user_id)
    photo = pictures.as_jpeg(pictures.portrait(240, 320).picture, quality=40)
    await delete_photo(
        database,
        file_server.storage,
        Actor("authenticated", file_server.user_id),
        file_server.upload_id,
    )
    limits = replace(file_server.files.uploads.limits, size_bytes=len(photo))
    uploads = [await new_upload(database, actor, limits) for _ in range(6)]
    stored_bytes = len(inspect_image(photo, 40_000_000).data)
    await file_server.owner.execute(
        "update uploads set declared_size_bytes = $2 where id = $1",
        uploads[0],
        QUOTA_BYTES - 5 * len(photo) - 2 * (stored_bytes - len(photo)),
    )
    urls = [
        file_server.links.sign_url(
            "PUT", upload_path(file_server.user_id, upload_id), time.time() + 600
        )
        for upload_id in uploads[1:]
    ]
    answers = await asyncio.gather(*(file_server.client.put(url, content=photo) for url in urls))
    codes = sorted(answer.status_code for answer in answers)
    assert stored_bytes > len(photo)
    assert codes == [201, 201, 413, 413, 413]
    kept = await file_server.owner.fetchval(
        "select count(*) from uploads where user_id = $1 and status = 'READY'", file_server.user_id
    )
    assert kept == 2


async def test_a_photo_deleted_while_it_arrives_leaves_no_file(
    file_server: FileServer, database: Database, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Storage.create

    async def deleted_meanwhile(storage: Storage, *arguments: Any) -> bool:
        await delete_photo(
            database,
            file_server.storage,
            Actor("authenticated", file_server.user_id),
            file_server.upload_id,
        )
        return await create(storage, *arguments)

    monkeypatch.setattr(Storage, "create", deleted_meanwhile)
    assert_refused(await file_server.put(photo), 409, ErrorCode.BAD_USER_INPUT)
    await file_server.assert_nothing_stored()
