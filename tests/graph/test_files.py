"""A signed link takes one sound photo once, refuses all else by name, and gives pictures safely."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette

from db.errors import ErrorCode
from db.images import ImageWorker
from db.storage import LinkSigner, Storage, generation_path, open_storage, upload_path
from graph import files as routes_module
from graph.files import Files, routes
from settings import Settings
from tests import pictures

ANNA = UUID("01890000-0000-7000-8000-00000000000a")
FILE = UUID("01890000-0000-7000-8000-0000000000f1")
UPLOAD_PATH = upload_path(ANNA, FILE)
RESULT_PATH = generation_path(ANNA, FILE, "image/jpeg")
LIMIT_BYTES = 200_000


@dataclass
class Upload:
    status: str = "AWAITING"
    expires_at: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(minutes=5))
    marks: list[dict[str, object]] = field(default_factory=list)


@dataclass
class Uploads:
    """Keeps one upload, by the same rules as the table."""

    rows: dict[UUID, Upload]

    async def find_upload(self, upload_id: UUID) -> Upload | None:
        return self.rows.get(upload_id)

    async def mark_ready(
        self,
        upload_id: UUID,
        *,
        sha256: str,
        width: int,
        height: int,
        size_bytes: int,
        content_type: str,
    ) -> None:
        row = self.rows[upload_id]
        row.status = "READY"
        row.marks.append({"sha256": sha256, "size": (width, height), "type": content_type})

    async def mark_rejected(self, upload_id: UUID, code: ErrorCode, message: str) -> None:
        row = self.rows[upload_id]
        assert row.status != "READY"
        row.status = "REJECTED"
        row.marks.append({"code": code, "message": message})


@dataclass
class House:
    """The routes with all that they work with."""

    client: httpx.AsyncClient
    links: LinkSigner
    storage: Storage
    upload: Upload

    def put_url(self) -> str:
        return self.links.sign_url("PUT", UPLOAD_PATH, time.time() + 600)

    async def put(self, content: bytes | AsyncIterator[bytes], **options: object) -> httpx.Response:
        return await self.client.put(self.put_url(), content=content)

    async def assert_nothing_stored(self) -> None:
        assert not await self.storage.exists(UPLOAD_PATH)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    links = LinkSigner("http://api.test", "a key for tests")
    storage, upload = open_storage(Settings(data_directory=tmp_path)), Upload()
    app = Starlette(routes=routes())
    app.state.files = Files(
        storage=storage,
        links=links,
        images=ImageWorker(40_000_000),
        uploads=Uploads({FILE: upload}),
        limit_bytes=LIMIT_BYTES,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield House(client, links, storage, upload)


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
    stored = await house.storage.get(UPLOAD_PATH)
    assert response.json()["upload"] == {
        "status": "READY",
        "contentType": "image/jpeg",
        "widthPixels": 240,
        "heightPixels": 320,
        "sizeBytes": len(stored),
    }
    assert b"anary" in photo
    assert b"anary" not in stored
    assert house.upload.status == "READY"
    assert house.upload.marks[0]["size"] == (240, 320)


async def test_a_second_photo_is_refused_and_the_first_stays(house: House, photo: bytes) -> None:
    await house.put(photo)
    stored = await house.storage.get(UPLOAD_PATH)
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    for again in (photo, other, b""):
        assert_refused(await house.put(again), 409, ErrorCode.BAD_USER_INPUT)
    assert await house.storage.get(UPLOAD_PATH) == stored
    assert len(house.upload.marks) == 1


async def test_of_two_photos_at_once_one_is_taken(house: House, photo: bytes) -> None:
    other = pictures.as_jpeg(pictures.portrait(100, 100).picture)
    answers = await asyncio.gather(house.put(photo), house.put(other))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    taken = next(answer.json()["upload"] for answer in answers if answer.status_code == 201)
    assert len(await house.storage.get(UPLOAD_PATH)) == taken["sizeBytes"]
    assert house.upload.marks[0]["size"] == (taken["widthPixels"], taken["heightPixels"])


async def test_a_crash_between_storing_and_recording_is_mended_by_sending_again(
    house: House, photo: bytes
) -> None:
    await house.put(photo)
    house.upload.status = "AWAITING"
    assert (await house.put(photo)).status_code == 201
    assert house.upload.status == "READY"


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
    assert house.upload.status == "REJECTED"
    assert house.upload.marks == [{"code": code, "message": message}]
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
    assert house.upload.status == "REJECTED"


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
    assert house.upload.status == "AWAITING"


async def test_an_expired_upload_says_so(house: House, photo: bytes) -> None:
    house.upload.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert_refused(await house.put(photo), 410, ErrorCode.UPLOAD_EXPIRED)
    assert house.upload.status == "AWAITING"
    await house.assert_nothing_stored()


async def test_altered_foreign_and_deleted_look_the_same(house: House, photo: bytes) -> None:
    other = f"/{FILE}".replace("f1", "f2")
    good = house.put_url()
    urls = [
        good.replace("signature=", "signature=A"),
        good.replace(f"/{FILE}", other),
        good.partition("?")[0],
        house.links.sign_url("GET", UPLOAD_PATH, time.time() + 600),
        house.links.sign_url("PUT", UPLOAD_PATH, time.time() - 900),
        house.links.sign_url("PUT", UPLOAD_PATH.replace("f1", "f2"), time.time() + 600),
        "http://api.test/files/..%2F..%2Fetc%2Fpasswd?method=PUT&expires=9999999999&signature=x",
        "http://api.test/files/",
    ]
    texts = set()
    for url in urls:
        response = await house.client.put(url, content=photo)
        assert_refused(response, 403, ErrorCode.FORBIDDEN)
        texts.add(response.text)
    assert len(texts) == 1
    assert house.upload.status == "AWAITING"
    await house.assert_nothing_stored()


def get_url(house: House, content_type: str | None = "image/jpeg") -> str:
    return house.links.sign_url("GET", RESULT_PATH, time.time() + 600, content_type)


async def test_a_result_is_sent_so_that_a_browser_only_shows_it(house: House) -> None:
    data = bytes(range(256)) * 4000
    await house.storage.put(RESULT_PATH, data)
    response = await house.client.get(get_url(house))
    assert response.status_code == 200
    assert response.content == data
    headers = response.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-length"] == str(len(data))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"] == f'inline; filename="{FILE}.jpg"'
    kind, age, _ = headers["cache-control"].split(", ")
    assert kind == "private"
    assert 590 <= int(age.removeprefix("max-age=")) <= 900


async def test_head_tells_the_same_without_the_bytes(house: House) -> None:
    await house.storage.put(RESULT_PATH, b"x" * 1234)
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
    await house.storage.put(RESULT_PATH, b"bytes")
    put_link = house.links.sign_url("PUT", RESULT_PATH, time.time() + 600)
    assert_refused(await house.client.get(put_link), 403, ErrorCode.FORBIDDEN)


async def test_other_methods_are_not_there(house: House) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        response = await house.client.request(method, get_url(house))
        assert response.status_code == 405
