"""The verbs of uploads: a place for one photo, and what arrived there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from db.actor import SERVICE, Actor
from db.errors import DomainError, ErrorCode, bad_input
from db.pool import Database, Transaction
from db.storage import EXTENSIONS, upload_path

UPLOAD_LIMIT_BYTES = 15 * 1_048_576

_INSERT_UPLOAD = text("""
    insert into uploads (user_id, content_type, declared_size_bytes, expires_at)
    values (:user_id, :content_type, :size_bytes, now() + make_interval(secs => :url_seconds))
    returning id
""")
_FIND_UPLOAD = text("select user_id, status, expires_at from uploads where id = :id")
_MARK_READY = text("""
    update uploads
    set status = 'READY', path = :path, stored_content_type = :content_type,
        original_sha256 = :sha256, width_pixels = :width, height_pixels = :height,
        size_bytes = :size_bytes, received_at = now(), rejected_code = null, rejected_message = null
    where id = :id and status <> 'READY'
""")
_MARK_REJECTED = text("""
    update uploads
    set status = 'REJECTED', rejected_code = :code, rejected_message = :message
    where id = :id and status <> 'READY'
""")


async def create_upload(
    transaction: Transaction,
    actor: Actor,
    content_type: str,
    size_bytes: int,
    url_seconds: int,
    limit_bytes: int = UPLOAD_LIMIT_BYTES,
) -> UUID:
    """A place for one photo of the actor's, awaiting its bytes for `url_seconds`."""
    if content_type not in EXTENSIONS:
        raise bad_input(
            f"Send a photo of one of these types: {', '.join(EXTENSIONS)}.", "input", "contentType"
        )
    if size_bytes == 0:
        raise DomainError(
            ErrorCode.EMPTY_FILE, "The file is empty. Choose another.", ("input", "sizeBytes")
        )
    if not 0 < size_bytes <= limit_bytes:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"A photo may have 1 byte to {limit_bytes / 1_048_576:g} MiB. Send a smaller one.",
            ("input", "sizeBytes"),
        )
    upload_id: UUID = await transaction.fetch_value(
        _INSERT_UPLOAD,
        user_id=actor.user_id,
        content_type=content_type,
        size_bytes=size_bytes,
        url_seconds=url_seconds,
    )
    return upload_id


@dataclass(frozen=True, slots=True)
class UploadState:
    """Whether an upload has its photo, and until when it waits for one."""

    status: str
    expires_at: datetime


class UploadRecords:
    """What the routes of signed links learn of uploads and write down about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_upload(self, upload_id: UUID) -> UploadState | None:
        """The upload, or None when there is none."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND_UPLOAD, id=upload_id)
        return UploadState(row["status"], row["expires_at"]) if row else None

    async def mark_ready(
        self,
        upload_id: UUID,
        *,
        sha256: str,
        width: int,
        height: int,
        size_bytes: int,
        content_type: str,
    ) -> None:
        """The photo lies in storage. An upload that is ready already stays as it is."""
        async with self._database.transaction(SERVICE) as transaction:
            row = await transaction.fetch_one(_FIND_UPLOAD, id=upload_id)
            if row is None:
                return
            await transaction.execute(
                _MARK_READY,
                id=upload_id,
                path=upload_path(row["user_id"], upload_id),
                content_type=content_type,
                sha256=sha256,
                width=width,
                height=height,
                size_bytes=size_bytes,
            )

    async def mark_rejected(self, upload_id: UUID, code: ErrorCode, message: str) -> None:
        """The bytes were refused; better ones may follow. An upload that is ready stays so."""
        async with self._database.transaction(SERVICE) as transaction:
            await transaction.execute(
                _MARK_REJECTED, id=upload_id, code=code.value, message=message
            )
