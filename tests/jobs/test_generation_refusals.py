"""What cannot be generated is refused at once, and nothing has changed."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import Storage
from db.uploads.operations import UploadRecords

from ..conftest import MakeUser
from .helpers import (
    awaiting_upload,
    create_generation,
    movements,
    ready_upload,
    wallet,
)


async def refused(
    database: Database,
    owner: asyncpg.Connection,
    actor: Actor,
    upload_id: UUID,
    tool_id: str = "hair-color",
    parameters: dict[str, object] | None = None,
    key: str = "k",
) -> str:
    """The code of a refused creation, after a look that nothing changed."""
    count = "select count(*) from generations where user_id = $1"
    jobs = "select count(*) from queue.pgqueuer"
    before = (
        await wallet(owner, actor),
        await movements(owner, actor),
        await owner.fetchval(count, actor.user_id),
        await owner.fetchval(jobs),
    )
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await create_generation(database, actor, upload_id, tool_id, parameters, key)
    assert refusal.value.sqlstate == "TG000"
    assert before == (
        await wallet(owner, actor),
        await movements(owner, actor),
        await owner.fetchval(count, actor.user_id),
        await owner.fetchval(jobs),
    )
    return str(refusal.value.hint)


async def test_unusable_uploads_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor, stranger = await make_user(), await make_user()
    records = UploadRecords(database)
    foreign = await ready_upload(database, storage, stranger)
    assert await refused(database, owner, actor, foreign) == "NOT_FOUND"
    assert await refused(database, owner, actor, uuid4()) == "NOT_FOUND"
    awaiting = await awaiting_upload(database, actor)
    assert await refused(database, owner, actor, awaiting) == "UPLOAD_MISSING"
    expired = await awaiting_upload(database, actor)
    await owner.execute("update uploads set expires_at = now() where id = $1", expired)
    assert await refused(database, owner, actor, expired) == "UPLOAD_EXPIRED"
    for code in (ErrorCode.INVALID_IMAGE, ErrorCode.EMPTY_FILE):
        rejected = await awaiting_upload(database, actor)
        await records.mark_rejected(rejected, code, "Send another.")
        assert await refused(database, owner, actor, rejected) == code


async def test_tools_that_cannot_be_used_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload_id: UUID = await ready_upload(database, storage, actor)
    assert await refused(database, owner, actor, upload_id, "switched-off", {}) == "TOOL_INACTIVE"
    assert await refused(database, owner, actor, upload_id, "moustache", {}) == "NOT_FOUND"


async def test_an_empty_wallet_and_a_reused_key_are_refused(
    database: Database, storage: Storage, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    await create_generation(database, actor, upload_id, key="used")
    assert (
        await refused(database, owner, actor, upload_id, "halloween", {}, key="used")
        == "IDEMPOTENCY_CONFLICT"
    )
    assert (
        await refused(database, owner, actor, upload_id, "halloween", {}, key="new")
        == "INSUFFICIENT_CREDITS"
    )
