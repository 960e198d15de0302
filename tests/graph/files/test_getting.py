"""A signed link gives a picture, whole or smaller, so that a browser only shows it."""

from __future__ import annotations

import asyncio
import io
import time
from tempfile import TemporaryFile

import asyncpg
import httpx
import pytest
from PIL import Image

from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.fair_queue import Asker
from db.core.pool import Database
from db.files.images import ImageWorker
from db.files.storage import (
    ARCHIVE_TYPE,
    VARIANT_WIDTHS_PIXELS,
    archive_path,
    generation_path,
    store_picture_path,
    variant_path,
)
from graph.uploads import ImageWidth
from settings import Settings
from tests import pictures

from ...conftest import MakeUser
from ...jobs.helpers import delete_photo
from .conftest import LATER, FileServer, assert_refused, file_server_of


def get_url(file_server: FileServer, content_type: str | None = "image/jpeg") -> str:
    return file_server.links.sign_url(
        "GET", file_server.result_path, time.time() + 600, content_type
    )


async def test_a_result_is_sent_so_that_a_browser_only_shows_it(file_server: FileServer) -> None:
    data = bytes(range(256)) * 4000
    await file_server.storage.put(file_server.result_path, data)
    response = await file_server.client.get(get_url(file_server))
    assert response.status_code == 200
    assert response.content == data
    headers = response.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-length"] == str(len(data))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"] == f'inline; filename="{file_server.upload_id}.jpg"'
    kind, age, _ = headers["cache-control"].split(", ")
    assert kind == "private"
    assert 590 <= int(age.removeprefix("max-age=")) <= 900


async def test_a_picture_of_a_store_may_be_kept_by_proxies(file_server: FileServer) -> None:
    path = store_picture_path(file_server.user_id, file_server.upload_id, "image/png")
    await file_server.storage.put(path, b"logo")
    link = file_server.links.sign_url("GET", path, time.time() + 600, "image/png")
    response = await file_server.client.get(link)
    assert (response.status_code, response.content) == (200, b"logo")
    assert response.headers["cache-control"].split(", ")[::2] == ["public", "immutable"]


async def test_an_archive_is_downloaded_and_kept_by_no_cache(file_server: FileServer) -> None:
    path = archive_path(file_server.user_id, file_server.upload_id)
    url = file_server.links.sign_url("GET", path, time.time() + 600, ARCHIVE_TYPE)
    with TemporaryFile() as file:
        file.write(bytes(range(256)) * 50_000)
        file.seek(0)
        await file_server.storage.put_file(path, file, ARCHIVE_TYPE)
    response = await file_server.client.get(url)
    assert response.content == bytes(range(256)) * 50_000
    assert response.headers["content-type"] == ARCHIVE_TYPE
    assert (
        response.headers["content-disposition"]
        == f'attachment; filename="{file_server.upload_id}.zip"'
    )
    assert response.headers["cache-control"] == "no-store"
    await file_server.storage.delete_user_files(file_server.user_id)
    assert_refused(await file_server.client.get(url), 403, ErrorCode.FORBIDDEN)


async def test_head_tells_the_same_without_the_bytes(file_server: FileServer) -> None:
    await file_server.storage.put(file_server.result_path, b"x" * 1234)
    response = await file_server.client.head(get_url(file_server))
    assert response.status_code == 200
    assert response.headers["content-length"] == "1234"
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content == b""


async def test_a_link_to_a_deleted_file_is_refused_like_an_altered_one(
    file_server: FileServer,
) -> None:
    missing = await file_server.client.get(get_url(file_server))
    altered = await file_server.client.get(
        get_url(file_server).replace("image%2Fjpeg", "text%2Fhtml")
    )
    assert_refused(missing, 403, ErrorCode.FORBIDDEN)
    assert missing.text == altered.text
    await file_server.storage.put(file_server.result_path, b"bytes")
    put_link = file_server.links.sign_url("PUT", file_server.result_path, time.time() + 600)
    assert_refused(await file_server.client.get(put_link), 403, ErrorCode.FORBIDDEN)


async def test_other_methods_are_not_there(file_server: FileServer) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        response = await file_server.client.request(method, get_url(file_server))
        assert response.status_code == 405


async def test_nothing_opens_a_deleted_photo(
    file_server: FileServer, database: Database, photo: bytes
) -> None:
    await file_server.put(photo)
    expires_at = time.time() + 600
    whole = file_server.links.sign_url("GET", file_server.upload_path, expires_at, "image/jpeg")
    small = file_server.links.sign_url(
        "GET", variant_path(file_server.upload_path, 160), expires_at
    )
    for url in (whole, small):
        assert (await file_server.client.get(url)).status_code == 200
    await delete_photo(
        database,
        file_server.storage,
        Actor("authenticated", file_server.user_id),
        file_server.upload_id,
    )
    for url in (whole, small):
        assert_refused(await file_server.client.get(url), 403, ErrorCode.FORBIDDEN)
    assert_refused(await file_server.put(photo), 403, ErrorCode.FORBIDDEN)
    assert not [path async for chunk in file_server.storage.older_than(LATER) for path in chunk]


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
    narrow = ImageWorker.resize

    async def counted(worker: ImageWorker, data: bytes, width_pixels: int, asker: Asker) -> bytes:
        nonlocal made
        made += 1
        assert asker.network
        return await narrow(worker, data, width_pixels, asker)

    monkeypatch.setattr(ImageWorker, "resize", counted)
    async with file_server_of(stored_anywhere, database, await make_user(), owner) as file_server:
        content_type = f"image/{kind.lower()}"
        path = generation_path(file_server.user_id, file_server.upload_id, content_type)
        see_through = Image.new("RGBA", (700, 500), (200, 40, 40, 128))
        picture = see_through if kind == "PNG" else pictures.portrait(700, 500).picture
        await file_server.storage.put(path, pictures.encoded(picture, kind))
        url = file_server.files.links.picture_url(path, content_type, time.time() + 600, 320)

        async def fetched() -> tuple[bytes, str]:
            answer = await file_server.client.get(url)
            if file_server.storage.is_direct:
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

        wider = file_server.files.links.picture_url(path, content_type, time.time() + 600, 1280)
        assert (await file_server.client.get(wider)).status_code in {200, 307}
        assert await file_server.storage.get(
            variant_path(path, 1280)
        ) == await file_server.storage.get(path)


async def test_a_width_that_was_not_signed_is_refused(file_server: FileServer) -> None:
    await file_server.storage.put(file_server.result_path, b"bytes")
    whole = get_url(file_server)
    for path in (
        variant_path(file_server.result_path, 160),
        f"widths/9999/{file_server.result_path}",
    ):
        assert_refused(
            await file_server.client.get(whole.replace(file_server.result_path, path)),
            403,
            ErrorCode.FORBIDDEN,
        )
    gone = file_server.links.sign_url(
        "GET", variant_path(file_server.upload_path, 160), time.time() + 600
    )
    assert_refused(await file_server.client.get(gone), 403, ErrorCode.FORBIDDEN)


def test_every_width_of_the_schema_can_be_made() -> None:
    assert {width.value for width in ImageWidth} == set(VARIANT_WIDTHS_PIXELS)
