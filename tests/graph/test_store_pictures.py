"""A store's logo and banner: copies that everybody who sees the store sees, for as long as it has them."""

from __future__ import annotations

import io
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4
from zipfile import ZipFile

import asyncpg
import pytest
from PIL import Image

from db.core.actor import NOBODY, Actor
from db.files.images import InspectedImage
from db.files.storage import Storage, is_public_picture, is_storage_path
from db.leaving.archives import Archive
from db.uploads.operations import known_files
from jobs.leaving import delete_user_files
from server.services import Services

from ..conftest import MakeUser
from ..jobs.helpers import ready_upload
from .conftest import Ask
from .selling import Market, open_market

SET = """mutation($store: ID!, $kind: StorePictureKind!, $upload: ID!) {
  setStorePicture(input: {storeId: $store, kind: $kind, uploadId: $upload}) {
    store { logoUrl bannerUrl small: logoUrl(width: W160) } errors { code path } } }"""
REMOVE = """mutation($store: ID!, $kind: StorePictureKind!) {
  removeStorePicture(input: {storeId: $store, kind: $kind}) {
    store { logoUrl bannerUrl } errors { code path } } }"""
PAGE = "query($slug: String!) { store(slug: $slug) { logoUrl bannerUrl } }"


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def photo_of(services: Services, actor: Actor, width: int = 2_000, height: int = 50) -> str:
    """A photo of somebody's, wider than pages show any."""
    output = io.BytesIO()
    Image.new("RGBA", (width, height), (240, 160, 90, 128)).save(output, "PNG")
    image = InspectedImage(width, height, "image/png", output.getvalue(), "0" * 64)
    made = await ready_upload(services.database, services.uploads.storage, actor, image)
    return f"upload_{made}"


def path_of(link: str) -> str:
    """Where a linked file lies."""
    return urlsplit(link).path.removeprefix("/files/")


def storage_of(services: Services) -> Storage:
    """The files that there are."""
    return services.uploads.storage


async def test_everybody_sees_a_logo_no_wider_than_pages_show_it(
    market: Market, services: Services, ask: Ask
) -> None:
    photo = await photo_of(services, market.seller)
    made = await market.done(SET, store=market.store_id, kind="LOGO", upload=photo)
    store = made["store"]
    assert store["bannerUrl"] is None
    path = path_of(store["logoUrl"])
    assert path.startswith(f"store_pictures/{market.seller.user_id}/")
    assert path_of(store["small"]) == f"widths/160/{path}"
    stored = await storage_of(services).get(path)
    with Image.open(io.BytesIO(stored)) as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", (1_280, 32), "RGBA")
    query = parse_qs(urlsplit(store["logoUrl"]).query)
    assert query["type"] == ["image/png"]
    assert int(query["expires"][0]) >= time.time() + 3_500
    seen = await market.do(PAGE, NOBODY, slug=market.slug)
    assert path_of(seen["logoUrl"]) == path
    # What it was made of may go; the copy stays, and no sweep takes it.
    assert await known_files(services.database, [path]) == {path}
    assert is_public_picture(path)
    assert is_public_picture(f"widths/160/{path}")
    assert is_storage_path(f"widths/160/{path}")


async def test_another_picture_takes_its_place_and_the_one_before_goes(
    market: Market, services: Services
) -> None:
    storage, links = storage_of(services), []
    for kind in ("LOGO", "BANNER", "LOGO"):
        photo = await photo_of(services, market.seller)
        made = await market.done(SET, store=market.store_id, kind=kind, upload=photo)
        links.append(path_of(made["store"][f"{kind.lower()}Url"]))
    assert [await storage.exists(path) for path in links] == [False, True, True]
    for _ in range(2):
        left = await market.done(REMOVE, store=market.store_id, kind="LOGO")
        assert left["store"]["logoUrl"] is None
        assert path_of(left["store"]["bannerUrl"]) == links[1]
    assert not await storage.exists(links[2])
    assert await known_files(services.database, links) == {links[1]}


async def test_another_seller_sets_and_uses_nothing(
    ask: Ask, market: Market, services: Services, make_user: MakeUser
) -> None:
    other = await open_market(ask, services, await make_user())
    photo = await photo_of(services, market.seller)
    foreign = await photo_of(services, other.seller)
    tried: list[tuple[dict[str, Any], str]] = [
        ({"store": market.store_id, "upload": foreign}, "storeId"),
        ({"store": other.store_id, "upload": photo}, "uploadId"),
        ({"store": f"store_{uuid4()}", "upload": foreign}, "storeId"),
        ({"store": other.store_id, "upload": f"upload_{uuid4()}"}, "uploadId"),
    ]
    for given, field in tried:
        payload = await other.do(SET, kind="LOGO", **given)
        assert payload["errors"] == [{"code": "NOT_FOUND", "path": ["input", field]}]
    refused = await other.do(REMOVE, store=market.store_id, kind="LOGO")
    assert refused["errors"] == [{"code": "NOT_FOUND", "path": ["input", "storeId"]}]
    assert (await market.do(PAGE, slug=market.slug))["logoUrl"] is None


async def test_a_logo_is_in_its_owners_archive_and_goes_with_them(
    market: Market, services: Services, owner: asyncpg.Connection
) -> None:
    photo = await photo_of(services, market.seller)
    made = await market.done(SET, store=market.store_id, kind="LOGO", upload=photo)
    path, storage = path_of(made["store"]["logoUrl"]), storage_of(services)
    data, user_id = io.BytesIO(), market.seller.user_id
    assert user_id is not None
    await Archive(services.database, storage, user_id).write(data)
    with ZipFile(data) as archive:
        assert archive.read(f"files/{path}") == await storage.get(path)
    await owner.execute("delete from stores where user_id = $1", user_id)
    await delete_user_files(storage, user_id=user_id)
    assert not await storage.exists(path)
