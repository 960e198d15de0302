"""A visit: one request for a page, who makes it, and what their browser holds afterwards."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError
from server.admin.api import Api, ApiAnswer
from server.admin.cookie import Held
from server.services import Services
from settings import DEMO_ORIGINS, Settings

BODY_LIMIT_BYTES = 32_768
BODY_TIMEOUT_SECONDS = 10.0
MOST_FIELDS = 50

VIEWER = "{ viewer { id email displayName username isAdmin } }"
REFRESH = """mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {
  session { accessToken refreshToken } errors { code message } } }"""
SIGN_OUT = "mutation { signOut { signedOut errors { code message } } }"


@dataclass
class PageRefused(Exception):
    """A page that says no, and what to do about it."""

    status: int
    title: str
    explanation: str
    # Where a link below leads, and what it says.
    link: tuple[str, str] = ("/admin", "Back")
    forgets_session: bool = False


class SignInNeeded(Exception):
    """Nobody is signed in, or nobody any more."""


FORGED = PageRefused(
    403,
    "This form is out of date",
    "It was opened before you last signed in, or did not come from these pages. Nothing was "
    "changed. Open the page again and repeat what you did.",
)
NO_SECOND_FACTOR = PageRefused(
    403,
    "A second factor is needed",
    "These pages open only for administrators who sign in with a second factor. In the app or "
    "with the API, add an authenticator app (`beginTotp`, `confirmTotp`) or a passkey "
    "(`beginPasskeyRegistration` with `secondFactor: true`) to your account, then sign in here "
    "again.",
    ("/admin/sign-in", "Sign in again"),
    forgets_session=True,
)
NO_ADMIN = PageRefused(
    403,
    "This account is not an administrator's",
    "You are signed out. Somebody who is one can make you one, or whoever runs the server: "
    "`tallygraph users promote`.",
    ("/admin/sign-in", "Sign in with another account"),
    forgets_session=True,
)


@dataclass
class Visit:
    """One request; `held` is what the browser is given with the answer."""

    request: Request
    held: Held
    api: Api
    actor: Actor = NOBODY
    viewer: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, document: str, **variables: Any) -> ApiAnswer:
        """What the API answers who is signed in here."""
        return await self.api.ask(self.request, document, variables, self.actor)


class Visits:
    """Says who makes a request, and whether a form is really theirs."""

    def __init__(self, services: Services, api: Api) -> None:
        self._tokens = services.tokens
        self._api = api
        self._is_own_origin = own_origin_check(services.settings)

    async def check_form(self, visit: Visit) -> None:
        """Reads the form, if there is one, and refuses what is none of our pages'."""
        request = visit.request
        if request.method != "POST":
            return
        if not self._is_own_origin(request.headers.get("origin")):
            raise FORGED
        visit.form = await _form(request)
        given = visit.form.get("form_key", "")
        if not hmac.compare_digest(given.encode(), visit.held.form_key.encode()):
            raise FORGED

    async def admit(self, visit: Visit) -> None:
        """Lets admins with two factors in, and nobody else."""
        visit.actor = await self._actor(visit)
        if visit.actor.assurance_level < 2:
            await self.end(visit)
            raise NO_SECOND_FACTOR
        viewer = (await visit.ask(VIEWER)).data.get("viewer")
        if viewer is None:
            raise SignInNeeded
        if not viewer["isAdmin"]:
            await self.end(visit)
            raise NO_ADMIN
        visit.viewer = viewer

    async def end(self, visit: Visit) -> None:
        """Ends the session on every node; its cookie is worth nothing from then on."""
        if visit.actor.user_id is not None:
            await visit.ask(SIGN_OUT)
        visit.held = Held.new()

    async def _actor(self, visit: Visit) -> Actor:
        held = visit.held
        if not held.access_token:
            raise SignInNeeded
        try:
            return self._tokens.verify(held.access_token)
        except DomainError:
            pass  # it may only be too old
        renewed = await self._api.ask(visit.request, REFRESH, {"token": held.refresh_token})
        session = (renewed.data.get("refreshSession") or {}).get("session")
        if session is None:
            visit.held = Held.new()
            raise SignInNeeded
        visit.held = replace(
            held, access_token=session["accessToken"], refresh_token=session["refreshToken"]
        )
        return self._tokens.verify(session["accessToken"])


def own_origin_check(settings: Settings) -> Any:
    """Whether an Origin header is this server's own; in a demo, any of this machine's.

    Every browser sends it with a form, and no page can change it (Fetch, 3.2).
    """
    demo = None if settings.production else re.compile(DEMO_ORIGINS)

    def is_own(origin: str | None) -> bool:
        if origin is None:
            return False
        return origin == settings.base_url or bool(demo and demo.fullmatch(origin))

    return is_own


async def _form(request: Request) -> Mapping[str, str]:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise PageRefused(413, "This is too much", "A form here has at most 32 kB.")
    except TimeoutError:
        raise PageRefused(408, "This took too long", "The form did not arrive in time.") from None
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise FORGED from None
    return dict(pairs)
