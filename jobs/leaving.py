"""Jobs of leaving: erasing accounts piece by piece, removing their files, and making archives."""

from __future__ import annotations

from tempfile import TemporaryFile
from uuid import UUID, uuid5

import structlog

from db.core.errors import REFUSAL_SQLSTATE
from db.core.pool import Database
from db.core.retries import retried
from db.files.storage import ARCHIVE_TYPE, Storage, archive_path
from db.leaving import operations
from db.leaving.archives import Archive
from jobs.core.declare import every, job

# About a quarter of an hour; what is due is queued again every minute.
ERASING_ATTEMPTS = 20
# About a day. What is left then is swept at night, as every file that is nobody's.
FILE_ATTEMPTS = 1_500
EXPORT_ATTEMPTS = 5

log = structlog.get_logger(__name__)


async def report_unerased(*, user_id: UUID, error: Exception) -> None:
    """Says that an account could not be erased; the schedule tries it again."""
    is_refusal = getattr(error, "sqlstate", None) == REFUSAL_SQLSTATE
    why = getattr(error, "hint", "") if is_refusal else type(error).__name__
    log.error("account.not_erased", user_id=str(user_id), error=why)


@job("erase_account", attempts=ERASING_ATTEMPTS, when_dead=report_unerased)
async def erase_account(database: Database, *, user_id: UUID) -> None:
    """Erase an account whose time has come; each piece is committed, so that another goes on."""
    if not await operations.begin_erasing(database, user_id):
        return
    while await retried(lambda: operations.erase_rows(database, user_id)):
        pass
    if await retried(lambda: operations.finish_erasing(database, user_id)):
        log.info("account.erased")


async def report_files_left(*, user_id: UUID, error: Exception) -> None:
    """Says that files of a gone account are still there; the nightly sweep removes them."""
    log.error("account.files_left", user_id=str(user_id), error=type(error).__name__)


@job("delete_user_files", attempts=FILE_ATTEMPTS, when_dead=report_files_left)
async def delete_user_files(storage: Storage, *, user_id: UUID) -> None:
    """Remove every file of an account that is gone."""
    if removed := await storage.delete_user_files(user_id):
        log.info("account.files_deleted", files=removed)


@every("* * * * *")
async def erase_due_accounts(database: Database) -> None:
    """Queue the accounts whose time has come."""
    await operations.enqueue_due_erasings(database)


async def give_up_export(database: Database, *, export_id: UUID, error: Exception) -> None:
    """No attempt could make the archive: its user sees that, and may ask for another."""
    log.error("export.failed", export_id=str(export_id), error=type(error).__name__)
    await operations.fail_export(database, export_id)


@job("export_data", attempts=EXPORT_ATTEMPTS, when_dead=give_up_export)
async def export_data(database: Database, storage: Storage, *, export_id: UUID) -> None:
    """Make an archive, in a nameless file that goes with the process."""
    export = await operations.start_export(database, export_id)
    if export is None:
        return
    path = archive_path(export.user_id, uuid5(export.id, f"attempt {export.attempt}"))
    with TemporaryFile(prefix="tallygraph-export-") as file:
        await Archive(database, storage, export.user_id).write(file)
        size_bytes = file.tell()
        file.seek(0)
        await storage.put_file(path, file, ARCHIVE_TYPE)
    replaced = await operations.finish_export(database, export, path, size_bytes)
    for unwanted in [path] if replaced is None else replaced:
        await storage.delete(unwanted)


async def report_archive_left(*, path: str, error: Exception) -> None:
    """Says that an archive nobody may fetch is still there; the nightly sweep removes it."""
    log.error("export.file_left", path=path, error=type(error).__name__)


@job("remove_archive", attempts=FILE_ATTEMPTS, when_dead=report_archive_left)
async def remove_archive(storage: Storage, *, path: str) -> None:
    """Remove the file of an archive that ended with the right to fetch it."""
    await storage.delete(path)


@every("13 * * * *")
async def expire_exports(database: Database, storage: Storage) -> None:
    """End archives whose time is over, and remove their files."""
    while paths := await operations.expire_exports(database):
        for path in paths:
            await storage.delete(path)
