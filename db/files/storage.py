"""Where pictures are kept: a folder, or a bucket of S3, Google or Azure, by one setting."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import obstore
import structlog
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import LocalStore, from_url

from db.core.errors import DomainError, ErrorCode
from settings import SettingsError
from settings_secrets import given, written

if TYPE_CHECKING:
    from settings import Settings

WHY_CHARACTERS = 300
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
# Other names that clients send for the same types.
_SAME_TYPES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
VARIANT_WIDTHS_PIXELS = (160, 320, 640, 1280)

# A request waits for storage no longer than this, tries included.
RETRY_SECONDS = 10
CLOUDS = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 256 * 1024
_TYPE_OF = {extension: content_type for content_type, extension in EXTENSIONS.items()}
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WHOLE = (
    rf"(?:user_)?uploads/{_UUID}/{_UUID}|(?:marked/)?generations/{_UUID}/{_UUID}\.(?:jpg|png|webp)"
    rf"|thumbnails/{_UUID}/{_UUID}-\d{{1,9}}\.jpg"
    rf"|(?:product|store)_pictures/{_UUID}/{_UUID}\.(?:jpg|png|webp)"
)
_WIDTHS = "|".join(map(str, VARIANT_WIDTHS_PIXELS))
_ARCHIVE = rf"exports/{_UUID}/{_UUID}\.zip"
_OF_ORGANIZATIONS = rf"recordings/{_UUID}/{_UUID}\.wav|contacts/{_UUID}/{_UUID}\.csv"
_OF_STORES = rf"product_files/{_UUID}/{_UUID}"
_PATH = re.compile(
    rf"incoming/{_UUID}/{_UUID}|{_ARCHIVE}|{_OF_ORGANIZATIONS}|{_OF_STORES}|(?:widths/(?P<width>{_WIDTHS})/)?(?P<of>{_WHOLE})"
)
ARCHIVE_TYPE = "application/zip"
RECORDING_TYPE = "audio/wav"


def media_type(text: str | None) -> str:
    """A media type as it is stored: one name for each, in lower case, without parameters."""
    found = (text or "").partition(";")[0].strip().lower()
    return _SAME_TYPES.get(found, found)


def upload_path(user_id: UUID, upload_id: UUID) -> str:
    """Where the photo of an upload is kept."""
    return f"user_uploads/{user_id}/{upload_id}"


def older_upload_path(user_id: UUID, upload_id: UUID) -> str:
    """Where photos were kept before; those that are there stay."""
    return f"uploads/{user_id}/{upload_id}"


def incoming_path(user_id: UUID, upload_id: UUID) -> str:
    """Where a client puts bytes into a bucket; nothing there was looked at, nothing is shown."""
    return f"incoming/{user_id}/{upload_id}"


def generation_path(user_id: UUID, generation_id: UUID, content_type: str) -> str:
    """Where the result of a generation is kept."""
    return f"generations/{user_id}/{generation_id}.{EXTENSIONS[content_type]}"


def thumbnail_path(user_id: UUID, data: bytes) -> str:
    """Where a small picture of a profile is kept: the same picture of a user's in one place.

    The name ends with its size, by which the database counts it.
    """
    content_id = uuid5(user_id, hashlib.sha256(data).hexdigest())
    return f"thumbnails/{user_id}/{content_id}-{len(data)}.jpg"


def archive_path(user_id: UUID, archive_id: UUID) -> str:
    """Where an archive of all that a user has is kept."""
    return f"exports/{user_id}/{archive_id}.zip"


def recording_path(organization_id: UUID, run_id: UUID) -> str:
    """Where the recording of a call is kept."""
    return f"recordings/{organization_id}/{run_id}.wav"


def contacts_path(organization_id: UUID, list_id: UUID) -> str:
    """Where a list of contacts is kept as it came."""
    return f"contacts/{organization_id}/{list_id}.csv"


def is_contact_list(path: str) -> bool:
    """Whether this is the path of a list of contacts, which is shown to nobody as it came."""
    return path.startswith("contacts/")


def product_file_path(product_id: str, file_id: UUID) -> str:
    """Where a product's file is kept, or where it is sent."""
    return f"product_files/{product_id}/{file_id}"


def product_picture_path(product_id: str, picture_id: UUID, content_type: str) -> str:
    """Where a picture of a product is kept."""
    return f"product_pictures/{product_id}/{picture_id}.{EXTENSIONS[content_type]}"


def store_picture_path(user_id: UUID, picture_id: UUID, content_type: str) -> str:
    """Where a logo or banner of a store of the user's is kept."""
    return f"store_pictures/{user_id}/{picture_id}.{EXTENSIONS[content_type]}"


