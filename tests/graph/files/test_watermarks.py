"""Pictures made on a plan with a watermark are shown with one; who pays has them as they were made."""

from __future__ import annotations

import io
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest
from PIL import Image, ImageChops

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.decoding import marked_image
from db.files.image_variants import ImageVariants
from db.files.images import ImageWorker
from db.files.links import open_signer
from db.files.storage import (
    VARIANT_WIDTHS_PIXELS,
    Storage,
    generation_path,
    is_marked,
    is_storage_path,
    is_variant,
    marked_path,
    open_storage,
    upload_path,
    variant_of,
    variant_path,
    whole_of,
)
from db.generations.operations import MadeGeneration, finish_generation
from db.uploads.receiving import sweep_files
from jobs.generations import remove_picture
from settings import Settings
from tests import pictures

from ...conftest import MakeUser
from ...jobs.helpers import begun, create_generation, ready_upload
from ..conftest import Ask
from .conftest import FileServer, assert_refused

ANNA = UUID("01890000-0000-7000-8000-00000000000a")
FILE = UUID("01890000-0000-7000-8000-0000000000f1")
PATH = generation_path(ANNA, FILE, "image/jpeg")
SHOWN = """query($id: ID!) { node(id: $id) { ... on Generation {
  hasWatermark imageUrl small: imageUrl(width: W320) highQualityUrl } } }"""
DELETE = "mutation($id: ID!) { deleteGeneration(input: {id: $id}) { deletedId errors { code } } }"


def drawn(kind: str, width: int, height: int, mode: str = "RGB") -> bytes:
    """A plain picture."""
    output = io.BytesIO()
    color: Any = {"RGB": (90, 140, 90), "RGBA": (90, 140, 90, 128), "L": 120}[mode]
    Image.new(mode, (width, height), color).save(output, kind, lossless=True)
    return output.getvalue()


# How large a picture is, how wide its mark is, and how far from the edges.
SIZES = [
    ("JPEG", "RGB", 480, 640, 86, 19),
    ("PNG", "RGB", 2000, 1000, 150, 80),
    ("PNG", "RGBA", 400, 300, 72, 16),
    ("WEBP", "RGBA", 833, 400, 150, 33),
    ("JPEG", "L", 100, 50, 18, 4),
    ("PNG", "RGB", 1, 1, 1, 0),
]


@pytest.mark.parametrize(("kind", "mode", "width", "height", "mark", "padding"), SIZES)
def test_the_mark_is_in_the_lower_right_corner_and_nowhere_else(
    kind: str, mode: str, width: int, height: int, mark: int, padding: int
) -> None:
    before = Image.open(io.BytesIO(drawn(kind, width, height, mode)))
    after = Image.open(io.BytesIO(marked_image(drawn(kind, width, height, mode))))
    assert (after.format, after.size) == (kind, before.size)
    assert after.has_transparency_data == (mode == "RGBA")
    difference = ImageChops.difference(before.convert("RGB"), after.convert("RGB")).convert("L")
    left, top, right, bottom = difference.point(lambda value: 255 * (value > 24)).getbbox()  # type: ignore[misc]
    near = 9 if kind == "JPEG" else 2
    assert abs((right - left) - mark) <= near
    assert abs(right - (width - padding)) <= near
    assert abs(bottom - (height - padding)) <= near
    assert bottom - top <= mark


async def finished(
    database: Database, actor: Actor, storage: Storage, path: str | None, color: str = "#123456"
) -> str:
    """The global id of a generation that has a picture there."""
    upload = await ready_upload(database, storage, actor)
    made = await create_generation(database, actor, upload, parameters={"color": color})
    picture = None if path is None else "image/jpeg"
    result = MadeGeneration(None, path, picture, False, "fake", 1, {}, 0)
    assert await finish_generation(database, await begun(database, made), result)
    return f"generation_{made}"


