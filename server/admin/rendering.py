"""Makes pages for admins of templates: every value escaped, and headers that guard them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from server.admin.visits import PageRefused, Visit
from settings import Settings

FOLDER = Path(__file__).parent
# Nothing but what this server has, and no script in a page.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    # Not `no-referrer`: with it browsers send no Origin with forms (Fetch, 3.2).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
STATIC = {
    "admin.css": "text/css",
    "passkey.js": "text/javascript",
}
NAVIGATION = (
    ("/admin", "Dashboard"),
    ("/admin/users", "Users"),
    ("/admin/orders", "Orders"),
    ("/admin/payments", "Payments"),
    ("/admin/webhooks", "Webhooks"),
    ("/admin/generations", "Generations"),
    ("/admin/replies", "Replies"),
    ("/admin/work", "Work"),
    ("/admin/jobs", "Jobs"),
    ("/admin/switches", "Switches"),
    ("/admin/alerts", "Alerts"),
)


class Rendering:
    """The templates of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._product = settings.product_name
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": moment, "day": day, "words": words}

    def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page; what was to be said once is said on it."""
        held = visit.held
        text = self._templates.get_template(template).render(
            product=self._product,
            navigation=NAVIGATION,
            path=visit.request.url.path,
            viewer=visit.viewer,
            form_key=held.form_key,
            methods=held.methods,
            notice=held.notice,
            is_bad_notice=held.is_bad_notice,
            **values,
        )
        visit.held = held.saying("")
        return HTMLResponse(text, status, HEADERS)

    def refusal(self, visit: Visit, refused: PageRefused) -> HTMLResponse:
        """The page of a refusal."""
        return self.page(visit, "refused.html", refused.status, refused=refused)

    @staticmethod
    def static(name: str) -> Response:
        """A file that pages link to."""
        if name not in STATIC:
            return Response(status_code=404)
        content = (FOLDER / "static" / name).read_bytes()
        return Response(content, 200, {"Cache-Control": "public, max-age=300"}, STATIC[name])


def moment(text: str | None) -> str:
    """A time of the API's, to the minute in UTC; a dash for none."""
    return "–" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def words(state: str) -> str:
    """A state as people write it."""
    return state.replace("_", " ").capitalize()


def day(text: str) -> str:
    """The day of a time of the API's, such as 3 Nov."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%b}"
