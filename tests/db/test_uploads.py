"""An upload is its owner's, within limits and quota, and never changes once its photo is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import SERVICE, Actor
from db.core.commands import call
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage, upload_path
from db.uploads.operations import (
    UploadLimits,
    UploadRecords,
    create_upload,
    delete_upload,
)
from settings import Settings

from ..conftest import MakeUser
from ..upload_limits import publish, usual_limits_after

MEBIBYTE = 1_048_576
LIMITS = UploadLimits.of(Settings())
PHOTO = {
    "sha256": "ab" * 32,
    "width": 30,
    "height": 40,
    "size_bytes": 900,
    "content_type": "image/jpeg",
}


async def announced(
    database: Database, actor: Actor, size_bytes: int = 10, limits: UploadLimits = LIMITS
) -> UUID:
    await publish(database, limits)
    async with database.transaction(actor) as transaction:
        return await call(transaction, create_upload("image/jpeg", size_bytes, limits))


@pytest.fixture(autouse=True)
async def usual_limits(database: Database) -> AsyncIterator[None]:
    """The database is shared: what a test publishes holds until it ends."""
    async with usual_limits_after(database):
        yield


async def refusal_of(attempt: object) -> str | None:
    """The code that a function, in Python or in SQL, refuses with."""
    try:
        await attempt  # type: ignore[misc]
    except DomainError as error:
        return error.code
    except asyncpg.PostgresError as error:
        return str(error.hint)
    return None


@pytest.mark.parametrize(
    ("announced", "content_type"),
    [
        *((kind, kind) for kind in ("image/jpeg", "image/png", "image/webp")),
        *((kind, "image/jpeg") for kind in ("image/jpg", "IMAGE/JPEG", "image/pjpeg")),
        ("Image/Png; charset=binary", "image/png"),
    ],
)
async def test_a_user_gets_a_place_for_a_photo(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    announced: str,
    content_type: str,
) -> None:
    actor = await make_user()
    async with database.transaction(actor) as transaction:
        upload_id = await call(transaction, create_upload(announced, 15 * MEBIBYTE, LIMITS))
    row = await owner.fetchrow("select * from uploads where id = $1", upload_id)
    assert (row["user_id"], row["status"], row["content_type"], row["declared_size_bytes"]) == (
        actor.user_id,
        "AWAITING",
        content_type,
        15 * MEBIBYTE,
    )
    assert (row["expires_at"] - row["created_at"]).total_seconds() == 900


@pytest.mark.parametrize(
    ("content_type", "size_bytes", "code", "field"),
    [
        ("image/gif", 10, ErrorCode.BAD_USER_INPUT, "contentType"),
        ("image/svg+xml", 10, ErrorCode.BAD_USER_INPUT, "contentType"),
        ("", 10, ErrorCode.BAD_USER_INPUT, "contentType"),
        ("image/png", 0, ErrorCode.EMPTY_FILE, "sizeBytes"),
        ("image/png", -1, ErrorCode.BAD_USER_INPUT, "sizeBytes"),
        ("image/png", 15 * MEBIBYTE + 1, ErrorCode.LIMIT_EXCEEDED, "sizeBytes"),
    ],
)
async def test_what_no_photo_can_be_is_refused(
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    content_type: str,
    size_bytes: int,
    code: ErrorCode,
    field: str,
) -> None:
    actor = await make_user()
    with pytest.raises(DomainError) as refusal:
        async with database.transaction(actor) as transaction:
            await call(transaction, create_upload(content_type, size_bytes, LIMITS))
    assert (refusal.value.code, refusal.value.path) == (code, ("input", field))
    assert not await owner.fetchval(
        "select count(*) from uploads where user_id = $1", actor.user_id
    )


async def test_the_function_itself_takes_no_size_that_makes_room(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    """A client's role may call it with anything, past what Python refuses."""
    actor = await make_user()
    for content_type, size_bytes in (
        ("image/jpeg", -(2**63)),
        ("image/jpeg", -1),
        ("image/jpeg", 0),
        ("image/jpeg", None),
        ("image/gif", 9),
        ("x" * 10_000, 9),
        ("", 9),
        (None, 9),
    ):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            async with database.transaction(actor) as transaction:
                await transaction.connection.fetchval(
                    "select app.create_upload($1, $2)", content_type, size_bytes
                )
        assert refusal.value.hint == ErrorCode.BAD_USER_INPUT
    counted = "select bytes_used from quota_use where user_id = $1 and slice = 'uploads'"
    assert not await owner.fetchval(counted, actor.user_id)


