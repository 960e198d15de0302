"""Photos put into a bucket are looked at before they are used, and nothing stays that nobody uses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from db.core.actor import Actor
from db.core.commands import call
from db.core.errors import DomainError
from db.core.outages import unavailable
from db.core.pool import Database
from db.files.images import ImageWorker
from db.files.links import open_links
from db.files.storage import (
    Storage,
    generation_path,
    incoming_path,
    open_storage,
    upload_path,
    variant_path,
)
from db.uploads import receiving
from db.uploads.operations import UploadLimits, create_upload
from db.uploads.receiving import UploadReceiver, sweep_files, sweep_uploads
from settings import Settings
from tests import pictures
from tests.buckets import new_bucket
from tests.upload_limits import publish, usual_limits_after

from ..conftest import MakeUser
from ..jobs.helpers import delete_photo

LATER = datetime.now(UTC) + timedelta(days=2)
PHOTO = pictures.jpeg_with_exif(pictures.portrait(120, 160).picture)


@dataclass
class PhotoUploads:
    """A user's way to bring photos in, and what is behind it."""

    settings: Settings
    database: Database
    storage: Storage
    receiver: UploadReceiver
    owner: asyncpg.Connection
    actor: Actor
    user_id: UUID

    async def announce(
        self, size_bytes: int = len(PHOTO), content_type: str = "image/jpeg"
    ) -> UUID:
        await publish(self.database, self.receiver.limits)
        async with self.database.transaction(self.actor) as transaction:
            created = create_upload(content_type, size_bytes, self.receiver.limits)
            return await call(transaction, created)

    async def put(self, upload_id: UUID, data: bytes, content_type: str = "image/jpeg") -> None:
        """What a client does with the link it was given."""
        links = open_links(self.settings)
        url = links.put_url(self.user_id, upload_id, datetime.now(UTC).timestamp() + 600)
        headers = {**links.put_headers(content_type), "Content-Type": content_type}
        async with httpx.AsyncClient() as http:
            (await http.put(url, content=data, headers=headers)).raise_for_status()

    async def delete(self, upload_id: UUID) -> None:
        await delete_photo(self.database, self.storage, self.actor, upload_id)

    async def row(self, upload_id: UUID) -> asyncpg.Record:
        return await self.owner.fetchrow("select * from uploads where id = $1", upload_id)

    async def age(self, upload_id: UUID, hours: int = 25) -> None:
        await self.owner.execute(
            "update uploads set created_at = now() - make_interval(hours => $2) where id = $1",
            upload_id,
            hours,
        )

    async def files(self) -> set[str]:
        return {path async for chunk in self.storage.older_than(LATER) for path in chunk}

    async def refusal(self, upload_id: UUID) -> str | None:
        try:
            await self.receiver.collect(self.actor, upload_id)
        except DomainError as refusal:
            return refusal.code
        except asyncpg.PostgresError as refusal:
            return str(refusal.hint)
        return None


@pytest.fixture(autouse=True)
async def usual_limits(database: Database) -> AsyncIterator[None]:
    """The database is shared: what a test publishes holds until it ends."""
    async with usual_limits_after(database):
        yield


