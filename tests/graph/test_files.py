"""A signed link takes one sound photo once, refuses all else by name, and gives pictures safely."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette

from db.actor import Actor
from db.errors import ErrorCode
from db.images import ImageWorker, inspect_image
from db.links import LinkSigner, open_links
from db.pool import Database
from db.storage import (
    WIDTHS_PIXELS,
    Storage,
    generation_path,
    open_storage,
    upload_path,
    width_path,
)
from db.uploads.operations import UploadLimits, create_upload
from db.uploads.receiving import UploadReceiver
from db.widths import SmallerPictures
from graph import files as routes_module
from graph.files import Files, routes
from graph.uploads import ImageWidth
from settings import Settings
from tests import pictures

from ..conftest import MakeUser

LIMIT_BYTES = 200_000
QUOTA_BYTES = 300_000
LATER = datetime.now(UTC) + timedelta(days=1)


@dataclass
class House:
    """The routes with all that they work with, and an upload that waits for its photo."""

    client: httpx.AsyncClient
    files: Files
    storage: Storage
    owner: asyncpg.Connection
    user_id: UUID
    upload_id: UUID

    @property
    def links(self) -> LinkSigner:
        return self.files.links.signer

    @property
    def upload_path(self) -> str:
        return upload_path(self.user_id, self.upload_id)

    @property
    def result_path(self) -> str:
        return generation_path(self.user_id, self.upload_id, "image/jpeg")

    def put_url(self) -> str:
        return self.links.sign_url("PUT", self.upload_path, time.time() + 600)

    async def put(self, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        return await self.client.put(self.put_url(), content=content)

    async def row(self) -> asyncpg.Record:
        return await self.owner.fetchrow("select * from uploads where id = $1", self.upload_id)

    async def status(self) -> str:
        return str((await self.row())["status"])

    async def set(self, assignment: str) -> None:
        await self.owner.execute(f"update uploads set {assignment} where id = $1", self.upload_id)

    async def assert_nothing_stored(self) -> None:
        assert not await self.storage.exists(self.upload_path)


async def new_upload(
    database: Database, actor: Actor, limits: UploadLimits, content_type: str = "image/jpeg"
) -> UUID:
    async with database.transaction(actor) as transaction:
        return await create_upload(transaction, content_type, limits.size_bytes, limits)


@pytest.fixture
async def house(
    tmp_path: Path, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[House]:
    settings = Settings(
        data_directory=tmp_path,
        public_url="http://api.test",
        upload_limit_bytes=LIMIT_BYTES,
        upload_quota_bytes=QUOTA_BYTES,
    )
    async with house_of(settings, database, await make_user(), owner) as made:
        yield made


@asynccontextmanager
async def house_of(
    settings: Settings, database: Database, actor: Actor, owner: asyncpg.Connection
) -> AsyncIterator[House]:
    storage, images = open_storage(settings), ImageWorker(40_000_000)
    limits = UploadLimits.of(settings)
    files = Files(
        storage,
        open_links(settings),
        UploadReceiver(database, storage, images, limits),
        SmallerPictures(storage, images),
    )
    app = Starlette(routes=routes())
    app.state.files = files
    upload_id = await new_upload(database, actor, limits)
    assert actor.user_id is not None
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield House(client, files, storage, owner, actor.user_id, upload_id)


@pytest.fixture(scope="module")
def photo() -> bytes:
    return pictures.jpeg_with_exif(pictures.portrait(240, 320).picture)


def assert_refused(response: httpx.Response, status: int, code: ErrorCode) -> None:
    assert response.status_code == status, response.text
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert error["message"]


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


def get_url(house: House, content_type: str | None = "image/jpeg") -> str:
    return house.links.sign_url("GET", house.result_path, time.time() + 600, content_type)


async def test_a_result_is_sent_so_that_a_browser_only_shows_it(house: House) -> None:
    data = bytes(range(256)) * 4000
    await house.storage.put(house.result_path, data)
    response = await house.client.get(get_url(house))
    assert response.status_code == 200
    assert response.content == data
    headers = response.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-length"] == str(len(data))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"] == f'inline; filename="{house.upload_id}.jpg"'
    kind, age, _ = headers["cache-control"].split(", ")
    assert kind == "private"
    assert 590 <= int(age.removeprefix("max-age=")) <= 900


async def test_head_tells_the_same_without_the_bytes(house: House) -> None:
    await house.storage.put(house.result_path, b"x" * 1234)
    response = await house.client.head(get_url(house))
    assert response.status_code == 200
    assert response.headers["content-length"] == "1234"
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content == b""


async def test_a_link_to_a_deleted_file_is_refused_like_an_altered_one(house: House) -> None:
    missing = await house.client.get(get_url(house))
    altered = await house.client.get(get_url(house).replace("image%2Fjpeg", "text%2Fhtml"))
    assert_refused(missing, 403, ErrorCode.FORBIDDEN)
    assert missing.text == altered.text
    await house.storage.put(house.result_path, b"bytes")
    put_link = house.links.sign_url("PUT", house.result_path, time.time() + 600)
    assert_refused(await house.client.get(put_link), 403, ErrorCode.FORBIDDEN)


async def test_other_methods_are_not_there(house: House) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        response = await house.client.request(method, get_url(house))
        assert response.status_code == 405


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


async def test_nothing_opens_a_deleted_photo(house: House, photo: bytes) -> None:
    await house.put(photo)
    expires_at = time.time() + 600
    whole = house.links.sign_url("GET", house.upload_path, expires_at, "image/jpeg")
    small = house.links.sign_url("GET", width_path(house.upload_path, 160), expires_at)
    for url in (whole, small):
        assert (await house.client.get(url)).status_code == 200
    await house.files.uploads.delete(Actor("authenticated", house.user_id), house.upload_id)
    for url in (whole, small):
        assert_refused(await house.client.get(url), 403, ErrorCode.FORBIDDEN)
    assert_refused(await house.put(photo), 403, ErrorCode.FORBIDDEN)
    assert not [path async for chunk in house.storage.older_than(LATER) for path in chunk]


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_a_smaller_picture_is_made_once_however_many_ask(
    stored_anywhere: Settings,
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    made = 0
    narrow = ImageWorker.narrow

    async def counted(worker: ImageWorker, data: bytes, width_pixels: int) -> bytes:
        nonlocal made
        made += 1
        return await narrow(worker, data, width_pixels)

    monkeypatch.setattr(ImageWorker, "narrow", counted)
    async with house_of(stored_anywhere, database, await make_user(), owner) as house:
        content_type = f"image/{kind.lower()}"
        path = generation_path(house.user_id, house.upload_id, content_type)
        see_through = Image.new("RGBA", (700, 500), (200, 40, 40, 128))
        picture = see_through if kind == "PNG" else pictures.portrait(700, 500).picture
        await house.storage.put(path, pictures.encoded(picture, kind))
        url = house.files.links.picture_url(path, content_type, time.time() + 600, 320)

        async def fetched() -> tuple[bytes, str]:
            answer = await house.client.get(url)
            if house.storage.is_direct:
                assert answer.status_code == 307
                async with httpx.AsyncClient() as http:
                    answer = await http.get(answer.headers["location"])
            assert answer.status_code == 200
            return answer.content, answer.headers["content-type"]

        answers = await asyncio.gather(*(fetched() for _ in range(6)))
        answers.append(await fetched())
        assert len(set(answers)) == 1
        data, sent_type = answers[0]
        small = Image.open(io.BytesIO(data))
        assert (small.size, small.format, sent_type) == ((320, 229), kind, content_type)
        assert small.mode == picture.mode
        assert made == 1

        wider = house.files.links.picture_url(path, content_type, time.time() + 600, 1280)
        assert (await house.client.get(wider)).status_code in {200, 307}
        assert await house.storage.get(width_path(path, 1280)) == await house.storage.get(path)


async def test_a_width_that_was_not_signed_is_refused(house: House) -> None:
    await house.storage.put(house.result_path, b"bytes")
    whole = get_url(house)
    for path in (width_path(house.result_path, 160), f"widths/9999/{house.result_path}"):
        assert_refused(
            await house.client.get(whole.replace(house.result_path, path)), 403, ErrorCode.FORBIDDEN
        )
    gone = house.links.sign_url("GET", width_path(house.upload_path, 160), time.time() + 600)
    assert_refused(await house.client.get(gone), 403, ErrorCode.FORBIDDEN)


def test_every_width_of_the_schema_can_be_made() -> None:
    assert {width.value for width in ImageWidth} == set(WIDTHS_PIXELS)