def is_public_picture(path: str) -> bool:
    """Whether this is a picture of a store or of what it sells, in any width: everybody's."""
    return whole_of(path).startswith(("store_pictures/", "product_pictures/"))


def picture_type(path: str) -> str:
    """The media type of a picture whose path ends with it."""
    return _TYPE_OF[path.rpartition(".")[2]]


def is_product_file(path: str) -> bool:
    """Whether this is the path of a product's file, which is sent as it came."""
    return path.startswith("product_files/")


def is_archive(path: str) -> bool:
    """Whether this is the path of an archive, which is kept by nobody and shown by nothing."""
    return path.startswith("exports/")


def user_folders(user_id: UUID) -> Iterator[str]:
    """Every folder that may hold files of a user's: each file of a kind is in one of theirs."""
    yield f"thumbnails/{user_id}"
    kinds = ("user_uploads", "uploads", "generations", marked_path("generations"), "store_pictures")
    for kind in kinds:
        yield f"{kind}/{user_id}"
        for width in VARIANT_WIDTHS_PIXELS:
            yield variant_path(f"{kind}/{user_id}", width)
    yield f"incoming/{user_id}"
    yield f"exports/{user_id}"


def variant_path(path: str, width_pixels: int) -> str:
    """Where a variant of a picture is kept."""
    return f"widths/{width_pixels}/{path}"


def variant_of(path: str) -> tuple[str, int] | None:
    """The picture that a path is a variant of, and its width; None for the picture itself."""
    match = _PATH.fullmatch(path)
    return (match["of"], int(match["width"])) if match and match["width"] else None


def marked_path(path: str) -> str:
    """Where a result with the watermark on it is kept."""
    return f"marked/{path}"


def is_marked(path: str) -> bool:
    """Whether this is a result with the watermark on it, in any width."""
    return whole_of(path) != (variant_of(path) or (path, 0))[0]


def whole_of(path: str) -> str:
    """The picture that a path is a variant of, in a width or with a watermark; or itself."""
    return (variant_of(path) or (path, 0))[0].removeprefix("marked/")


def is_variant(path: str) -> bool:
    """Whether this is made of another picture, when somebody first asks for it."""
    return whole_of(path) != path


def is_storage_path(path: str) -> bool:
    """Whether `path` has a form that this module makes; nothing else is ever opened."""
    return _PATH.fullmatch(path) is not None


def _checked(path: str) -> str:
    if not is_storage_path(path):
        raise ValueError(f"not a storage path: {path!r}")
    return path


@contextmanager
def _reached() -> Iterator[None]:
    """Storage that is full, away or misconfigured is a passing fault to whoever asks."""
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except BaseError as error:
        # The library names a path or a bucket and no value of a client's; what follows its first
        # line shows how it keeps the error.
        told, _, _ = str(error).partition("\n")
        log.warning("storage.failed", why=told[:WHY_CHARACTERS])
        raise DomainError(
            ErrorCode.SERVICE_UNAVAILABLE,
            "The file storage does not answer. Try again in a moment.",
        ) from error


