"""The two HTTP routes behind signed links: photos and files come in, and both go out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO
from urllib.parse import quote
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from auth.networks import client_address, network_of
from db.campaigns.receiving import ContactReceiver
from db.campaigns.tables import ContactListStatus
from db.core.errors import DomainError, ErrorCode
from db.files.image_variants import ImageVariants
from db.files.links import Links, SignedLink, link_refused
from db.files.storage import (
    Storage,
    is_archive,
    is_contact_list,
    is_product_file,
    is_public_picture,
    is_variant,
)
from db.marketplace.receiving import ProductReceiver
from db.marketplace.tables import ProductFileStatus
from db.uploads.receiving import UploadReceiver, too_large
from db.uploads.tables import UploadStatus
from graph.shared.errors import domain_error, top_level

BYTE_TIMEOUT_SECONDS = 10.0
BODY_TIMEOUT_SECONDS = 600.0
# What of a product's file is held in memory while it comes; the rest goes to a temporary file.
IN_MEMORY_BYTES = 1_048_576

_STATUS_OF = {
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.BAD_USER_INPUT: 409,
    ErrorCode.UPLOAD_EXPIRED: 410,
    ErrorCode.LIMIT_EXCEEDED: 413,
    ErrorCode.QUOTA_EXCEEDED: 413,
    ErrorCode.EMPTY_FILE: 422,
    ErrorCode.INVALID_IMAGE: 422,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}


class BodyStalledError(Exception):
    """No byte for too long, or too long in all."""


@dataclass(frozen=True, slots=True)
class Files:
    """What the routes work with; the application's lifespan puts one at `app.state.files`."""

    storage: Storage
    links: Links
    uploads: UploadReceiver
    variants: ImageVariants
    contacts: ContactReceiver
    products: ProductReceiver


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
        except BodyStalledError:
            return _refused(
                DomainError(ErrorCode.BAD_USER_INPUT, "The bytes stopped coming; send them again."),
                408,
            )
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            refusal = domain_error(error)
            if refusal is None:
                raise
            return _refused(refusal, _STATUS_OF[refusal.code])

    return answered


def _refused(refusal: DomainError, status: int) -> JSONResponse:
    error = top_level(refusal)
    # Closing frees the server from reading the rest of a body that it does not want.
    return JSONResponse({"errors": [error]}, status, {"Connection": "close"})


@_refusals_answered
async def put_upload(request: Request) -> Response:
    """Take the bytes of a photo that `createUpload` announced."""
    files: Files = request.app.state.files
    path = request.path_params["path"]
    files.links.signer.verify("PUT", path, request.query_params, time.time())
    if is_contact_list(path):
        return await _put_contact_list(files, request, path)
    if is_product_file(path):
        return await _put_product_file(files, request, path)
    upload_id = UUID(path.rpartition("/")[2])
    upload = await files.uploads.awaited(upload_id)
    if upload is None:
        raise link_refused()
    try:
        body = await _read_body(request, files.uploads.limits.size_bytes)
    except DomainError as refusal:
        await files.uploads.reject(upload_id, refusal)
        raise
    network = network_of(client_address(request.scope))
    image = await files.uploads.receive(upload_id, upload, body, network)
    return JSONResponse(
        {
            "upload": {
                "status": UploadStatus.READY,
                "contentType": image.content_type,
                "widthPixels": image.width_pixels,
                "heightPixels": image.height_pixels,
                "sizeBytes": len(image.data),
            }
        },
        201,
    )


async def _put_contact_list(files: Files, request: Request, path: str) -> Response:
    """Take the list that `createContactList` announced; its rows are read by a campaign."""
    list_id = UUID(path.rpartition("/")[2].removesuffix(".csv"))
    awaited = await files.contacts.awaited(list_id)
    if awaited is None:
        raise link_refused()
    body = await _read_body(request, awaited.size_bytes)
    await files.contacts.receive(list_id, path, body)
    return JSONResponse(
        {"contactList": {"status": ContactListStatus.READY, "sizeBytes": len(body)}}, 201
    )


async def _put_product_file(files: Files, request: Request, path: str) -> Response:
    """Take the file that `createProductFile` announced, part by part: it may be large."""
    file_id = UUID(path.rpartition("/")[2])
    awaited = await files.products.awaited(file_id)
    if awaited is None:
        raise link_refused()
    with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as body:
        size_bytes = await _spool_body(request, body, awaited.size_bytes)
        await files.products.receive(file_id, awaited, body, size_bytes)
    return JSONResponse(
        {"productFile": {"status": ProductFileStatus.READY, "sizeBytes": size_bytes}}, 201
    )


async def _spool_body(request: Request, body: IO[bytes], limit_bytes: int) -> int:
    """Writes the body into a file, within the same bounds; gives its size."""
    if _declared_bytes(request) > limit_bytes:
        raise too_large(limit_bytes)
    size, chunks = 0, request.stream()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while (chunk := await _next_chunk(chunks)) is not None:
                size += len(chunk)
                if size > limit_bytes:
                    raise too_large(limit_bytes)
                await asyncio.to_thread(body.write, chunk)
    except TimeoutError:
        raise BodyStalledError from None
    await asyncio.to_thread(body.seek, 0)
    return size


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body, given up at the first byte over the limit or when bytes stop coming."""
    if _declared_bytes(request) > limit_bytes:
        raise too_large(limit_bytes)
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while (chunk := await _next_chunk(chunks)) is not None:
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large(limit_bytes)
    except TimeoutError:
        raise BodyStalledError from None
    return bytes(body)


async def _next_chunk(chunks: AsyncGenerator[bytes]) -> bytes | None:
    async with asyncio.timeout(BYTE_TIMEOUT_SECONDS):
        return await anext(chunks, None)


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


@_refusals_answered
async def get_file(request: Request) -> Response:
    """Send the picture or the archive that a signed link leads to."""
    files: Files = request.app.state.files
    path = request.path_params["path"]
    now = time.time()
    link = files.links.signer.verify("GET", path, request.query_params, now)
    try:
        if is_variant(path):
            network = network_of(client_address(request.scope))
            path = await files.variants.find(path, network)
            if files.storage.is_direct:
                return _to_bucket(files, path, link)
        stored = await files.storage.stream(path)
    except FileNotFoundError:
        raise link_refused() from None
    whose = "public" if is_public_picture(path) else "private"
    shown, kept = "inline", f"{whose}, max-age={link.expires_at - int(now)}, immutable"
    name = path.rpartition("/")[2]
    if is_archive(path):
        shown, kept = "attachment", "no-store"
    elif is_product_file(path):
        shown, kept = "attachment", "private, no-store"
    disposition = f'{shown}; filename="{name}"'
    if link.file_name is not None:
        disposition = f"{shown}; filename*=UTF-8''{quote(link.file_name, safe='')}"
    headers = {
        "Content-Length": str(stored.size_bytes),
        "Cache-Control": kept,
        "Content-Disposition": disposition,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    media_type = link.content_type or "application/octet-stream"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    return StreamingResponse(stored, headers=headers, media_type=media_type)


def _to_bucket(files: Files, path: str, link: SignedLink) -> Response:
    """Send the client on to the bucket's own link, which is good for as long as ours."""
    url = files.links.presigned("GET", path, link.expires_at)
    return RedirectResponse(url, 307, {"Cache-Control": "private, max-age=60"})
