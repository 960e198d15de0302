"""The commands of uploads: what may be announced, what arrived, what is deleted or swept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call, call_on
from db.core.errors import DomainError, ErrorCode, bad_input, refuse_any
from db.core.pool import Database
from db.files.images import InspectedImage
from db.files.storage import (
    EXTENSIONS,
    Storage,
    incoming_path,
    media_type,
    older_upload_path,
    upload_path,
)

if TYPE_CHECKING:
    from settings import Settings

# Uploads that no generation used are swept after this time, as are files that nobody knows.
UNUSED_LASTS = timedelta(hours=24)
# A PUT that begins in the last second of its link may take this long to be stored.
RECEIVING_LASTS = timedelta(minutes=15)

log = structlog.get_logger(__name__)

_CREATE = SqlFunction[UUID]("app.create_upload", "uuid", content_type="text", size_bytes="bigint")
_DELETE = SqlFunction[UUID]("app.delete_upload", "uuid", wanted_upload="uuid")
_RESERVE = SqlFunction[bool](
    "app.reserve_upload_bytes", "boolean", wanted_upload="uuid", photo_bytes="bigint"
)
_SET_TERMS = SqlFunction[None](
    "app.set_upload_terms",
    "void",
    link_lasts="interval",
    announced_counts="interval",
    waiting_uploads="integer",
    members_bytes="bigint",
)
_FIND = text("""
    select user_id, coalesce(folder_id, user_id) as folder_id, status, content_type,
           declared_size_bytes, expires_at
    from uploads where id = :id and status <> 'DELETED'
""")
_FIND_FOLDER = text("select coalesce(folder_id, user_id) from uploads where id = :id")
_MARK_READY = text("""
    update uploads
    set status = 'READY', path = :path, stored_content_type = :content_type,
        original_sha256 = :sha256, width_pixels = :width, height_pixels = :height,
        size_bytes = :size_bytes, received_at = now(), rejected_code = null, rejected_message = null
    where id = :id and status in ('AWAITING', 'REJECTED')
""")
_MARK_REJECTED = text("""
    update uploads
    set status = 'REJECTED', rejected_code = :code, rejected_message = :message
    where id = :id and status in ('AWAITING', 'REJECTED')
""")
_LOCK_UNUSED = text("""
    select id from uploads where used_at is null and created_at < now() - cast(:lasts as interval)
    order by created_at limit :at_most for update skip locked
""")
# A statement of its own, behind the locks: it sees the generations committed before them.
_DELETE_UNUSED = text("""
    delete from uploads u where u.id = any(:ids)
      and not exists (select from generations g where u.id in (g.upload_id, g.mask_upload_id))
    returning coalesce(u.folder_id, u.user_id) as folder_id, u.id
""")
_KNOWN_FILES = text("""
    select file from unnest(cast(:paths as text[])) file
    cross join lateral (
        select cast(split_part(file, '/', 2) as uuid) as user_id
        union all
        select m.user_id from guest_merges m
        where m.guest_id = cast(split_part(file, '/', 2) as uuid)) owner
    where exists (select from uploads u where u.user_id = owner.user_id and u.path = file)
       or exists (select from generations g
                  where g.user_id = owner.user_id and g.result_path = file)
       or exists (select from data_exports e where e.user_id = owner.user_id and e.path = file)
       or exists (select from workflow_runs r where r.recording_path = file)
       or exists (select from contact_lists l where l.path = file)
       or exists (select from product_files f where f.path = file)
       or exists (select from product_pictures p where p.path = file)
       or exists (select from stores s
                  where s.user_id = owner.user_id and file in (s.logo_path, s.banner_path))
       or exists (select from profiles p
                  where p.user_id = owner.user_id and p.thumbnail_path = file)
       or exists (select from sync_conflicts c
                  where c.user_id = owner.user_id and c.thumbnail_path = file)
""")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a deployment lets a user upload.

    `waiting` is how long what was announced is counted: its bytes, and the uploads themselves, of
    which no more than `waiting_uploads` may be without their photo. All but `size_bytes` hold once
    `publish_limits` has told them to the database.
    """

    size_bytes: int
    quota_bytes: int
    url_lasts: timedelta
    waiting: timedelta
    waiting_uploads: int

    @classmethod
    def of(cls, settings: Settings) -> UploadLimits:
        """The limits that the settings ask for."""
        url_lasts = timedelta(seconds=settings.upload_url_seconds)
        # In a bucket bytes may lie unseen until the sweep; a server takes none behind its link.
        waiting = UNUSED_LASTS if settings.storage_url else url_lasts + RECEIVING_LASTS
        return cls(
            settings.upload_limit_bytes,
            settings.upload_quota_bytes,
            url_lasts,
            waiting,
            settings.upload_waiting_limit,
        )


async def publish_limits(connection: asyncpg.Connection, limits: UploadLimits) -> None:
    """Tells the database, as `service` or its owner, how uploads are announced from now on."""
    terms = _SET_TERMS(
        link_lasts=limits.url_lasts,
        announced_counts=limits.waiting,
        waiting_uploads=limits.waiting_uploads,
        members_bytes=limits.quota_bytes,
    )
    await call_on(connection, terms)


