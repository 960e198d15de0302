"""The files of a guest stay where they are when the guest is merged, and go when they should."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest

from db.core.actor import Actor
from db.core.commands import call
from db.core.pool import Database
from db.files.images import ImageWorker
from db.files.links import open_links
from db.files.storage import Storage, generation_path, open_storage, upload_path
from db.uploads import receiving
from db.uploads.operations import UploadLimits, create_upload
from db.uploads.receiving import UploadReceiver, sweep_files, sweep_uploads
from settings import Settings
from tests import pictures
from tests.upload_limits import publish, usual_limits_after

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, delete_photo

LATER = datetime.now(UTC) + timedelta(days=2)
PHOTO = pictures.jpeg_with_exif(pictures.portrait(120, 160).picture)
MERGE = "select app.lock_for_merge($1, $2), app.merge_guest($1, $2)"


@dataclass
class Guest:
    """A guest with a photo that is there, one that is announced, and a member."""

    database: Database
    storage: Storage
    receiver: UploadReceiver
    settings: Settings
    owner: asyncpg.Connection
    actor: Actor
    member: Actor

    @property
    def id(self) -> UUID:
        assert self.actor.user_id is not None
        return self.actor.user_id

    async def announce(self) -> UUID:
        async with self.database.transaction(self.actor) as transaction:
            return await call(
                transaction, create_upload("image/jpeg", len(PHOTO), self.receiver.limits)
            )

    async def receive(self, upload_id: UUID) -> None:
        upload = await self.receiver.awaited(upload_id)
        assert upload is not None
        await self.receiver.receive(upload_id, upload, PHOTO)

    async def merge(self) -> None:
        await self.owner.execute(MERGE, self.id, self.member.user_id)

    async def files(self) -> set[str]:
        return {path async for chunk in self.storage.older_than(LATER) for path in chunk}


@pytest.fixture
async def guest(
    stored_anywhere: Settings, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[Guest]:
    """On storage of its own, in a folder and in a bucket."""
    storage, limits = open_storage(stored_anywhere), UploadLimits.of(stored_anywhere)
    receiver = UploadReceiver(database, storage, ImageWorker(40_000_000), limits)
    await owner.execute("update uploads set used_at = now() where used_at is null")
    async with usual_limits_after(database):
        await publish(database, limits)
        actor, member = await make_user(), await make_user()
        await owner.execute("update users set is_anonymous = true where id = $1", actor.user_id)
        yield Guest(database, storage, receiver, stored_anywhere, owner, actor, member)


async def test_no_file_of_a_merged_guest_is_taken_for_lost(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = await guest.announce()
    await guest.receive(photo)
    generation = await create_generation(guest.database, guest.actor, photo)
    result = generation_path(guest.id, generation, "image/jpeg")
    await guest.owner.execute(
        "update generations set result_path = $2 where id = $1", generation, result
    )
    await guest.storage.put(result, b"bytes")
    await guest.merge()
    monkeypatch.setattr(receiving, "UNUSED_LASTS", timedelta(seconds=-60))
    assert await sweep_files(guest.database, guest.storage) == 0
    assert await guest.files() == {upload_path(guest.id, photo), result}


async def test_a_photo_that_comes_after_the_merge_is_found(guest: Guest) -> None:
    """By the link that the guest was given, and by the one that the member is shown."""
    photo = await guest.announce()
    links = open_links(guest.settings)
    link = links.put_url(guest.id, photo, datetime.now(UTC).timestamp() + 600)
    await guest.merge()
    if guest.storage.is_direct:
        headers = {**links.put_headers("image/jpeg"), "Content-Type": "image/jpeg"}
        async with httpx.AsyncClient() as http:
            (await http.put(link, content=PHOTO, headers=headers)).raise_for_status()
        await guest.receiver.collect(guest.member, photo)
    else:
        await guest.receive(photo)
    row = await guest.owner.fetchrow("select * from uploads where id = $1", photo)
    assert (row["user_id"], row["status"]) == (guest.member.user_id, "READY")
    assert {row["path"]} == await guest.files()


async def test_a_photo_that_is_looked_at_during_the_merge_is_kept(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = await guest.announce()
    create = Storage.create

    async def merged_meanwhile(storage: Storage, *given: object) -> bool:
        await guest.merge()
        return await create(storage, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Storage, "create", merged_meanwhile)
    await guest.receive(photo)
    row = await guest.owner.fetchrow("select * from uploads where id = $1", photo)
    assert (row["user_id"], row["status"]) == (guest.member.user_id, "READY")
    assert {row["path"]} == await guest.files()


@pytest.mark.parametrize("way", ["deleted", "swept"])
async def test_what_the_member_deletes_is_gone(guest: Guest, way: str) -> None:
    photo = await guest.announce()
    await guest.receive(photo)
    await guest.merge()
    if way == "deleted":
        await delete_photo(guest.database, guest.storage, guest.member, photo)
    else:
        await guest.owner.execute(
            "update uploads set created_at = now() - interval '25 hours' where id = $1", photo
        )
        assert await sweep_uploads(guest.database, guest.storage) == 1
    assert await guest.files() == set()
