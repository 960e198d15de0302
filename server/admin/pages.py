"""The pages for admins: which there are, who is let in, and how refusals look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from db.core.errors import ErrorCode, RateLimited
from graph.engine.execution.engine import Engine
from graph.shared.errors import domain_error
from server.admin import details, lists
from server.admin.actions import ACTIONS, act
from server.admin.api import Api
from server.admin.cookie import Cookie, Held
from server.admin.dashboard import show_dashboard
from server.admin.rendering import Rendering
from server.admin.sign_in import CODE_PATH, SIGN_IN_PATH, SignIn
from server.admin.views import LISTS
from server.admin.visits import PageRefused, SignInNeeded, Visit, Visits
from server.services import Services

Handler = Callable[[Visit], Awaitable[Response]]
log = structlog.get_logger("tallygraph.admin")


class AdminPages:
    """The ASGI application behind `/admin`."""

    def __init__(self, services: Services, engine: Engine) -> None:
        api, self._cookie = Api(services, engine), Cookie(services.settings)
        self._rendering = Rendering(services.settings)
        self._visits = Visits(services, api)
        self._api = api
        sign_in = SignIn(self._visits, self._rendering)
        self._router = Router(
            [
                Route("/admin/static/{name}", self._static, methods=["GET"]),
                self._open(SIGN_IN_PATH, sign_in.show, "GET"),
                self._open(SIGN_IN_PATH, sign_in.enter, "POST"),
                self._open(CODE_PATH, sign_in.show_code, "GET"),
                self._open(CODE_PATH, sign_in.enter_code, "POST"),
                self._open("/admin/passkey/begin", sign_in.begin_passkey, "POST"),
                self._open("/admin/passkey/finish", sign_in.finish_passkey, "POST"),
                self._closed("/admin/sign-out", sign_in.sign_out, "POST"),
                self._closed("/admin/confirm", sign_in.show_confirmation, "GET"),
                self._closed("/admin/confirm", sign_in.confirm, "POST"),
                self._open("/admin/", self._start, "GET"),
                self._closed("/admin", partial(show_dashboard, self._rendering), "GET"),
                *(
                    self._closed(view.path, partial(lists.show, self._rendering, view), "GET")
                    for view in LISTS
                ),
                *(
                    self._closed(path, partial(handler, self._rendering), "GET")
                    for path, handler in details.PAGES.items()
                ),
                *(
                    self._closed(path, partial(act, action), "POST")
                    for path, action in ACTIONS.items()
                ),
                self._closed("/admin/{path:path}", self._missing, "GET"),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._router(scope, receive, send)

    async def _static(self, request: Request) -> Response:
        return self._rendering.static(request.path_params["name"])

    async def _start(self, _: Visit) -> Response:
        return RedirectResponse("/admin", 308)

    async def _missing(self, _: Visit) -> Response:
        raise details.MISSING

    def _open(self, path: str, handler: Handler, method: str) -> Route:
        """A page for everybody."""
        return Route(path, partial(self._answer, handler), methods=[method])

    def _closed(self, path: str, handler: Handler, method: str) -> Route:
        """A page for admins."""

        async def admitted(visit: Visit) -> Response:
            await self._visits.admit(visit)
            return await handler(visit)

        return self._open(path, admitted, method)

    async def _answer(self, handler: Handler, request: Request) -> Response:
        """Whatever a handler answers or refuses, as a page."""
        visit = Visit(request, Held.new(), self._api)
        try:
            visit.held = self._cookie.read(request)
            await self._visits.check_form(visit)
            response = await handler(visit)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except SignInNeeded:
            response = RedirectResponse(SIGN_IN_PATH, 303)
        except Exception as error:
            response = self._refusal(visit, error)
        self._cookie.write(response, visit.held)
        return response

    def _refusal(self, visit: Visit, error: Exception) -> Response:
        if isinstance(error, PageRefused):
            return self._rendering.refusal(visit, error)
        known = domain_error(error)
        if known is None:
            log.exception("admin_page_failed", path=visit.request.url.path)
            words = "Something went wrong here. It is in the log; try again."
            return self._rendering.refusal(visit, PageRefused(500, "This did not work", words))
        is_limited = known.code is ErrorCode.RATE_LIMITED
        title = "Too much at once" if is_limited else "This did not work"
        refused = PageRefused(429 if is_limited else 503, title, known.message)
        response = self._rendering.refusal(visit, refused)
        if isinstance(known, RateLimited):
            response.headers["Retry-After"] = str(known.retry_after_seconds)
        return response
