"""Files are kept whole under paths that we make; a link opens exactly what it was signed for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest

from db.errors import DomainError, ErrorCode
from db.storage import (
    LINK_BUCKET_SECONDS,
    LinkSigner,
    Storage,
    generation_path,
    is_storage_path,
    open_links,
    open_storage,
    upload_path,
)
from settings import Settings

ANNA = UUID("01890000-0000-7000-8000-00000000000a")
BORIS = UUID("01890000-0000-7000-8000-00000000000b")
FILE = UUID("01890000-0000-7000-8000-0000000000f1")
NOW = 1_800_000_000
PATH = generation_path(ANNA, FILE, "image/jpeg")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(Settings(data_directory=tmp_path / "data with spaces"))


@pytest.fixture
def links() -> LinkSigner:
    return LinkSigner("https://api.example.com", "a key for tests")


def taken_apart(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.path.removeprefix("/files/"), dict(parse_qsl(parts.query))


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
    for read in (storage.get, storage.stream):
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
        f"uploads/{ANNA}/{FILE}/more",
        f"uploads/{ANNA}/{FILE}\n",
        f"uploads/{ANNA}/{FILE}.jpg",
        f"uploads/{ANNA}\\{FILE}",
        f"uploads/{str(ANNA).upper()}/{FILE}".replace("8000-00000000000A", "8000-00000000000G"),
        f"generations/{ANNA}/{FILE}.html",
        f"generations/{ANNA}/{FILE}.jpg\0",
        f"other/{ANNA}/{FILE}",
    ],
)
async def test_no_other_path_is_ever_opened(storage: Storage, path: str) -> None:
    assert not is_storage_path(path)
    for attempt in (storage.put(path, b""), storage.get(path), storage.delete(path)):
        with pytest.raises(ValueError, match="not a storage path"):
            await attempt


async def test_files_lie_in_a_private_folder_of_the_data_directory(tmp_path: Path) -> None:
    storage = open_storage(Settings(data_directory=tmp_path))
    await storage.put(PATH, b"bytes")
    assert (tmp_path / "storage" / PATH).read_bytes() == b"bytes"
    assert (tmp_path / "storage").stat().st_mode & 0o077 == 0


def test_a_link_opens_its_file_until_it_expires(links: LinkSigner) -> None:
    url = links.sign_url("GET", PATH, NOW + 600, "image/jpeg")
    assert url.startswith(f"https://api.example.com/files/{PATH}?method=GET&")
    path, query = taken_apart(url)
    link = links.verify("GET", path, query, NOW)
    assert (link.path, link.content_type) == (PATH, "image/jpeg")
    assert NOW + 600 <= link.expires_at < NOW + 600 + LINK_BUCKET_SECONDS
    links.verify("GET", path, query, link.expires_at - 1)
    with pytest.raises(DomainError):
        links.verify("GET", path, query, link.expires_at)


@pytest.mark.parametrize(
    ("method", "path", "changes"),
    [
        ("PUT", PATH, {}),
        ("DELETE", PATH, {}),
        ("PUT", PATH, {"method": "PUT"}),
        ("GET", generation_path(BORIS, FILE, "image/jpeg"), {}),
        ("GET", upload_path(ANNA, FILE), {}),
        ("GET", PATH, {"expires": str(NOW + 900_000)}),
        ("GET", PATH, {"expires": ""}),
        ("GET", PATH, {"expires": "soon"}),
        ("GET", PATH, {"type": "text/html"}),
        ("GET", PATH, {"type": ""}),
        ("GET", PATH, {"signature": ""}),
        ("GET", PATH, {"signature": "A" * 43}),
        ("GET", PATH, {"signature": "ключ\udcff"}),
    ],
)
def test_an_altered_link_is_refused(
    links: LinkSigner, method: str, path: str, changes: dict[str, str]
) -> None:
    _, query = taken_apart(links.sign_url("GET", PATH, NOW + 600, "image/jpeg"))
    links.verify("GET", PATH, query, NOW)
    with pytest.raises(DomainError) as refusal:
        links.verify(method, path, query | changes, NOW)
    assert refusal.value.code == ErrorCode.FORBIDDEN
    assert "ask for a new one" in refusal.value.message


def test_every_character_of_a_signature_counts(links: LinkSigner) -> None:
    path, query = taken_apart(links.sign_url("GET", PATH, NOW + 600, "image/jpeg"))
    signature = query["signature"]
    for place in range(len(signature)):
        other = "A" if signature[place] != "A" else "B"
        query["signature"] = signature[:place] + other + signature[place + 1 :]
        with pytest.raises(DomainError):
            links.verify("GET", path, query, NOW)


def test_another_key_signs_other_links(links: LinkSigner) -> None:
    path, query = taken_apart(links.sign_url("GET", PATH, NOW + 600))
    with pytest.raises(DomainError):
        LinkSigner("https://api.example.com", "another key").verify("GET", path, query, NOW)


def test_links_made_within_five_minutes_are_the_same_text(links: LinkSigner) -> None:
    start = NOW - NOW % LINK_BUCKET_SECONDS + 1
    made = {
        links.sign_url("GET", PATH, start + second + 3600, "image/jpeg")
        for second in range(LINK_BUCKET_SECONDS)
    }
    assert len(made) == 1
    assert links.sign_url("GET", PATH, start + LINK_BUCKET_SECONDS + 3600) not in made


def test_the_key_outlives_a_restart(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path, public_url="https://api.example.com/")
    path, query = taken_apart(open_links(settings).sign_url("PUT", upload_path(ANNA, FILE), NOW))
    restarted = open_links(Settings(data_directory=tmp_path))
    assert restarted.verify("PUT", path, query, NOW - 1).path == upload_path(ANNA, FILE)
