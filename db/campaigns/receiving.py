"""Takes lists of contacts in as they come; their rows are judged when a campaign reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from db.campaigns.operations import AwaitedList, find_list, note_list
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.storage import Storage


class ContactReceiver:
    """Stores a list, then records it. What a crash leaves in between is replaced."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    async def awaited(self, list_id: UUID) -> AwaitedList | None:
        """The list when its link may still be used, None when there is none."""
        found = await find_list(self._database, list_id)
        if found is None:
            return None
        if found.is_ready:
            raise _already_received()
        if found.expires_at <= datetime.now(UTC):
            raise DomainError(
                ErrorCode.UPLOAD_EXPIRED,
                "This list's URL has expired; create a new one and send it there.",
            )
        return found

    async def receive(self, list_id: UUID, path: str, data: bytes) -> None:
        """Take the bytes of a list."""
        if not data:
            raise DomainError(ErrorCode.EMPTY_FILE, "The file is empty. Send another.")
        if not await self._storage.create(path, data, "text/csv"):
            await self._replace(list_id, path, data)
        if not await note_list(self._database, list_id, path, len(data)):
            raise _already_received()

    async def _replace(self, list_id: UUID, path: str, data: bytes) -> None:
        """Put a list where a crash left one that was not recorded."""
        found = await find_list(self._database, list_id)
        if found is None or found.is_ready:
            raise _already_received()
        await self._storage.put(path, data, "text/csv")


def _already_received() -> DomainError:
    return DomainError(
        ErrorCode.BAD_USER_INPUT, "This list has come already; create a new one for another file."
    )
