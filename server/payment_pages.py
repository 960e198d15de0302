"""The pages that buyers see on this server: how they look, and the headers that guard them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from settings import Settings

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).parent / "pages"
STYLE_PATH = "/payments/style.css"
# Nothing but the one sheet of ours: no script, no picture, no form to elsewhere, no frame.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
# The address of such a page is known to its buyer alone: nobody is told it, nothing keeps it.
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


def routes() -> list[Route]:
    """The sheet that all of them share."""
    return [Route(STYLE_PATH, style, methods=["GET"])]


async def style(_: Request) -> Response:
    """The sheet."""
    sheet = (PAGES / "payments.css").read_bytes()
    return Response(sheet, 200, {"Cache-Control": "public, max-age=300"}, "text/css")


def page(name: str, status: int = 200, **values: object) -> HTMLResponse:
    """A page made of a template in `server/pages`; every value is escaped."""
    text = _templates().get_template(name).render(style=STYLE_PATH, **values)
    return HTMLResponse(text, status, HEADERS)


def shop_name(settings: Settings) -> str:
    """Whose page it is: the name in MAIL_FROM, where there is one."""
    return settings.product_name if settings.mail_from else "Tallygraph"


def money(amount_cents: int, currency: str) -> str:
    """An amount as people write it: $5.00."""
    from babel.numbers import format_currency

    return format_currency(amount_cents / 100, currency, locale="en")


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
