"""Takes files of products in as they come, and copies photos to be pictures of products."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO
from uuid import UUID, uuid4

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode, not_found
from db.core.pool import Database
from db.files.storage import Storage, product_file_path, product_picture_path
from db.marketplace import operations
from db.marketplace.operations import AwaitedFile


class ProductReceiver:
    """Stores what sellers send for products; no transaction is open meanwhile."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    async def awaited(self, file_id: UUID) -> AwaitedFile | None:
        """The file when its link may still be used, None when there is none."""
        found = await operations.find_file(self._database, file_id)
        if found is None:
            return None
        if found.is_ready:
            raise _already_received()
        if found.expires_at <= datetime.now(UTC):
            raise DomainError(
                ErrorCode.UPLOAD_EXPIRED,
                "This file's URL has expired; announce the file anew and send it there.",
            )
        return found

    async def receive(
        self, file_id: UUID, awaited: AwaitedFile, body: IO[bytes], size_bytes: int
    ) -> None:
        """Takes the bytes of a file.

        Of two that come at once each has a place of its own, so that what counts stays as it was;
        the other's is removed, or swept after a crash.
        """
        if size_bytes == 0:
            raise DomainError(ErrorCode.EMPTY_FILE, "The file is empty. Send another.")
        path = product_file_path(awaited.product_id, uuid4())
        await self._storage.put_file(path, body, awaited.content_type)
        if not await operations.note_file(self._database, file_id, path, size_bytes):
            await self._storage.delete(path)
            raise _already_received()

    async def add_picture(self, actor: Actor, product_id: str, upload_id: UUID) -> None:
        """Copies a photo of the actor's to be a picture of a product of theirs."""
        await operations.check_picture(self._database, actor, product_id)
        photo = await operations.find_photo(self._database, actor, upload_id)
        if photo is None:
            raise not_found("upload", ("input", "uploadId"))
        picture_id = uuid4()
        path = product_picture_path(product_id, picture_id, photo.content_type)
        try:
            data = await self._storage.get(photo.path)
        except FileNotFoundError:
            raise not_found("upload", ("input", "uploadId")) from None
        await self._storage.put(path, data, photo.content_type)
        await operations.add_picture(self._database, actor, product_id, picture_id, path, photo)


def _already_received() -> DomainError:
    return DomainError(
        ErrorCode.BAD_USER_INPUT, "This file has come already; announce another for another file."
    )