async def on_plan(owner: asyncpg.Connection, actor: Actor, plan: str | None) -> None:
    await owner.execute("update users set plan_id = $1 where id = $2", plan, actor.user_id)


@pytest.mark.parametrize(
    ("plan", "has_watermark"), [(None, True), ("free", True), ("pro", False), ("enterprise", False)]
)
async def test_the_plan_says_whether_there_is_a_watermark(
    ask: Ask,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    plan: str | None,
    has_watermark: bool,
) -> None:
    actor = await make_user()
    await on_plan(owner, actor, plan)
    path = generation_path(actor.user_id, FILE, "image/jpeg")  # type: ignore[arg-type]
    wanted = await finished(database, actor, open_storage(settings), path)
    shown = (await ask(SHOWN, {"id": wanted}, actor=actor))["data"]["node"]
    assert shown["hasWatermark"] is has_watermark
    whole = marked_path(path) if has_watermark else path
    assert urlsplit(shown["imageUrl"]).path == f"/files/{whole}"
    assert urlsplit(shown["small"]).path == f"/files/{variant_path(whole, 320)}"
    if has_watermark:
        assert shown["highQualityUrl"] is None
        return
    link = urlsplit(shown["highQualityUrl"])
    assert link.path == f"/files/{path}"
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    signer, now = open_signer(settings), time.time()
    assert signer.verify("GET", path, query, now).content_type == "image/jpeg"
    with pytest.raises(DomainError):
        signer.verify("GET", path, query, now + 61)


