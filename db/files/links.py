"""Links through which clients reach files: signed by us for a folder, by the bucket otherwise."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from uuid import UUID

import obstore

from db.core.errors import DomainError, ErrorCode
from db.files.storage import (
    incoming_path,
    is_storage_path,
    marked_path,
    open_store,
    put_headers,
    upload_path,
    variant_path,
)

if TYPE_CHECKING:
    from settings import Settings

LinkMethod = Literal["GET", "PUT"]

# Links to the same file made within this time are the same text, so that caches can work.
LINK_BUCKET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SignedLink:
    """What a link that was verified allows."""

    path: str
    expires_at: int
    content_type: str | None
    file_name: str | None = None


class LinkSigner:
    """Makes and checks links to one file for one method until a given time. No I/O, no clock."""

    def __init__(self, base_url: str, key: str) -> None:
        self._prefix = f"{base_url}/files/"
        self._key = key.encode()

    def sign_url(
        self,
        method: LinkMethod,
        path: str,
        expires_at: float,
        content_type: str | None = None,
        *,
        rounded_to: int = LINK_BUCKET_SECONDS,
        file_name: str | None = None,
    ) -> str:
        """A link good until `expires_at` (Unix seconds), rounded up to the next five minutes.

        Browsers keep what it leads to as `file_name`.
        """
        expires = -(-int(expires_at) // rounded_to) * rounded_to
        signature = self._signature(method, path, str(expires), content_type or "", file_name or "")
        kind = f"&type={quote(content_type, safe='')}" if content_type else ""
        kind += f"&name={quote(file_name, safe='')}" if file_name else ""
        return f"{self._prefix}{path}?method={method}&expires={expires}{kind}&signature={signature}"

    def verify(self, method: str, path: str, query: Mapping[str, str], now: float) -> SignedLink:
        """What the link allows, or FORBIDDEN: its method, path, expiry and type are as signed."""
        expires, content_type = query.get("expires", ""), query.get("type", "")
        file_name = query.get("name", "")
        expected = self._signature(method, path, expires, content_type, file_name)
        genuine = hmac.compare_digest(
            expected.encode(), query.get("signature", "").encode("utf-8", "surrogateescape")
        )
        if not genuine or not is_storage_path(path) or now >= int(expires):
            raise link_refused()
        return SignedLink(path, int(expires), content_type or None, file_name or None)

    def _signature(
        self, method: str, path: str, expires: str, content_type: str, file_name: str
    ) -> str:
        # A newline cannot occur in any part that was signed, so parts cannot be shifted.
        message = f"{method}\n{path}\n{expires}\n{content_type}"
        if file_name:
            message += f"\n{file_name}"
        digest = hmac.digest(self._key, message.encode("utf-8", "surrogateescape"), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def link_refused() -> DomainError:
    """One answer for altered, expired and deleted, so that a link tells nothing."""
    return DomainError(
        ErrorCode.FORBIDDEN, "This link has expired or was altered; ask for a new one."
    )


class Links:
    """The links of a deployment. `bucket` is None where files lie in a folder."""

    def __init__(self, signer: LinkSigner, bucket: Any, extra_headers: dict[str, str]) -> None:
        self.signer = signer
        self._bucket = bucket
        self._extra_headers = extra_headers

    def put_url(self, user_id: UUID, upload_id: UUID, expires_at: float) -> str:
        """Where an upload's bytes go: to us, or into the bucket's unseen part."""
        if self._bucket is None:
            return self.signer.sign_url("PUT", upload_path(user_id, upload_id), expires_at)
        return self.presigned("PUT", incoming_path(user_id, upload_id), expires_at)

    def put_headers(self, content_type: str) -> dict[str, str]:
        """What must be sent with those bytes."""
        return {"Content-Type": content_type, **self._extra_headers}

    def picture_url(
        self,
        path: str,
        content_type: str | None,
        expires_at: float,
        width_pixels: int | None,
        *,
        is_marked: bool = False,
    ) -> str:
        """A picture, or a variant of it. Variants come from this server, which makes each once."""
        whole = marked_path(path) if is_marked else path
        if width_pixels is not None:
            sized = variant_path(whole, width_pixels)
            return self.signer.sign_url("GET", sized, expires_at, content_type)
        if is_marked or self._bucket is None:
            return self.signer.sign_url("GET", whole, expires_at, content_type)
        return self.presigned("GET", path, expires_at)

    def brief_url(self, path: str, content_type: str | None, expires_at: float) -> str:
        """A whole picture, until then and no longer."""
        if self._bucket is None:
            return self.signer.sign_url("GET", path, expires_at, content_type, rounded_to=1)
        return self.presigned("GET", path, expires_at)

    def presigned(self, method: LinkMethod, path: str, expires_at: float) -> str:
        """The bucket's own link. It signs neither the size nor the type of what is put there."""
        lasts = timedelta(seconds=max(1, int(expires_at - time())))
        url: str = obstore.sign(self._bucket, method, path, lasts)
        return url


def open_signer(settings: Settings) -> LinkSigner:
    """The signer of this deployment's own links, with its own key."""
    return LinkSigner(settings.base_url, settings.secret("signed-url-key"))


def open_links(settings: Settings) -> Links:
    """The links of this deployment."""
    bucket = open_store(settings) if settings.storage_url else None
    return Links(open_signer(settings), bucket, put_headers(settings))
