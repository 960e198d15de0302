"""A signed link gives a picture, whole or smaller, so that a browser only shows it."""

from __future__ import annotations

import asyncio
import io
import time

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
    VARIANT_WIDTHS_PIXELS,
    generation_path,
    variant_path,
)
from graph.uploads import ImageWidth
from settings import Settings
from tests import pictures

from ...conftest import MakeUser
from .conftest import LATER, House, assert_refused, house_of


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


async def test_nothing_opens_a_deleted_photo(house: House, photo: bytes) -> None:
    await house.put(photo)
    expires_at = time.time() + 600
    whole = house.links.sign_url("GET", house.upload_path, expires_at, "image/jpeg")
    small = house.links.sign_url("GET", variant_path(house.upload_path, 160), expires_at)
    for url in (whole, small):
        assert (await house.client.get(url)).status_code == 200
    await house.files.uploads.delete(Actor("authenticated", house.user_id), house.upload_id)
    for url in (whole, small):
        assert_refused(await house.client.get(url), 403, ErrorCode.FORBIDDEN)
    assert_refused(await house.put(photo), 403, ErrorCode.FORBIDDEN)
    assert not [path async for chunk in house.storage.older_than(LATER) for path in chunk]


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
        assert await house.storage.get(variant_path(path, 1280)) == await house.storage.get(path)


async def test_a_width_that_was_not_signed_is_refused(house: House) -> None:
    await house.storage.put(house.result_path, b"bytes")
    whole = get_url(house)
    for path in (variant_path(house.result_path, 160), f"widths/9999/{house.result_path}"):
        assert_refused(
            await house.client.get(whole.replace(house.result_path, path)), 403, ErrorCode.FORBIDDEN
        )
    gone = house.links.sign_url("GET", variant_path(house.upload_path, 160), time.time() + 600)
    assert_refused(await house.client.get(gone), 403, ErrorCode.FORBIDDEN)


def test_every_width_of_the_schema_can_be_made() -> None:
    assert {width.value for width in ImageWidth} == set(VARIANT_WIDTHS_PIXELS)