async def test_nobody_makes_an_upload_without_the_function(
    database: Database, make_user: MakeUser
) -> None:
    actor = await make_user()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(actor) as transaction:
            await transaction.connection.execute(
                "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
                " values ($1, 'image/png', 9, now())",
                actor.user_id,
            )


async def test_the_records_of_an_upload(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    assert actor.user_id is not None
    records = UploadRecords(database)
    assert await records.find_upload(uuid4()) is None
    upload_id = await announced(database, actor)
    await records.mark_rejected(upload_id, ErrorCode.INVALID_IMAGE, "Not a photo.")
    found = await records.find_upload(upload_id)
    assert found is not None
    assert found.status == "REJECTED"

    assert await records.mark_ready(upload_id, **PHOTO)  # type: ignore[arg-type]
    ready = dict(await owner.fetchrow("select * from uploads where id = $1", upload_id))
    assert (ready["status"], ready["path"], ready["rejected_code"]) == (
        "READY",
        upload_path(actor.user_id, upload_id),
        None,
    )
    assert ready["received_at"] is not None

    await records.mark_rejected(upload_id, ErrorCode.EMPTY_FILE, "Empty.")
    assert not await records.reserve(upload_id, 100)
    await records.mark_ready(upload_id, **{**PHOTO, "sha256": "cd" * 32})  # type: ignore[arg-type]
    assert ready == dict(await owner.fetchrow("select * from uploads where id = $1", upload_id))
    assert not await records.mark_ready(uuid4(), **PHOTO)  # type: ignore[arg-type]
    assert not await records.reserve(uuid4(), 100)


async def test_what_is_announced_counts_until_its_time_is_over(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, limits = await make_user(), replace(LIMITS, quota_bytes=100)
    first = await announced(database, actor, 60, limits)
    await announced(database, actor, 40, limits)
    assert await refusal_of(announced(database, actor, 1, limits)) == "QUOTA_EXCEEDED"
    assert await refusal_of(announced(database, await make_user(), 100, limits)) is None
    await owner.execute(
        "update uploads set created_at = now() - $2::interval where id = $1",
        first,
        limits.waiting + timedelta(seconds=1),
    )
    assert await refusal_of(announced(database, actor, 60, limits)) is None


async def test_a_photo_counts_with_the_bytes_that_are_stored(
    database: Database, make_user: MakeUser
) -> None:
    actor, limits = await make_user(), replace(LIMITS, quota_bytes=1_000)
    records, upload_id = UploadRecords(database), await announced(database, actor, 10, limits)
    assert await refusal_of(records.reserve(upload_id, 1_001)) == "QUOTA_EXCEEDED"
    assert await records.reserve(upload_id, 900)
    assert await refusal_of(announced(database, actor, 101, limits)) == "QUOTA_EXCEEDED"
    await records.mark_ready(upload_id, **PHOTO)  # type: ignore[arg-type]
    assert await refusal_of(announced(database, actor, 101, limits)) == "QUOTA_EXCEEDED"
    assert await refusal_of(announced(database, actor, 100, limits)) is None


async def test_only_so_many_uploads_wait_for_their_photo(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, limits = await make_user(), replace(LIMITS, waiting_uploads=3)
    answers = await asyncio.gather(
        *(refusal_of(announced(database, actor, 10, limits)) for _ in range(8))
    )
    assert answers.count(None) == 3
    assert answers.count("QUOTA_EXCEEDED") == 5
    assert await refusal_of(announced(database, await make_user(), 10, limits)) is None
    ids = [
        row["id"]
        for row in await owner.fetch("select id from uploads where user_id = $1", actor.user_id)
    ]
    await deleting(database, actor, ids[0])
    await UploadRecords(database).mark_rejected(ids[1], ErrorCode.INVALID_IMAGE, "Not a photo.")
    assert await refusal_of(announced(database, actor, 10, limits)) == "QUOTA_EXCEEDED"
    await UploadRecords(database).mark_ready(ids[2], **PHOTO)  # type: ignore[arg-type]
    assert await refusal_of(announced(database, actor, 10, limits)) is None
    await owner.execute(
        "update uploads set created_at = now() - $2::interval where id = $1",
        ids[0],
        limits.waiting + timedelta(seconds=1),
    )
    assert await refusal_of(announced(database, actor, 10, limits)) is None
    assert await refusal_of(announced(database, actor, 10, limits)) == "QUOTA_EXCEEDED"


async def test_of_many_at_once_only_so_many_fit(database: Database, make_user: MakeUser) -> None:
    actor, limits = await make_user(), replace(LIMITS, quota_bytes=50)
    answers = await asyncio.gather(
        *(refusal_of(announced(database, actor, 10, limits)) for _ in range(9))
    )
    assert answers.count(None) == 5
    assert answers.count("QUOTA_EXCEEDED") == 4


async def test_photos_that_arrive_at_once_only_fit_so_many(
    database: Database, make_user: MakeUser
) -> None:
    actor, limits = await make_user(), replace(LIMITS, quota_bytes=3_000)
    uploads = [await announced(database, actor, 1, limits) for _ in range(8)]
    records = UploadRecords(database)
    answers = await asyncio.gather(
        *(refusal_of(records.reserve(upload_id, 900)) for upload_id in uploads)
    )
    assert answers.count(None) == 3
    assert answers.count("QUOTA_EXCEEDED") == 5


async def deleting(database: Database, actor: Actor, upload_id: UUID) -> None:
    async with database.transaction(actor) as transaction:
        await call(transaction, delete_upload(database, open_storage(Settings()), upload_id))


async def test_a_deleted_photo_is_forgotten_and_frees_its_room(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, limits = await make_user(), replace(LIMITS, quota_bytes=1_000)
    records, upload_id = UploadRecords(database), await announced(database, actor, 900, limits)
    await records.mark_ready(upload_id, **PHOTO)  # type: ignore[arg-type]
    assert await refusal_of(deleting(database, await make_user(), upload_id)) == "NOT_FOUND"
    assert await refusal_of(deleting(database, actor, uuid4())) == "NOT_FOUND"
    assert await owner.fetchval("select status from uploads where id = $1", upload_id) == "READY"

    await deleting(database, actor, upload_id)
    row = await owner.fetchrow("select * from uploads where id = $1", upload_id)
    assert (row["status"], row["path"], row["original_sha256"]) == ("DELETED", "", None)
    assert await records.find_upload(upload_id) is None
    assert not await records.mark_ready(upload_id, **PHOTO)  # type: ignore[arg-type]
    assert await refusal_of(deleting(database, actor, upload_id)) == "NOT_FOUND"
    assert await refusal_of(announced(database, actor, 1_000, limits)) is None


async def test_only_the_owners_commands_are_theirs(database: Database, make_user: MakeUser) -> None:
    actor = await make_user()
    for function in (
        "app.lock_uploads(gen_random_uuid())",
        "app.refuse_over_quota(gen_random_uuid(), 1)",
        "app.reserve_upload_bytes(gen_random_uuid(), 1)",
        "app.set_upload_terms('1 day', '1 day', 1000000, 1000000000000)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction(actor) as transaction:
                await transaction.connection.execute(f"select {function}")
    async with database.transaction(SERVICE) as transaction:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await transaction.connection.execute("select app.delete_upload(gen_random_uuid())")