async def test_whoever_changes_the_plan_has_what_the_new_one_gives(
    ask: Ask,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    path = generation_path(actor.user_id, FILE, "image/jpeg")  # type: ignore[arg-type]
    first = await finished(database, actor, open_storage(settings), path)
    upload = await owner.fetchval(
        "select upload_id from generations where user_id = $1", actor.user_id
    )
    for plan, has_watermark in (("pro", False), ("free", True)):
        await on_plan(owner, actor, plan)
        # The cache has the picture as it was made: it serves both.
        again = await create_generation(database, actor, upload, parameters={"color": "#123456"})
        for wanted, expected in ((first, True), (f"generation_{again}", has_watermark)):
            shown = (await ask(SHOWN, {"id": wanted}, actor=actor))["data"]["node"]
            assert shown["hasWatermark"] is expected
            assert (shown["highQualityUrl"] is None) is has_watermark


async def test_without_a_picture_there_is_no_link_and_no_watermark(
    ask: Ask,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    for plan in ("free", "pro"):
        actor = await make_user()
        await on_plan(owner, actor, plan)
        wanted = await finished(database, actor, open_storage(settings), None)
        shown = (await ask(SHOWN, {"id": wanted}, actor=actor))["data"]["node"]
        assert shown == {
            "hasWatermark": False, "imageUrl": None, "small": None, "highQualityUrl": None,
        }  # fmt: skip


async def test_a_marked_picture_is_served_in_every_width_and_the_plain_one_is_not(
    file_server: FileServer,
) -> None:
    picture = pictures.as_jpeg(pictures.portrait(700, 900).picture)
    await file_server.storage.put(file_server.result_path, picture)
    marked = marked_path(file_server.result_path)
    sizes, later = [], time.time() + 600
    for path in (marked, variant_path(marked, 320), variant_path(marked, 160)):
        url = file_server.links.sign_url("GET", path, later, "image/jpeg")
        answer = await file_server.client.get(url)
        assert answer.status_code == 200
        assert answer.content != picture
        sizes.append(Image.open(io.BytesIO(answer.content)).width)
        plain = url.replace("marked/", "")
        assert_refused(await file_server.client.get(plain), 403, ErrorCode.FORBIDDEN)
    assert sizes == [700, 320, 160]
    assert await file_server.storage.get(marked) == marked_image(picture)
    await file_server.storage.delete_picture(file_server.result_path)
    url = file_server.links.sign_url("GET", variant_path(marked, 640), later, "image/jpeg")
    assert_refused(await file_server.client.get(url), 403, ErrorCode.FORBIDDEN)


def test_paths_of_marked_pictures_are_told_from_all_others() -> None:
    small = variant_path(marked_path(PATH), 320)
    for path, marked, variant in (
        (PATH, False, False),
        (marked_path(PATH), True, True),
        (variant_path(PATH, 320), False, True),
        (small, True, True),
    ):
        assert is_storage_path(path)
        assert (is_marked(path), is_variant(path), whole_of(path)) == (marked, variant, PATH)
    assert variant_of(small) == (marked_path(PATH), 320)
    photo = upload_path(ANNA, FILE)
    for wrong in (marked_path(photo), marked_path(small), marked_path(marked_path(PATH))):
        assert not is_storage_path(wrong)


async def lying_there(storage: Storage) -> set[str]:
    found: set[str] = set()
    for chunk in storage._store.list():
        found |= {meta["path"] for meta in chunk}
    return found


async def test_deleting_a_generation_removes_its_files_once_no_other_shows_them(
    ask: Ask,
    database: Database,
    stored_anywhere: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    storage, actor, stranger = open_storage(stored_anywhere), await make_user(), await make_user()
    assert actor.user_id is not None
    path = generation_path(actor.user_id, FILE, "image/jpeg")
    await storage.put(path, pictures.as_jpeg(pictures.portrait(200, 200).picture))
    made = [await finished(database, actor, storage, path)]
    upload = await owner.fetchval(
        "select upload_id from generations where user_id = $1", actor.user_id
    )
    shared = await create_generation(database, actor, upload, parameters={"color": "#123456"})
    made.append(f"generation_{shared}")
    variants = ImageVariants(storage, ImageWorker(40_000_000))
    shown = {path, marked_path(path), variant_path(path, 160), variant_path(marked_path(path), 160)}
    for each in shown:
        await variants.find(each)
    photo = upload_path(actor.user_id, upload)
    assert await lying_there(storage) == shown | {photo}
    refused = (await ask(DELETE, {"id": made[0]}, actor=stranger))["data"]["deleteGeneration"]
    assert refused["errors"] == [{"code": "NOT_FOUND"}]
    for number, wanted in enumerate(made):
        payload = (await ask(DELETE, {"id": wanted}, actor=actor))["data"]["deleteGeneration"]
        assert payload == {"deletedId": wanted, "errors": []}
        (job,) = await owner.fetch(
            "delete from queue.pgqueuer where entrypoint = 'remove_picture'"
            " and convert_from(payload, 'UTF8')::json ->> 'path' = $1 returning id", path,
        )  # fmt: skip
        assert job
        for _ in range(2):
            await remove_picture(database, storage, path=path)
        assert await lying_there(storage) == {photo} | (shown if number == 0 else set())
    cached = "select count(*) from result_cache where user_id = $1"
    assert await owner.fetchval(cached, actor.user_id) == 0


async def test_the_sweep_keeps_marked_pictures_of_what_is_there(
    database: Database,
    stored_anywhere: Settings,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage, actor = open_storage(stored_anywhere), await make_user()
    assert actor.user_id is not None
    kept = generation_path(actor.user_id, FILE, "image/jpeg")
    lost = generation_path(actor.user_id, ANNA, "image/jpeg")
    await finished(database, actor, storage, kept)
    for path in (kept, lost):
        for each in (path, marked_path(path), variant_path(marked_path(path), 320)):
            await storage.put(each, b"picture")
    monkeypatch.setattr("db.uploads.receiving.UNUSED_LASTS", timedelta(seconds=-5))
    await sweep_files(database, storage)
    results = {path for path in await lying_there(storage) if "generations/" in path}
    assert results == {kept, marked_path(kept), variant_path(marked_path(kept), 320)}
    assert await storage.delete_user_files(actor.user_id) >= len(results)
    assert await lying_there(storage) == set()
    assert len(VARIANT_WIDTHS_PIXELS) == 4
