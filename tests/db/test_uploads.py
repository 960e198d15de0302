"""An upload is its owner's, within limits, and never changes once its photo is there."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from db.actor import Actor
from db.errors import DomainError, ErrorCode
from db.pool import Database
from db.storage import upload_path
from db.uploads.operations import UploadRecords, create_upload

from ..conftest import MakeUser

MEBIBYTE = 1_048_576
PHOTO = {
    "sha256": "ab" * 32,
    "width": 30,
    "height": 40,
    "size_bytes": 900,
    "content_type": "image/jpeg",
}


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png", "image/webp"])
async def test_a_user_gets_a_place_for_a_photo(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection, content_type: str
) -> None:
    actor = await make_user()
    async with database.transaction(actor) as transaction:
        upload_id = await create_upload(transaction, actor, content_type, 15 * MEBIBYTE, 900)
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
        ("image/png", -1, ErrorCode.LIMIT_EXCEEDED, "sizeBytes"),
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
            await create_upload(transaction, actor, content_type, size_bytes, 900)
    assert (refusal.value.code, refusal.value.path) == (code, ("input", field))
    assert not await owner.fetchval(
        "select count(*) from uploads where user_id = $1", actor.user_id
    )


async def test_nobody_makes_an_upload_for_somebody_else(
    database: Database, make_user: MakeUser
) -> None:
    actor, victim = await make_user(), await make_user()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(actor) as transaction:
            await create_upload(
                transaction, Actor("authenticated", victim.user_id), "image/png", 10, 900
            )


async def test_the_records_of_an_upload(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    assert actor.user_id is not None
    records = UploadRecords(database)
    assert await records.find_upload(uuid4()) is None
    async with database.transaction(actor) as transaction:
        upload_id = await create_upload(transaction, actor, "image/jpeg", 10, 900)
    await records.mark_rejected(upload_id, ErrorCode.INVALID_IMAGE, "Not a photo.")
    found = await records.find_upload(upload_id)
    assert found is not None
    assert found.status == "REJECTED"

    await records.mark_ready(upload_id, **PHOTO)  # type: ignore[arg-type]
    ready = dict(await owner.fetchrow("select * from uploads where id = $1", upload_id))
    assert (ready["status"], ready["path"], ready["rejected_code"]) == (
        "READY",
        upload_path(actor.user_id, upload_id),
        None,
    )
    assert ready["received_at"] is not None

    await records.mark_rejected(upload_id, ErrorCode.EMPTY_FILE, "Empty.")
    await records.mark_ready(upload_id, **{**PHOTO, "sha256": "cd" * 32})  # type: ignore[arg-type]
    assert ready == dict(await owner.fetchrow("select * from uploads where id = $1", upload_id))
    await records.mark_ready(uuid4(), **PHOTO)  # type: ignore[arg-type]
