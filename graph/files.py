"""The two HTTP routes behind signed links: a photo comes in, a picture goes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from db.errors import DomainError, ErrorCode
from db.images import ImageWorker, InspectedImage
from db.storage import LinkSigner, Storage, link_refused

BYTE_TIMEOUT_SECONDS = 10.0
BODY_TIMEOUT_SECONDS = 600.0

_STATUS_OF = {
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.BAD_USER_INPUT: 409,
    ErrorCode.UPLOAD_EXPIRED: 410,
    ErrorCode.LIMIT_EXCEEDED: 413,
    ErrorCode.EMPTY_FILE: 422,
    ErrorCode.INVALID_IMAGE: 422,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
# Refusals of the bytes themselves; the upload remembers them until better bytes arrive.
_REJECTIONS = {ErrorCode.EMPTY_FILE, ErrorCode.INVALID_IMAGE, ErrorCode.LIMIT_EXCEEDED}


class BodyStalledError(Exception):
    """No byte for too long, or too long in all."""


class UploadRow(Protocol):
    """What these routes need to know of an upload."""

    @property
    def status(self) -> str: ...
    @property
    def expires_at(self) -> datetime: ...


class UploadStore(Protocol):
    """Where uploads are recorded. Neither verb may change an upload that is ready."""

    async def find_upload(self, upload_id: UUID) -> UploadRow | None: ...

    async def mark_ready(
        self,
        upload_id: UUID,
        *,
        sha256: str,
        width: int,
        height: int,
        size_bytes: int,
        content_type: str,
    ) -> None: ...

    async def mark_rejected(self, upload_id: UUID, code: ErrorCode, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Files:
    """What the routes work with; the application's lifespan puts one at `app.state.files`."""

    storage: Storage
    links: LinkSigner
    images: ImageWorker
    uploads: UploadStore
    limit_bytes: int


def routes() -> list[Route]:
    """The routes of signed links; each reads `request.app.state.files`."""
    return [
        Route("/files/{path:path}", put_upload, methods=["PUT"]),
        Route("/files/{path:path}", get_file, methods=["GET"]),
    ]


def _refusals_answered(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except DomainError as refusal:
            return _refused(refusal, _STATUS_OF[refusal.code])
        except BodyStalledError:
            return _refused(
                DomainError(ErrorCode.BAD_USER_INPUT, "The bytes stopped coming; send them again."),
                408,
            )
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it

    return answered


def _refused(refusal: DomainError, status: int) -> JSONResponse:
    error = {"message": refusal.message, "extensions": {"code": refusal.code}}
    # Closing frees the server from reading the rest of a body that it does not want.
    return JSONResponse({"errors": [error]}, status, {"Connection": "close"})


@_refusals_answered
async def put_upload(request: Request) -> Response:
    """Take the bytes of a photo that `createUpload` announced."""
    files: Files = request.app.state.files
    path = request.path_params["path"]
    files.links.verify("PUT", path, request.query_params, time.time())
    upload_id = UUID(path.rpartition("/")[2])
    await _check_awaited(files, upload_id)
    try:
        image = await files.images.inspect(await _read_body(request, files.limit_bytes))
    except DomainError as refusal:
        if refusal.code in _REJECTIONS:
            await files.uploads.mark_rejected(upload_id, refusal.code, refusal.message)
        raise
    await _store(files, path, upload_id, image)
    return JSONResponse(
        {
            "upload": {
                "status": "READY",
                "contentType": image.content_type,
                "widthPixels": image.width_pixels,
                "heightPixels": image.height_pixels,
                "sizeBytes": len(image.data),
            }
        },
        201,
    )


async def _check_awaited(files: Files, upload_id: UUID) -> None:
    upload = await files.uploads.find_upload(upload_id)
    if upload is None:
        raise link_refused()
    if upload.status == "READY":
        raise _already_received()
    if upload.expires_at <= datetime.now(UTC):
        raise DomainError(
            ErrorCode.UPLOAD_EXPIRED, "This upload has expired; create a new one and send it there."
        )


async def _store(files: Files, path: str, upload_id: UUID, image: InspectedImage) -> None:
    # The first to create the file wins. A file that is there while the upload is not ready was
    # left by a crash in between or by a request running now: the same photo may go on.
    created = await files.storage.create(path, image.data)
    if not created and await files.storage.get(path) != image.data:
        raise _already_received()
    await files.uploads.mark_ready(
        upload_id,
        sha256=image.sha256,
        width=image.width_pixels,
        height=image.height_pixels,
        size_bytes=len(image.data),
        content_type=image.content_type,
    )


def _already_received() -> DomainError:
    return DomainError(
        ErrorCode.BAD_USER_INPUT,
        "This upload has its photo already; create a new upload for another one.",
    )


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body, given up at the first byte over the limit or when bytes stop coming."""
    if _declared_bytes(request) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while (chunk := await _next_chunk(chunks)) is not None:
                body += chunk
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        raise BodyStalledError from None
    return bytes(body)


async def _next_chunk(chunks: AsyncGenerator[bytes]) -> bytes | None:
    async with asyncio.timeout(BYTE_TIMEOUT_SECONDS):
        return await anext(chunks, None)


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _too_large(limit_bytes: int) -> DomainError:
    return DomainError(
        ErrorCode.LIMIT_EXCEEDED,
        f"The file is too large; at most {limit_bytes / 1_048_576:g} MiB are accepted.",
    )


@_refusals_answered
async def get_file(request: Request) -> Response:
    """Send the picture that a signed link leads to."""
    files: Files = request.app.state.files
    path = request.path_params["path"]
    now = time.time()
    link = files.links.verify("GET", path, request.query_params, now)
    try:
        stored = await files.storage.stream(path)
    except FileNotFoundError:
        raise link_refused() from None
    headers = {
        "Content-Length": str(stored.size_bytes),
        "Cache-Control": f"private, max-age={link.expires_at - int(now)}, immutable",
        "Content-Disposition": f'inline; filename="{path.rpartition("/")[2]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    media_type = link.content_type or "application/octet-stream"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    return StreamingResponse(stored, headers=headers, media_type=media_type)
