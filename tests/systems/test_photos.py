"""A photo's whole life with files in a folder and in a bucket: sent, used, seen smaller, deleted."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests import pictures
from tests.buckets import new_bucket
from tests.running import running_server

from .client import Client

GENERATION = """query($id: ID!) { node(id: $id) { ... on Generation {
  status madeOffline whole: imageUrl small: imageUrl(width: W160) } } }"""
UPLOAD = """query($id: ID!, $width: ImageWidth) { node(id: $id) { ... on Upload {
  status widthPixels heightPixels imageUrl(width: $width) } } }"""
DELETE = """mutation($id: ID!) { deleteUpload(input: {id: $id}) {
  deletedId errors { code path } } }"""


@pytest.fixture(scope="module", params=["folder", "bucket"])
def anywhere_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server whose files lie in a folder, then one whose files lie in a bucket."""
    if request.param == "folder":
        yield request.getfixturevalue("server_url")
        return
    bucket = new_bucket(request.getfixturevalue("bucket_endpoint"))
    folder = tmp_path_factory.mktemp("bucket server") / "data"
    with running_server(folder, STORAGE_URL=bucket) as server:
        yield server.url


@pytest.fixture
async def user(anywhere_url: str) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(timeout=30, follow_redirects=True) as http:
        found = Client(anywhere_url, http)
        await found.sign_up()
        yield found


async def size_at(user: Client, url: str) -> tuple[int, int]:
    answer = await user.http.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content)).size


async def test_a_photo_is_sent_used_seen_smaller_and_deleted(user: Client) -> None:
    upload_id, put = await user.upload(pictures.jpeg_with_exif(pictures.portrait(300, 400).picture))
    assert put.status_code in {200, 201}, put.text
    payload = await user.generate(upload_id, "eye-color", {"color": "#2f6db5"})
    assert payload["errors"] == []
    generation_id = payload["generation"]["id"]
    async with asyncio.timeout(30):
        while True:
            made = (await user.ask(GENERATION, {"id": generation_id}))["node"]
            if made["status"] == "SUCCEEDED":
                break
            assert made["status"] in {"QUEUED", "RUNNING"}
            await asyncio.sleep(0.1)
    assert made["madeOffline"]
    assert await size_at(user, made["whole"]) == (300, 400)
    assert await size_at(user, made["small"]) == (160, 213)

    upload = (await user.ask(UPLOAD, {"id": upload_id}))["node"]
    assert (upload["status"], upload["widthPixels"], upload["heightPixels"]) == ("READY", 300, 400)
    assert await size_at(user, upload["imageUrl"]) == (300, 400)
    small = (await user.ask(UPLOAD, {"id": upload_id, "width": "W160"}))["node"]["imageUrl"]
    assert await size_at(user, small) == (160, 213)

    gone = (await user.ask(DELETE, {"id": upload_id}))["deleteUpload"]
    assert gone == {"deletedId": upload_id, "errors": []}
    assert (await user.http.get(upload["imageUrl"])).status_code in {403, 404}
    assert (await user.http.get(small)).status_code == 403
    assert (await user.ask(UPLOAD, {"id": upload_id}))["node"]["imageUrl"] is None
    again = (await user.ask(DELETE, {"id": upload_id}))["deleteUpload"]
    assert again["errors"] == [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    refused = await user.generate(upload_id)
    assert refused["errors"][0]["code"] == "NOT_FOUND"
    assert await size_at(user, made["whole"]) == (300, 400)


@pytest.mark.parametrize(
    ("data", "code"), [(pictures.svg(), "INVALID_IMAGE"), (b"", "EMPTY_FILE")], ids=["svg", "empty"]
)
async def test_what_is_no_photo_is_refused_when_it_is_used(
    user: Client, data: bytes, code: str
) -> None:
    upload_id, _ = await user.upload(data)
    for _ in range(2):
        refused = await user.generate(upload_id)
        assert (refused["generation"], refused["errors"][0]["code"]) == (None, code)
