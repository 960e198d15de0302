"""The routes of the playground: its page, its hashed assets, and the headers that confine them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from settings import Settings

STATIC = Path(__file__).parent / "static"

# Declared here, because the operating system's own table may call a script text/plain, which
# `nosniff` then refuses to run.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}

# Monaco writes its styles into the page, hence 'unsafe-inline' for styles and for nothing else.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# An asset's name holds the hash of its content, so it never changes under its name.
ASSET_HEADERS = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
PAGE_HEADERS = HEADERS | {"Cache-Control": "no-cache"}
ICON_HEADERS = HEADERS | {"Cache-Control": "public, max-age=86400"}


def routes(settings: Settings, seed: Callable[[], Awaitable[str | None]]) -> list[BaseRoute]:
    """`/graphiql` and its assets, or nothing where the deployment turned the playground off.

    `seed` tells which seed is loaded: the page's examples are of it.
    """
    if not settings.graphiql:
        return []
    # Only files that were there at start are ever served, so no name can lead elsewhere.
    assets = {path.name: path for path in (STATIC / "assets").iterdir()}

    async def page(_request: Request) -> Response:
        return FileResponse(
            STATIC / "index.html", media_type="text/html; charset=utf-8", headers=PAGE_HEADERS
        )

    async def asset(request: Request) -> Response:
        path = assets.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        media_type = CONTENT_TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=media_type, headers=ASSET_HEADERS)

    async def loaded(_request: Request) -> Response:
        return JSONResponse({"seed": await seed()}, headers=PAGE_HEADERS)

    (icon,) = (name for name in assets if name.startswith("favicon"))

    async def favicon(_request: Request) -> Response:
        # Browsers ask for it by this name wherever no page names another, as for /healthz.
        return FileResponse(assets[icon], media_type=CONTENT_TYPES[".svg"], headers=ICON_HEADERS)

    return [
        Route("/favicon.ico", favicon),
        Route("/graphiql", page),
        Route("/graphiql/", page),
        Route("/graphiql/seed.json", loaded),
        Route("/graphiql/assets/{name}", asset),
    ]
