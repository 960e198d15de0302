"""Signing in to the pages for admins, out of them, and proving again who one is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from db.core.errors import ErrorCode
from server.admin.api import ApiAnswer
from server.admin.rendering import HEADERS, Rendering
from server.admin.visits import PageRefused, Visit, Visits

HOME, SIGN_IN_PATH, CODE_PATH = "/admin", "/admin/sign-in", "/admin/sign-in/code"
SESSION = """session { accessToken refreshToken } secondFactor { challengeId methods }
  errors { code message }"""
SIGN_IN = f"""mutation($email: String!, $password: String!) {{
  signIn(input: {{email: $email, password: $password}}) {{ {SESSION} }} }}"""
VERIFY = f"""mutation($challenge: ID!, $code: String!) {{
  verifySecondFactor(input: {{challengeId: $challenge, code: $code}}) {{ {SESSION} }} }}"""
BEGIN_PASSKEY = """mutation($challenge: ID) { beginPasskeySignIn(input: {challengeId: $challenge}) {
  options errors { code message } } }"""
FINISH_PASSKEY = f"""mutation($credential: JSON!) {{
  finishPasskeySignIn(input: {{credential: $credential}}) {{ {SESSION} }} }}"""
REAUTHENTICATE = """mutation($code: String!) { reauthenticate(input: {code: $code}) {
  accessToken errors { code message } } }"""


def raise_if_limited(answer: ApiAnswer) -> None:
    """A page of its own for whoever asks too often."""
    for problem in answer.problems:
        if problem.code == ErrorCode.RATE_LIMITED:
            raise PageRefused(
                429, "Too many attempts", problem.message, (SIGN_IN_PATH, "Try again")
            )


class SignIn:
    """The pages before there is a session, and the ones that end or strengthen it."""

    def __init__(self, visits: Visits, rendering: Rendering) -> None:
        self._visits = visits
        self._rendering = rendering

    async def show(self, visit: Visit) -> Response:
        """The form for address and password."""
        return self._page(visit, "sign_in.html")

    async def enter(self, visit: Visit) -> Response:
        """Takes address and password; no session here without a second factor."""
        given = {name: visit.form.get(name, "") for name in ("email", "password")}
        answer = await visit.ask(SIGN_IN, **given)
        raise_if_limited(answer)
        payload = answer.data.get("signIn") or {}
        if waiting := payload.get("secondFactor"):
            visit.held = visit.held.waiting(waiting["challengeId"], waiting["methods"])
            return RedirectResponse(CODE_PATH, 303)
        if session := payload.get("session"):
            return await self._open(visit, session)
        return self._page(visit, "sign_in.html", _words(answer), email=given["email"], status=403)

    async def show_code(self, visit: Visit) -> Response:
        """The form for the second factor."""
        if not visit.held.challenge_id:
            return RedirectResponse(SIGN_IN_PATH, 303)
        return self._page(visit, "second_factor.html")

    async def enter_code(self, visit: Visit) -> Response:
        """Takes a code of the authenticator app, or a recovery code."""
        challenge_id, code = visit.held.challenge_id, visit.form.get("code", "")
        answer = await visit.ask(VERIFY, challenge=challenge_id, code=code)
        raise_if_limited(answer)
        session = (answer.data.get("verifySecondFactor") or {}).get("session")
        if session is None:
            return self._page(visit, "second_factor.html", _words(answer), status=403)
        return await self._open(visit, session)

    async def begin_passkey(self, visit: Visit) -> Response:
        """What the browser asks a passkey: to be the second factor, or the whole sign-in."""
        answer = await visit.ask(BEGIN_PASSKEY, challenge=visit.held.challenge_id or None)
        raise_if_limited(answer)
        options = (answer.data.get("beginPasskeySignIn") or {}).get("options")
        return JSONResponse(options, 403 if options is None else 200, HEADERS)

    async def finish_passkey(self, visit: Visit) -> Response:
        """Takes what the passkey signed."""
        try:
            credential = json.loads(visit.form.get("credential", ""))
        except (ValueError, RecursionError):
            credential = {}
        answer = await visit.ask(FINISH_PASSKEY, credential=credential)
        raise_if_limited(answer)
        payload = answer.data.get("finishPasskeySignIn") or {}
        if waiting := payload.get("secondFactor"):
            visit.held = visit.held.waiting(waiting["challengeId"], waiting["methods"])
            return RedirectResponse(CODE_PATH, 303)
        if session := payload.get("session"):
            return await self._open(visit, session)
        return self._page(visit, "sign_in.html", _words(answer), status=403)

    async def sign_out(self, visit: Visit) -> Response:
        """Ends the session."""
        await self._visits.end(visit)
        return RedirectResponse(SIGN_IN_PATH, 303)

    async def show_confirmation(self, visit: Visit) -> Response:
        """The form that proves again who somebody is, before what matters most."""
        return self._page(visit, "confirm.html", back=_back(visit.request.query_params.get("to")))

    async def confirm(self, visit: Visit) -> Response:
        """Takes a code, and goes back to where it was asked for."""
        back = _back(visit.form.get("to"))
        answer = await visit.ask(REAUTHENTICATE, code=visit.form.get("code", ""))
        raise_if_limited(answer)
        token = (answer.data.get("reauthenticate") or {}).get("accessToken")
        if token is None:
            return self._page(visit, "confirm.html", _words(answer), status=403, back=back)
        visit.held = replace(visit.held, access_token=token).saying(
            "Thank you. Repeat what you were about to do."
        )
        return RedirectResponse(back, 303)

    async def _open(self, visit: Visit, session: dict[str, Any]) -> Response:
        visit.held = visit.held.signed_in(session["accessToken"], session["refreshToken"])
        await self._visits.admit(visit)
        return RedirectResponse(HOME, 303)

    def _page(
        self, visit: Visit, template: str, problem: str = "", *, status: int = 200, **values: Any
    ) -> Response:
        return self._rendering.page(visit, template, status, problem=problem, **values)


def _words(answer: ApiAnswer) -> str:
    return " ".join(problem.message for problem in answer.problems)


def _back(wanted: str | None) -> str:
    """A page of these, never another site's."""
    return wanted if wanted and wanted.startswith(f"{HOME}/") and "//" not in wanted else HOME
