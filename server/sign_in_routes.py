"""The two routes of browsers that sign in at a provider: out to it, and back from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.browser_sign_in import Begun, BrowserSignIn
from auth.networks import client_address, network_of
from db.core.errors import DomainError, ErrorCode, RateLimited, bad_input
from db.identities.operations import STATE_LIFE
from graph.shared.errors import domain_error, top_level
from server.services import Services

BODY_LIMIT_BYTES = 32_768
BODY_TIMEOUT_SECONDS = 10.0
COOKIE = "tallygraph_sign_in"
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

_STATUS_OF = {
    ErrorCode.PROVIDER_NOT_CONFIGURED: 404,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
Handler = Callable[[Request], Awaitable[Response]]


def routes(services: Services) -> list[Route]:
    """The routes; the providers' settings are checked as they are made."""
    pages = SignInPages(services)
    return [
        Route("/auth/{provider}/start", _refusals_answered(pages.start), methods=["GET"]),
        Route(
            "/auth/{provider}/callback", _refusals_answered(pages.callback), methods=["GET", "POST"]
        ),
    ]


class SignInPages:
    """Reads requests and cookies; what they mean is decided in `auth/browser_sign_in.py`."""

    def __init__(self, services: Services) -> None:
        self._browsers = services.of(BrowserSignIn.of)
        self._is_secure = services.settings.base_url.startswith("https://")

    async def start(self, request: Request) -> Response:
        """Sends the browser to a provider."""
        query = request.query_params
        redirect_to = query.get("redirect_to")
        name = request.path_params["provider"]
        provider = self._browsers.provider(name)
        if not redirect_to:
            raise bad_input("`redirect_to` must say where to go back to.", "redirect_to")
        begun = await self._browsers.begin(
            name,
            redirect_to,
            code_challenge=query.get("code_challenge"),
            method=query.get("code_challenge_method"),
            browser=request.cookies.get(self._cookie_name(posts_back=provider.posts_back)),
            network=network_of(client_address(request.scope)),
        )
        response = _redirect(begun.url)
        self._set_cookie(response, begun)
        return response

    async def callback(self, request: Request) -> Response:
        """Takes in what the browser brought back, and sends it on to the app."""
        name = request.path_params["provider"]
        provider = self._browsers.provider(name)
        given = request.url.query
        if request.method == "POST":
            given = await _form(request)
        answer = dict(parse_qsl(given, keep_blank_values=True, max_num_fields=50))
        cookie = request.cookies.get(self._cookie_name(posts_back=provider.posts_back))
        return _redirect(await self._browsers.finish(name, answer, cookie))

    def _cookie_name(self, *, posts_back: bool) -> str:
        """One for each way back; `__Host-` keeps the domain's other hosts from setting it."""
        name = f"{COOKIE}_post" if posts_back else COOKIE
        return f"__Host-{name}" if self._is_secure else name

    def _set_cookie(self, response: Response, begun: Begun) -> None:
        # A POST from the provider's page is cross-site: only SameSite=None is sent along.
        response.set_cookie(
            self._cookie_name(posts_back=begun.posts_back),
            begun.browser,
            max_age=int(STATE_LIFE.total_seconds()),
            path="/",
            secure=self._is_secure or begun.posts_back,
            httponly=True,
            samesite="none" if begun.posts_back else "lax",
        )


def _redirect(url: str) -> Response:
    """302, with the URL as it is: what a browser may not read in two ways was refused before."""
    return Response(status_code=302, headers={"Location": url, **NO_STORE})


async def _form(request: Request) -> str:
    """A small form; the same answer that others put into the query."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise bad_input("This is more than a provider sends.")
    except TimeoutError:
        raise bad_input("The bytes stopped coming; begin again.") from None
    return body.decode("utf-8", "replace")


def _refusals_answered(handler: Handler) -> Handler:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            refusal = domain_error(error)
            if refusal is None:
                raise
            return _refused(refusal)

    return answered


def _refused(refusal: DomainError) -> JSONResponse:
    headers = {**NO_STORE, "Connection": "close"}
    if isinstance(refusal, RateLimited):
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    status = _STATUS_OF.get(refusal.code, 400)
    return JSONResponse({"errors": [top_level(refusal)]}, status, headers)
