"""Takes photos in: through us, or out of a bucket where a client put them; and lets them go."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import structlog

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.fair_queue import Asker
from db.core.pool import Database
from db.files.images import ImageWorker, InspectedImage
from db.files.storage import Storage, incoming_path, media_type, upload_path, whole_of
from db.uploads.operations import (
    UNUSED_LASTS,
    UploadLimits,
    UploadRecords,
    UploadState,
    delete_unused_uploads,
    delete_upload_files,
    known_files,
)
from db.uploads.tables import UploadStatus

AT_ONCE = 500
BYTES_OF_MIB = 1_048_576
# Refusals of the bytes themselves; the upload remembers them until better bytes arrive.
REJECTIONS = {ErrorCode.EMPTY_FILE, ErrorCode.INVALID_IMAGE, ErrorCode.LIMIT_EXCEEDED}

log = structlog.get_logger(__name__)


class UploadReceiver:
    """Inspects what arrived, counts it, stores it, records it: in this order, each by itself.

    No transaction is open while bytes are inspected or stored. The bytes are counted before they
    are stored, so nothing stored is ever taken back for want of room. A crash on the way leaves at
    most a file at the upload's own path, where the same photo may go on or the sweep finds it.
    """

    def __init__(
        self, database: Database, storage: Storage, images: ImageWorker, limits: UploadLimits
    ) -> None:
        self.limits = limits
        self._database = database
        self._records = UploadRecords(database)
        self.storage = storage
        self.images = images

    async def awaited(self, upload_id: UUID) -> UploadState | None:
        """The upload when its link may still be used, None when there is none."""
        upload = await self._records.find_upload(upload_id)
        if upload is None:
            return None
        if upload.status == UploadStatus.READY:
            raise _already_received()
        if upload.expires_at <= datetime.now(UTC):
            raise DomainError(
                ErrorCode.UPLOAD_EXPIRED,
                "This upload has expired; create a new one and send it there.",
            )
        return upload

    async def receive(
        self, upload_id: UUID, upload: UploadState, data: bytes, network: str = ""
    ) -> InspectedImage:
        """Take the bytes of an upload's photo, or remember why not.

        Many photos take turns with those of other networks, and there with other users'.
        """
        asker = Asker(network, str(upload.user_id))
        try:
            image = await self.images.inspect(data, upload.content_type, asker)
            _check_announced_size(len(data), upload)
        except DomainError as refusal:
            await self.reject(upload_id, refusal)
            raise
        await self._keep(upload_id, upload, image)
        return image

    async def reject(self, upload_id: UUID, refusal: DomainError) -> None:
        """Remember a refusal of the bytes, for whoever uses the upload next."""
        if refusal.code in REJECTIONS:
            await self._records.mark_rejected(upload_id, refusal.code, refusal.message)

    async def collect(self, actor: Actor, upload_id: UUID) -> None:
        """Take in what a client put into the bucket itself; nothing when there is nothing new.

        The bucket's link signs neither size nor type: both are looked at before the bytes are
        fetched, and what breaks the announcement is deleted.
        """
        if not self.storage.is_direct:
            return
        upload = await self._records.find_upload(upload_id)
        if upload is None or upload.user_id != actor.user_id or upload.status == UploadStatus.READY:
            return
        incoming = incoming_path(upload.folder_id, upload_id)
        with suppress(FileNotFoundError):  # nothing came, or it was replaced while we looked
            try:
                version = await self._checked_version(incoming, upload)
                data = await self.storage.get(incoming, version)
                await self.receive(upload_id, upload, data)
            except DomainError as refusal:
                if refusal.code in REJECTIONS:
                    await self.reject(upload_id, refusal)
                    await self.storage.delete(incoming)
                raise
            await self.storage.delete(incoming)

    async def _checked_version(self, incoming: str, upload: UploadState) -> str | None:
        found = await self.storage.head(incoming)
        if found.size_bytes > self.limits.size_bytes:
            raise too_large(self.limits.size_bytes)
        _check_announced_size(found.size_bytes, upload)
        if media_type(found.content_type) != upload.content_type:
            raise DomainError(
                ErrorCode.INVALID_IMAGE,
                f"The file was sent as {found.content_type or 'no type'}, but {upload.content_type}"
                " was announced. Send it with the headers that createUpload gave.",
            )
        return found.version

    async def _keep(self, upload_id: UUID, upload: UploadState, image: InspectedImage) -> None:
        path = upload_path(upload.folder_id, upload_id)
        if not await self._records.reserve(upload_id, len(image.data)):
            raise _already_received()
        # The first to create the file wins. A file that is there while the upload is not ready was
        # left by a crash in between or by a request running now: the same photo may go on.
        created = await self.storage.create(path, image.data, image.content_type)
        if not created and await self.storage.get(path) != image.data:
            raise _already_received()
        if not await self._records.mark_inspected(upload_id, image):
            await self.storage.delete(path)  # deleted meanwhile: nobody can make it ready again
            raise _already_received()


def _check_announced_size(size_bytes: int, upload: UploadState) -> None:
    if size_bytes > upload.declared_size_bytes:
        raise DomainError(
            ErrorCode.LIMIT_EXCEEDED,
            f"The file has {size_bytes} bytes, but {upload.declared_size_bytes} were announced. "
            "Call createUpload again with its true sizeBytes.",
        )


def too_large(limit_bytes: int) -> DomainError:
    """A file above the deployment's limit."""
    return DomainError(
        ErrorCode.LIMIT_EXCEEDED,
        f"The file is too large; at most {_written(limit_bytes)} are accepted.",
    )


def _written(size_bytes: int) -> str:
    """A size as people write it: small ones in bytes."""
    if size_bytes < BYTES_OF_MIB:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / BYTES_OF_MIB:,.2f}".rstrip("0").rstrip(".") + " MiB"


def _already_received() -> DomainError:
    return DomainError(
        ErrorCode.BAD_USER_INPUT,
        "This upload has its photo already; create a new upload for another one.",
    )


async def sweep_uploads(database: Database, storage: Storage) -> int:
    """Delete what was uploaded and not used in a day, files included; returns how many."""
    swept = 0
    while deleted := await delete_unused_uploads(database, AT_ONCE):
        for folder_id, upload_id in deleted:
            await delete_upload_files(storage, folder_id, upload_id)
        swept += len(deleted)
    return swept


async def sweep_files(database: Database, storage: Storage) -> int:
    """Delete files that are a day old and nobody's: left by crashes, or by deleted accounts."""
    swept = 0
    async for paths in storage.older_than(datetime.now(UTC) - UNUSED_LASTS):
        whole = {path: whole_of(path) for path in paths}
        known = await known_files(database, list(set(whole.values())))
        for path in paths:
            if whole[path] not in known:
                await storage.delete(path)
                swept += 1
    return swept