@contextmanager
def _reached_to_read(path: str) -> Iterator[None]:
    """The same, where a bucket that may not be listed says 403 of a file that is not there."""
    with _reached():
        try:
            yield
        except PermissionDeniedError as error:
            log.warning("storage refused a file, as if there were none", path=path)
            raise FileNotFoundError(path) from error


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What storage knows of a file. A folder knows no types; `version` changes with the bytes."""

    size_bytes: int
    content_type: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """A stored file while it is read, chunk by chunk."""

    size_bytes: int
    chunks: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks


class Storage:
    """The files of a deployment. A path that holds nothing raises `FileNotFoundError`.

    `is_direct` says that clients reach the files themselves, through links of the bucket's own.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_direct = not isinstance(store, LocalStore)

    async def put(self, path: str, data: bytes, content_type: str | None = None) -> None:
        """Store `data`, whole or not at all, in place of what was there."""
        with _reached():
            await obstore.put_async(
                self._store, _checked(path), data, attributes=self._attributes(path, content_type)
            )

    async def put_file(self, path: str, file: IO[bytes], content_type: str) -> None:
        """Store what an open file holds, part by part, whole or not at all."""
        with _reached():
            await obstore.put_async(
                self._store, _checked(path), file, attributes=self._attributes(path, content_type)
            )

    async def create(self, path: str, data: bytes, content_type: str | None = None) -> bool:
        """Store `data` unless the path is taken: False then, and nothing changes."""
        attributes = self._attributes(path, content_type)
        try:
            with _reached():
                await obstore.put_async(
                    self._store, _checked(path), data, mode="create", attributes=attributes
                )
        except AlreadyExistsError:
            return False
        return True

    def _attributes(self, path: str, content_type: str | None) -> Any:
        """What a bucket answers with the bytes; a folder keeps no such thing."""
        if not self.is_direct:
            return None
        kind = content_type or _TYPE_OF.get(path.rpartition(".")[2], "application/octet-stream")
        whose = "public" if is_public_picture(path) else "private"
        return {"Content-Type": kind, "Cache-Control": f"{whose}, max-age=3600, immutable"}

    async def get(self, path: str, version: str | None = None) -> bytes:
        """The whole file; with `version` only if it is still that one, else as if it were gone."""
        options: Any = {"if_match": version} if version else None
        try:
            with _reached_to_read(path):
                result = await obstore.get_async(self._store, _checked(path), options=options)
                return bytes(await result.bytes_async())
        except PreconditionError:
            raise FileNotFoundError(path) from None

    async def stream(self, path: str) -> ObjectStream:
        """The file's size, and its bytes when they are asked for."""
        with _reached_to_read(path):
            result = await obstore.get_async(self._store, _checked(path))
        return ObjectStream(result.meta["size"], _as_bytes(result))

    async def head(self, path: str) -> StoredObject:
        """What storage knows of the file, without its bytes."""
        with _reached_to_read(path):
            result = await obstore.get_async(self._store, _checked(path), options={"head": True})
        content_type: Any = result.attributes.get("Content-Type")
        return StoredObject(result.meta["size"], content_type, result.meta["e_tag"])

    async def exists(self, path: str) -> bool:
        """Whether the path holds a file."""
        try:
            await self.head(path)
        except FileNotFoundError:
            return False
        return True

    async def delete(self, path: str) -> None:
        """Remove the file; one that is gone already is no error."""
        try:
            with _reached():
                await obstore.delete_async(self._store, _checked(path))
        except FileNotFoundError:
            return

    async def delete_picture(self, path: str) -> None:
        """Remove a picture, then its variants: without it no further one is made."""
        for whole in (path, marked_path(path)) if path.startswith("generations/") else (path,):
            await self.delete(whole)
            for width in VARIANT_WIDTHS_PIXELS:
                await self.delete(variant_path(whole, width))

    async def delete_user_files(self, user_id: UUID) -> int:
        """Remove every file of a user's, known or not; returns how many there were."""
        removed = 0
        for folder in user_folders(user_id):
            with _reached():
                async for objects in obstore.list(self._store, prefix=folder):
                    for item in objects:
                        await self.delete(item["path"])
                        removed += 1
        return removed

    async def older_than(self, written_before: datetime) -> AsyncIterator[list[str]]:
        """The paths of all files last written before `written_before`, in chunks."""
        with _reached():
            async for objects in obstore.list(self._store):
                old = [item["path"] for item in objects if item["last_modified"] < written_before]
                yield [path for path in old if is_storage_path(path)]


async def _as_bytes(result: Any) -> AsyncIterator[bytes]:
    async for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
        yield bytes(chunk)


def open_storage(settings: Settings) -> Storage:
    """The storage of this deployment: STORAGE_URL, or a folder in the data directory."""
    return Storage(open_store(settings))


def open_store(settings: Settings) -> Any:
    """The store behind STORAGE_URL, or a private folder."""
    if settings.storage_url:
        return _open_bucket(settings.storage_url)
    folder = settings.data_directory.absolute() / "storage"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return LocalStore(prefix=folder)


def _open_bucket(url: str) -> Any:
    """A bucket, with the credentials its own tools read from the environment, or from `.env`."""
    prefix = CLOUDS.get(urlsplit(url).scheme)
    if prefix is None:
        raise SettingsError(
            "STORAGE_URL is none of s3://bucket, gs://bucket and az://container. "
            "Leave it empty for a folder in DATA_DIRECTORY."
        )
    config: Any = {name.lower(): value for name, value in written(prefix).items()}
    config.pop(f"{prefix}ALLOW_HTTP".lower(), None)  # a client's option, not a store's
    allow_http = (given(f"{prefix}ALLOW_HTTP") or "").lower() in {"true", "1"}
    seconds = timedelta(seconds=RETRY_SECONDS)
    try:
        return from_url(
            url,
            config=config or None,
            client_options={"timeout": seconds, "allow_http": allow_http},
            retry_config={"max_retries": 3, "retry_timeout": seconds},
        )
    except BaseError as error:
        # What it says repeats the address, in which somebody may have written a key.
        raise SettingsError(
            f"STORAGE_URL can't be used ({type(error).__name__}); write such as s3://bucket"
        ) from None


def put_headers(settings: Settings) -> dict[str, str]:
    """Headers that a PUT into this deployment's storage needs beside the content's type."""
    is_azure = urlsplit(settings.storage_url).scheme == "az"
    return {"x-ms-blob-type": "BlockBlob"} if is_azure else {}
