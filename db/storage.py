"""Where pictures are kept, and the signed links through which clients reach them."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from uuid import UUID

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, from_url

from db.errors import DomainError, ErrorCode

if TYPE_CHECKING:
    from settings import Settings

LinkMethod = Literal["GET", "PUT"]

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}

# Links to the same file made within this time are the same text, so that caches can work.
LINK_BUCKET_SECONDS = 300

_CHUNK_BYTES = 256 * 1024
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PATH = re.compile(rf"uploads/{_UUID}/{_UUID}|generations/{_UUID}/{_UUID}\.(?:jpg|png|webp)")


def upload_path(user_id: UUID, upload_id: UUID) -> str:
    """Where the photo of an upload is kept."""
    return f"uploads/{user_id}/{upload_id}"


def generation_path(user_id: UUID, generation_id: UUID, content_type: str) -> str:
    """Where the result of a generation is kept."""
    return f"generations/{user_id}/{generation_id}.{EXTENSIONS[content_type]}"


def is_storage_path(path: str) -> bool:
    """Whether `path` has a form that this module makes; nothing else is ever opened."""
    return _PATH.fullmatch(path) is not None


def _checked(path: str) -> str:
    if not is_storage_path(path):
        raise ValueError(f"not a storage path: {path!r}")
    return path


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """A stored file while it is read, chunk by chunk."""

    size_bytes: int
    chunks: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks


class Storage:
    """The files of a deployment. A path that holds nothing raises `FileNotFoundError`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def put(self, path: str, data: bytes) -> None:
        """Store `data`, whole or not at all, in place of what was there."""
        await obstore.put_async(self._store, _checked(path), data)

    async def create(self, path: str, data: bytes) -> bool:
        """Store `data` unless the path is taken: False then, and nothing changes."""
        try:
            await obstore.put_async(self._store, _checked(path), data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    async def get(self, path: str) -> bytes:
        """The whole file."""
        result = await obstore.get_async(self._store, _checked(path))
        return bytes(await result.bytes_async())

    async def stream(self, path: str) -> ObjectStream:
        """The file's size, and its bytes when they are asked for."""
        result = await obstore.get_async(self._store, _checked(path))
        return ObjectStream(result.meta["size"], _as_bytes(result))

    async def exists(self, path: str) -> bool:
        """Whether the path holds a file."""
        try:
            await obstore.head_async(self._store, _checked(path))
        except FileNotFoundError:
            return False
        return True

    async def delete(self, path: str) -> None:
        """Remove the file; one that is gone already is no error."""
        try:
            await obstore.delete_async(self._store, _checked(path))
        except FileNotFoundError:
            return


async def _as_bytes(result: Any) -> AsyncIterator[bytes]:
    async for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
        yield bytes(chunk)


def open_storage(settings: Settings) -> Storage:
    """The storage of this deployment: STORAGE_URL, or a folder in the data directory."""
    if settings.storage_url:
        return Storage(from_url(settings.storage_url))
    folder = settings.data_directory.absolute() / "storage"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Storage(LocalStore(prefix=folder))


@dataclass(frozen=True, slots=True)
class SignedLink:
    """What a link that was verified allows."""

    path: str
    expires_at: int
    content_type: str | None


class LinkSigner:
    """Makes and checks links to one file for one method until one moment. No I/O, no clock."""

    def __init__(self, base_url: str, key: str) -> None:
        self._prefix = f"{base_url}/files/"
        self._key = key.encode()

    def sign_url(
        self, method: LinkMethod, path: str, expires_at: float, content_type: str | None = None
    ) -> str:
        """A link good until `expires_at` (Unix seconds), rounded up to the next five minutes."""
        expires = -(-int(expires_at) // LINK_BUCKET_SECONDS) * LINK_BUCKET_SECONDS
        signature = self._signature(method, path, str(expires), content_type or "")
        kind = f"&type={quote(content_type, safe='')}" if content_type else ""
        return f"{self._prefix}{path}?method={method}&expires={expires}{kind}&signature={signature}"

    def verify(self, method: str, path: str, query: Mapping[str, str], now: float) -> SignedLink:
        """What the link allows, or FORBIDDEN: its method, path, expiry and type are as signed."""
        expires, content_type = query.get("expires", ""), query.get("type", "")
        expected = self._signature(method, path, expires, content_type)
        genuine = hmac.compare_digest(
            expected.encode(), query.get("signature", "").encode("utf-8", "surrogateescape")
        )
        if not genuine or not is_storage_path(path) or now >= int(expires):
            raise link_refused()
        return SignedLink(path, int(expires), content_type or None)

    def _signature(self, method: str, path: str, expires: str, content_type: str) -> str:
        # A newline cannot occur in any part that was signed, so parts cannot be shifted.
        message = f"{method}\n{path}\n{expires}\n{content_type}"
        digest = hmac.digest(self._key, message.encode("utf-8", "surrogateescape"), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def link_refused() -> DomainError:
    """One answer for altered, expired and deleted, so that a link tells nothing."""
    return DomainError(
        ErrorCode.FORBIDDEN, "This link has expired or was altered; ask for a new one."
    )


def open_links(settings: Settings) -> LinkSigner:
    """The signer of this deployment's links, with its own key."""
    return LinkSigner(settings.base_url, settings.secret("signed-url-key"))
