"""Files are kept whole under paths that we make, in a folder as in a bucket."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from uuid import UUID

import pytest
from structlog.testing import capture_logs

import settings_secrets
from db.core.errors import DomainError, ErrorCode
from db.files.links import open_links
from db.files.storage import (
    VARIANT_WIDTHS_PIXELS,
    Storage,
    generation_path,
    incoming_path,
    is_storage_path,
    older_upload_path,
    open_storage,
    upload_path,
    variant_of,
    variant_path,
)
from db.uploads.operations import delete_upload_files
from settings import Settings, SettingsError

ANNA = UUID("01890000-0000-7000-8000-00000000000a")
BORIS = UUID("01890000-0000-7000-8000-00000000000b")
FILE = UUID("01890000-0000-7000-8000-0000000000f1")
PATH = generation_path(ANNA, FILE, "image/jpeg")


@pytest.fixture
def storage(stored_anywhere: Settings) -> Storage:
    return open_storage(stored_anywhere)


async def test_what_was_put_is_read_whole_or_streamed(storage: Storage) -> None:
    data = bytes(range(256)) * 5000
    await storage.put(PATH, data)
    assert await storage.get(PATH) == data
    stream = await storage.stream(PATH)
    assert stream.size_bytes == len(data)
    assert b"".join([chunk async for chunk in stream]) == data


async def test_a_deleted_file_is_gone_and_deleting_again_is_no_error(storage: Storage) -> None:
    await storage.put(PATH, b"bytes")
    assert await storage.exists(PATH)
    await storage.delete(PATH)
    await storage.delete(PATH)
    assert not await storage.exists(PATH)
    for read in (storage.get, storage.stream, storage.head):
        with pytest.raises(FileNotFoundError):
            await read(PATH)


async def test_of_many_that_create_a_file_one_wins(storage: Storage) -> None:
    path = upload_path(ANNA, FILE)
    attempts = [bytes([number]) * 1000 for number in range(20)]
    won = await asyncio.gather(*(storage.create(path, data) for data in attempts))
    assert won.count(True) == 1
    assert await storage.get(path) == attempts[won.index(True)]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "uploads/../../etc/passwd",
        f"uploads/{ANNA}/../{BORIS}/{FILE}",
        f"user_uploads/{ANNA}/../{BORIS}/{FILE}",
        f"user_uploads/{ANNA}/{FILE}/more",
        f"user_uploads/{ANNA}/{FILE}.jpg",
        f"other_uploads/{ANNA}/{FILE}",
        f"uploads/{ANNA}/{FILE}/more",
        f"uploads/{ANNA}/{FILE}\n",
        f"uploads/{ANNA}/{FILE}.jpg",
        f"uploads/{ANNA}\\{FILE}",
        f"uploads/{str(ANNA).upper()}/{FILE}".replace("8000-00000000000A", "8000-00000000000G"),
        f"generations/{ANNA}/{FILE}.html",
        f"generations/{ANNA}/{FILE}.jpg\0",
        f"other/{ANNA}/{FILE}",
        f"incoming/{ANNA}/{FILE}.jpg",
        f"widths/161/uploads/{ANNA}/{FILE}",
        f"widths/160/incoming/{ANNA}/{FILE}",
        f"widths/160/widths/160/uploads/{ANNA}/{FILE}",
    ],
)
async def test_no_other_path_is_ever_opened(storage: Storage, path: str) -> None:
    assert not is_storage_path(path)
    for attempt in (storage.put(path, b""), storage.get(path), storage.delete(path)):
        with pytest.raises(ValueError, match="not a storage path"):
            await attempt


async def test_a_file_is_read_only_as_the_version_that_was_looked_at(storage: Storage) -> None:
    path = incoming_path(ANNA, FILE)
    await storage.put(path, b"first", "image/png")
    seen = await storage.head(path)
    assert seen.size_bytes == 5
    assert seen.content_type == ("image/png" if storage.is_direct else None)
    assert await storage.get(path, seen.version) == b"first"
    await storage.put(path, b"other", "image/png")
    with pytest.raises(FileNotFoundError):
        await storage.get(path, seen.version)


async def test_a_picture_goes_with_its_smaller_forms(storage: Storage) -> None:
    forms = [variant_path(PATH, width) for width in VARIANT_WIDTHS_PIXELS]
    for path in (PATH, *forms):
        await storage.put(path, b"bytes")
    assert [variant_of(path) for path in forms] == [
        (PATH, width) for width in VARIANT_WIDTHS_PIXELS
    ]
    assert variant_of(PATH) is None
    await storage.delete_picture(PATH)
    assert not [path for path in (PATH, *forms) if await storage.exists(path)]


async def test_a_photo_from_before_lies_elsewhere_and_goes_with_its_upload(
    storage: Storage,
) -> None:
    assert upload_path(ANNA, FILE) == f"user_uploads/{ANNA}/{FILE}"
    older = older_upload_path(ANNA, FILE)
    paths = [older, variant_path(older, 160), upload_path(ANNA, FILE), upload_path(BORIS, FILE)]
    for path in paths:
        await storage.put(path, b"bytes")
        assert await storage.get(path) == b"bytes"
    await delete_upload_files(storage, ANNA, FILE)
    assert [path for path in paths if await storage.exists(path)] == [upload_path(BORIS, FILE)]
    await storage.put(older, b"bytes")
    assert await storage.delete_user_files(ANNA) == 1


async def test_old_files_are_listed_under_their_own_paths(storage: Storage) -> None:
    paths = {PATH, variant_path(PATH, 160), upload_path(ANNA, FILE), incoming_path(BORIS, FILE)}
    for path in paths:
        await storage.put(path, b"bytes")
    now = datetime.now(UTC)
    later, earlier = now + timedelta(minutes=1), now - timedelta(minutes=1)
    assert {path async for chunk in storage.older_than(later) for path in chunk} == paths
    assert {path async for chunk in storage.older_than(earlier) for path in chunk} == set()


async def test_files_lie_in_a_private_folder_of_the_data_directory(tmp_path: Path) -> None:
    storage = open_storage(Settings(data_directory=tmp_path))
    await storage.put(PATH, b"bytes")
    assert (tmp_path / "storage" / PATH).read_bytes() == b"bytes"
    assert (tmp_path / "storage").stat().st_mode & 0o077 == 0


async def test_a_storage_that_is_away_says_so(
    bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    away = open_storage(Settings(storage_url="s3://bucket"))
    folder = open_storage(Settings(data_directory=tmp_path))
    (tmp_path / "storage").chmod(0o500)
    (tmp_path / "storage" / "user_uploads").write_text("no folder")
    for storage, why in ((away, "127.0.0.1:9"), (folder, "Not a directory")):
        with capture_logs() as logs, pytest.raises(DomainError) as refusal:
            await storage.put(upload_path(ANNA, FILE), b"bytes")
        assert refusal.value.code == ErrorCode.SERVICE_UNAVAILABLE
        (line,) = logs
        assert line["event"] == "storage.failed"
        assert why in line["why"]
        assert "\n" not in line["why"]


async def test_a_bucket_that_may_not_be_listed_says_no_more_than_that_nothing_is_there(
    bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbid(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(forbid, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{port}")
        storage = open_storage(Settings(storage_url="s3://bucket"))
        for read in (storage.get, storage.stream, storage.head):
            with pytest.raises(FileNotFoundError):
                await read(PATH)
        assert not await storage.exists(PATH)
        for write in (storage.put(PATH, b"bytes"), storage.delete(PATH)):
            with pytest.raises(DomainError) as refusal:
                await write
            assert refusal.value.code == ErrorCode.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("url", ["ftp://host", "bucket", "file:///tmp/x", "s3://"])
def test_a_url_that_is_no_bucket_is_refused_by_name(url: str) -> None:
    with pytest.raises(SettingsError, match="STORAGE_URL"):
        open_storage(Settings(storage_url=url))


def test_credentials_may_stand_in_the_file_env(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "AZURE_STORAGE_ACCOUNT_NAME=anna\nAZURE_STORAGE_ACCOUNT_KEY=YQ==\n"
    )
    monkeypatch.chdir(tmp_path)
    settings_secrets._dotenv.cache_clear()
    try:
        links = open_links(Settings(storage_url="az://photos", signed_url_key="x"))
        url = links.put_url(ANNA, FILE, time() + 60)
    finally:
        settings_secrets._dotenv.cache_clear()
    assert url.startswith(f"https://anna.blob.core.windows.net/photos/incoming/{ANNA}/{FILE}?")
    assert links.put_headers("image/png") == {
        "Content-Type": "image/png",
        "x-ms-blob-type": "BlockBlob",
    }