async def made(
    settings: Settings, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> PhotoUploads:
    storage, actor = open_storage(settings), await make_user()
    receiver = UploadReceiver(database, storage, ImageWorker(40_000_000), UploadLimits.of(settings))
    assert actor.user_id is not None
    return PhotoUploads(settings, database, storage, receiver, owner, actor, actor.user_id)


@pytest.fixture
async def bucket(
    bucket_endpoint: str, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> PhotoUploads:
    settings = Settings(
        storage_url=new_bucket(bucket_endpoint),
        upload_limit_bytes=50_000,
        upload_quota_bytes=200_000,
    )
    return await made(settings, database, make_user, owner)


@pytest.fixture
async def anywhere(
    stored_anywhere: Settings, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> PhotoUploads:
    await owner.execute("update uploads set used_at = now() where used_at is null")
    return await made(stored_anywhere, database, make_user, owner)


async def test_a_photo_in_the_bucket_is_taken_in_cleaned_and_recorded(bucket: PhotoUploads) -> None:
    upload_id = await bucket.announce()
    await bucket.put(upload_id, PHOTO)
    assert await bucket.refusal(upload_id) is None
    path = upload_path(bucket.user_id, upload_id)
    assert await bucket.files() == {path}
    assert b"anary" not in await bucket.storage.get(path)
    assert (await bucket.storage.head(path)).content_type == "image/jpeg"
    row = await bucket.row(upload_id)
    assert (row["status"], row["path"], row["width_pixels"]) == ("READY", path, 120)

    await bucket.put(upload_id, pictures.text_as_jpeg())
    assert await bucket.refusal(upload_id) is None
    assert await bucket.row(upload_id) == row


async def test_nothing_is_collected_where_nothing_came_or_for_strangers(
    bucket: PhotoUploads, make_user: MakeUser
) -> None:
    upload_id = await bucket.announce()
    assert await bucket.refusal(upload_id) is None
    await bucket.put(upload_id, PHOTO)
    await bucket.receiver.collect(await make_user(), upload_id)
    assert (await bucket.row(upload_id))["status"] == "AWAITING"


@pytest.mark.parametrize(
    ("data", "content_type", "code"),
    [
        (PHOTO + bytes(1), "image/jpeg", "LIMIT_EXCEEDED"),
        (bytes(60_000), "image/jpeg", "LIMIT_EXCEEDED"),
        (PHOTO, "image/png", "INVALID_IMAGE"),
        (PHOTO, "text/html", "INVALID_IMAGE"),
        (pictures.svg(), "image/jpeg", "INVALID_IMAGE"),
        (PHOTO[:2000], "image/jpeg", "INVALID_IMAGE"),
        (b"", "image/jpeg", "EMPTY_FILE"),
    ],
    ids=["larger", "too large", "other type", "page", "svg", "truncated", "empty"],
)
async def test_what_breaks_the_announcement_is_refused_and_deleted(
    bucket: PhotoUploads, data: bytes, content_type: str, code: str
) -> None:
    upload_id = await bucket.announce()
    await bucket.put(upload_id, data, content_type)
    assert await bucket.refusal(upload_id) == code
    assert await bucket.files() == set()
    row = await bucket.row(upload_id)
    assert (row["status"], row["rejected_code"]) == ("REJECTED", code)
    for _ in range(2):  # nothing lies there any more, and the answer is the same
        assert await bucket.refusal(upload_id) is None
        with pytest.raises(asyncpg.PostgresError) as refused:
            await bucket.owner.execute(
                "select app.usable_upload($1, $2)", bucket.user_id, upload_id
            )
        assert refused.value.hint == code
    await bucket.put(upload_id, PHOTO)
    assert await bucket.refusal(upload_id) is None
    assert (await bucket.row(upload_id))["status"] == "READY"


async def test_a_large_file_is_refused_unread(
    bucket: PhotoUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = await bucket.announce()
    await bucket.put(upload_id, bytes(60_000))
    monkeypatch.delattr(Storage, "get")
    assert await bucket.refusal(upload_id) == "LIMIT_EXCEEDED"


async def test_a_photo_replaced_while_it_is_looked_at_is_not_taken_unseen(
    bucket: PhotoUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id, head = await bucket.announce(), Storage.head

    async def then_replaced(storage: Storage, path: str) -> object:
        seen = await head(storage, path)
        await bucket.put(upload_id, pictures.svg(), "image/svg+xml")
        return seen

    await bucket.put(upload_id, PHOTO)
    monkeypatch.setattr(Storage, "head", then_replaced)
    assert await bucket.refusal(upload_id) is None
    monkeypatch.undo()
    assert (await bucket.row(upload_id))["status"] == "AWAITING"
    assert await bucket.refusal(upload_id) == "INVALID_IMAGE"


async def test_many_who_collect_at_once_take_one_photo_in(bucket: PhotoUploads) -> None:
    upload_id = await bucket.announce()
    await bucket.put(upload_id, PHOTO)
    refusals = await asyncio.gather(*(bucket.refusal(upload_id) for _ in range(6)))
    assert set(refusals) <= {None, "BAD_USER_INPUT"}
    assert (await bucket.row(upload_id))["status"] == "READY"
    assert await bucket.files() == {upload_path(bucket.user_id, upload_id)}


async def test_a_photo_without_room_stays_until_there_is_some(bucket: PhotoUploads) -> None:
    upload_id = await bucket.announce(10_000)
    await bucket.put(upload_id, PHOTO)
    other = await bucket.announce(50_000)
    await bucket.owner.execute(
        "update uploads set declared_size_bytes = 199999 where id = $1", other
    )
    assert await bucket.refusal(upload_id) == "QUOTA_EXCEEDED"
    assert await bucket.files() == {incoming_path(bucket.user_id, upload_id)}
    await bucket.delete(other)
    assert await bucket.refusal(upload_id) is None
    assert await bucket.files() == {upload_path(bucket.user_id, upload_id)}


async def received(uploads: PhotoUploads) -> UUID:
    """An upload with its photo and a smaller form of it."""
    upload_id = await uploads.announce()
    if uploads.storage.is_direct:
        await uploads.put(upload_id, PHOTO)
        await uploads.receiver.collect(uploads.actor, upload_id)
    else:
        upload = await uploads.receiver.awaited(upload_id)
        assert upload
        await uploads.receiver.receive(upload_id, upload, PHOTO)
    path = upload_path(uploads.user_id, upload_id)
    await uploads.storage.put(variant_path(path, 160), b"smaller")
    return upload_id


async def used_by_a_generation(uploads: PhotoUploads, upload_id: UUID) -> UUID:
    generation_id: UUID = await uploads.owner.fetchval(
        "insert into generations (user_id, tool_id, upload_id, cache_key)"
        " values ($1, 'hair-color', $2, gen_random_uuid()::text) returning id",
        uploads.user_id,
        upload_id,
    )
    return generation_id


async def test_what_nobody_used_in_a_day_is_swept_with_its_files(anywhere: PhotoUploads) -> None:
    old, fresh, used = [await received(anywhere) for _ in range(3)]
    empty, deleted = await anywhere.announce(), await received(anywhere)
    await anywhere.delete(deleted)
    for upload_id in (old, used, empty, deleted):
        await anywhere.age(upload_id)
    await anywhere.age(fresh, hours=23)
    await used_by_a_generation(anywhere, used)
    assert await sweep_uploads(anywhere.database, anywhere.storage) == 3
    for upload_id in (old, empty, deleted):
        assert await anywhere.row(upload_id) is None
    kept = {upload_path(anywhere.user_id, upload_id) for upload_id in (fresh, used)}
    assert await anywhere.files() == kept | {variant_path(path, 160) for path in kept}
    assert await sweep_uploads(anywhere.database, anywhere.storage) == 0


async def test_files_that_nobody_knows_are_swept_after_a_day(
    anywhere: PhotoUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = await received(anywhere), await received(anywhere)
    generation_id = await used_by_a_generation(anywhere, kept)
    result = generation_path(anywhere.user_id, generation_id, "image/jpeg")
    await anywhere.owner.execute(
        "update generations set result_path = $2 where id = $1", generation_id, result
    )
    await anywhere.owner.execute("delete from uploads where id = $1", gone)
    lost = generation_path(anywhere.user_id, gone, "image/png")
    for path in (result, lost, incoming_path(anywhere.user_id, kept)):
        await anywhere.storage.put(path, b"bytes")
    before = await anywhere.files()
    assert await sweep_files(anywhere.database, anywhere.storage) == 0
    assert await anywhere.files() == before

    monkeypatch.setattr(receiving, "UNUSED_LASTS", timedelta(seconds=-60))
    photo = upload_path(anywhere.user_id, kept)
    assert await sweep_files(anywhere.database, anywhere.storage) == 4
    assert await anywhere.files() == {result, photo, variant_path(photo, 160)}


async def test_files_that_cannot_be_removed_now_are_swept(
    anywhere: PhotoUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = await received(anywhere)

    async def fail(storage: Storage, path: str) -> None:
        raise unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete_picture", fail)
        await anywhere.delete(upload_id)
    assert (await anywhere.row(upload_id))["status"] == "DELETED"
    assert upload_path(anywhere.user_id, upload_id) in await anywhere.files()
    await anywhere.age(upload_id)
    await sweep_uploads(anywhere.database, anywhere.storage)
    assert await anywhere.files() == set()


async def test_a_photo_that_a_generation_is_made_from_is_not_deleted(
    anywhere: PhotoUploads,
) -> None:
    upload_id = await received(anywhere)
    generation_id = await used_by_a_generation(anywhere, upload_id)
    with pytest.raises(asyncpg.PostgresError, match="A generation is being made"):
        await anywhere.delete(upload_id)
    assert len(await anywhere.files()) == 2
    await anywhere.owner.execute(
        "update generations set status = 'CANCELLED' where id = $1", generation_id
    )
    await anywhere.delete(upload_id)
    assert await anywhere.files() == set()
    assert (await anywhere.row(upload_id))["status"] == "DELETED"


async def test_a_photo_is_not_deleted_while_a_generation_begins(anywhere: PhotoUploads) -> None:
    upload_id, owner = await received(anywhere), anywhere.owner
    await owner.execute("update uploads set used_at = now() where id = $1", upload_id)
    async with owner.transaction():
        await owner.execute("select app.usable_upload($1, $2)", anywhere.user_id, upload_id)
        deleting = asyncio.create_task(anywhere.delete(upload_id))
        await asyncio.sleep(0.3)
        assert not deleting.done()
        await used_by_a_generation(anywhere, upload_id)
    with pytest.raises(asyncpg.PostgresError, match="A generation is being made"):
        await deleting
    assert (await anywhere.row(upload_id))["status"] == "READY"


KILLED_WHILE_STORING = """
import asyncio, os, signal, sys
from uuid import UUID
from db.files.images import ImageWorker
from db.core.pool import Database
from db.files.storage import open_storage
from db.uploads.operations import UploadLimits, UploadRecords
from db.uploads.receiving import UploadReceiver
from settings import Settings

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    settings = Settings()
    UploadRecords.mark_inspected = die
    database = await Database.connect(sys.argv[1], settings)
    receiver = UploadReceiver(
        database, open_storage(settings), ImageWorker(40_000_000), UploadLimits.of(settings)
    )
    upload = await receiver.awaited(UUID(sys.argv[2]))
    await receiver.receive(UUID(sys.argv[2]), upload, open(sys.argv[3], "rb").read())

asyncio.run(main())
"""


async def test_a_process_killed_in_mid_upload_leaves_nothing_behind_the_sweep(
    anywhere: PhotoUploads, cluster: object, settings: Settings, tmp_path: Path
) -> None:
    upload_id, photo = await anywhere.announce(), tmp_path / "photo.jpg"
    photo.write_bytes(PHOTO)
    roles = ("anon", "authenticated", "service")
    passwords = {
        f"DATABASE_{role.upper()}_PASSWORD": settings.secret(f"database-{role}-password")
        for role in roles
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_WHILE_STORING),
        *(cluster.owner_url, str(upload_id), str(photo)),  # type: ignore[attr-defined]
        env={
            **os.environ,
            **passwords,
            "STORAGE_URL": anywhere.settings.storage_url,
            "DATA_DIRECTORY": str(anywhere.settings.data_directory),
        },
    )
    assert await child.wait() == -signal.SIGKILL
    path = upload_path(anywhere.user_id, upload_id)
    assert await anywhere.files() == {path}
    assert (await anywhere.row(upload_id))["status"] == "AWAITING"
    await anywhere.age(upload_id)
    assert await sweep_uploads(anywhere.database, anywhere.storage) == 1
    assert await anywhere.files() == set()
    assert await anywhere.row(upload_id) is None


async def test_two_sweeps_at_once_delete_each_upload_once(anywhere: PhotoUploads) -> None:
    uploads = [await anywhere.announce() for _ in range(20)]
    for upload_id in uploads:
        await anywhere.age(upload_id)
    swept = await asyncio.gather(
        *(sweep_uploads(anywhere.database, anywhere.storage) for _ in range(3))
    )
    assert sum(swept) == 20