def _problems_announced(found: str, size_bytes: int, limit_bytes: int) -> Iterator[DomainError]:
    if found not in EXTENSIONS:
        yield bad_input(
            f"Send a photo of one of these types: {', '.join(EXTENSIONS)}.", "input", "contentType"
        )
    if size_bytes == 0:
        yield DomainError(
            ErrorCode.EMPTY_FILE, "The file is empty. Choose another.", ("input", "sizeBytes")
        )
    elif size_bytes < 0:
        yield bad_input("A photo has at least 1 byte.", "input", "sizeBytes")
    elif size_bytes > limit_bytes:
        yield DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"A photo may have at most {limit_bytes / 1_048_576:g} MiB. Send a smaller one.",
            ("input", "sizeBytes"),
        )


def create_upload(content_type: str, size_bytes: int, limits: UploadLimits) -> FunctionCall[UUID]:
    """A place for one photo of the actor's; QUOTA_EXCEEDED when there is no room for one more.

    What no photo can be is refused before it arrives.
    """
    found = media_type(content_type)
    refuse_any(_problems_announced(found, size_bytes, limits.size_bytes))
    return _CREATE(content_type=found, size_bytes=size_bytes)


def delete_upload(database: Database, storage: Storage, upload_id: UUID) -> FunctionCall[UUID]:
    """Forgets the actor's photo, then removes its files; gives its id.

    What a fault leaves of the files is swept.
    """

    async def remove_files() -> None:
        try:
            async with database.transaction(SERVICE) as transaction:
                folder_id = await transaction.fetch_value(_FIND_FOLDER, id=upload_id)
            if folder_id is not None:
                await delete_upload_files(storage, folder_id, upload_id)
        except DomainError as error:
            log.warning("files of a deleted upload remain", upload=str(upload_id), error=error)

    return replace(_DELETE(wanted_upload=upload_id), after=remove_files)


async def delete_upload_files(storage: Storage, folder_id: UUID, upload_id: UUID) -> None:
    """Remove all that can lie in storage for an upload."""
    if storage.is_direct:
        await storage.delete(incoming_path(folder_id, upload_id))
    for path_of in (upload_path, older_upload_path):
        await storage.delete_picture(path_of(folder_id, upload_id))


@dataclass(frozen=True, slots=True)
class UploadState:
    """An upload as it was announced, whether it has its photo, and until when it waits for one.

    Its files lie in the folder of `folder_id`, which is its user, or a guest merged into them.
    """

    user_id: UUID
    folder_id: UUID
    status: str
    content_type: str
    declared_size_bytes: int
    expires_at: datetime


class UploadRecords:
    """What those who receive photos learn of uploads and write down about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_upload(self, upload_id: UUID) -> UploadState | None:
        """The upload, or None when there is none or it was deleted."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND, id=upload_id)
        return UploadState(**row) if row else None

    async def reserve(self, upload_id: UUID, size_bytes: int) -> bool:
        """Count what is about to be stored. False when the upload takes no photo any more."""
        async with self._database.transaction(SERVICE) as transaction:
            reserved = _RESERVE(wanted_upload=upload_id, photo_bytes=size_bytes)
            return await call(transaction, reserved)

    async def mark_ready(
        self,
        upload_id: UUID,
        *,
        sha256: str,
        width: int,
        height: int,
        size_bytes: int,
        content_type: str,
    ) -> bool:
        """The photo lies in storage. An upload that is ready stays; False when it is gone."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND, id=upload_id)
            if row is None:
                return False
            await transaction.execute(
                _MARK_READY,
                id=upload_id,
                path=upload_path(row["folder_id"], upload_id),
                content_type=content_type,
                sha256=sha256,
                width=width,
                height=height,
                size_bytes=size_bytes,
            )
            return await transaction.fetch_one(_FIND, id=upload_id) is not None

    async def mark_inspected(self, upload_id: UUID, image: InspectedImage) -> bool:
        """The same, with what the inspection found."""
        return await self.mark_ready(
            upload_id,
            sha256=image.sha256,
            width=image.width_pixels,
            height=image.height_pixels,
            size_bytes=len(image.data),
            content_type=image.content_type,
        )

    async def mark_rejected(self, upload_id: UUID, code: ErrorCode, message: str) -> None:
        """The bytes were refused; better ones may follow. An upload that is ready stays so."""
        async with self._database.transaction(SERVICE) as transaction:
            await transaction.execute(
                _MARK_REJECTED, id=upload_id, code=code.value, message=message
            )


async def delete_unused_uploads(database: Database, at_most: int) -> list[tuple[UUID, UUID]]:
    """Delete uploads that nobody used in a day; returns their folders and ids."""
    async with database.transaction(SERVICE) as transaction:
        locked = await transaction.fetch_all(_LOCK_UNUSED, lasts=UNUSED_LASTS, at_most=at_most)
        ids = [row["id"] for row in locked]
        deleted = await transaction.fetch_all(_DELETE_UNUSED, ids=ids)
    return [(row["folder_id"], row["id"]) for row in deleted]


async def known_files(database: Database, paths: list[str]) -> set[str]:
    """Those of the paths where an upload, a generation, an archive or a profile keeps its file."""
    async with database.transaction(SERVICE) as transaction:
        rows = await transaction.fetch_all(_KNOWN_FILES, paths=paths)
    return {row["file"] for row in rows}
