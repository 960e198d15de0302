"""The pictures of the seeds: small public files, served to every origin."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from db.core.seeding import PICTURES

HEADERS = {
    # A picture may be drawn anew under its name: a day later everybody has it.
    "Cache-Control": "public, max-age=86400",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
CONTENT_TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}


def routes() -> list[Route]:
    """`/catalog/…`. Only files that were there at start are ever served."""
    files = {
        path.relative_to(PICTURES).as_posix(): path
        for path in PICTURES.rglob("*")
        if path.suffix in CONTENT_TYPES
    }

    async def picture(request: Request) -> Response:
        path: Path | None = files.get(request.path_params["path"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=CONTENT_TYPES[path.suffix], headers=HEADERS)

    return [Route("/catalog/{path:path}", picture)]
