"""`POST /telephony/{twilio|vonage}/{run}`: how calls go on, as their provider tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from db.core.errors import DomainError, ErrorCode, bad_input
from db.runs import twilio, vonage
from db.runs.operations import report_call
from db.runs.reports import CallReport
from graph.shared.errors import domain_error, top_level
from server.services import Services
from settings import Settings

BODY_TIMEOUT_SECONDS = 10.0
BODY_LIMIT_BYTES = 65_536
FIELDS_LIMIT = 200
_STATUS_OF = {
    ErrorCode.PROVIDER_NOT_CONFIGURED: 404,
    ErrorCode.INVALID_CREDENTIALS: 403,
    ErrorCode.LIMIT_EXCEEDED: 413,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
_UNKNOWN = DomainError(
    ErrorCode.PROVIDER_NOT_CONFIGURED,
    "This telephony provider is not set up here: its settings are missing.",
)
_FORGED = DomainError(ErrorCode.INVALID_CREDENTIALS, "The signature of this callback is not valid.")


def routes(services: Services) -> list[Route]:
    """The routes of callbacks."""
    takes = {"twilio": TwilioCallbacks(services), "vonage": VonageCallbacks(services)}
    return [
        Route(f"/telephony/{name}/{{run:uuid}}", one.receive, methods=["POST"])
        for name, one in takes.items()
    ]


class Callbacks:
    """Takes callbacks of one provider; nothing of one is looked at before its signature."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def receive(self, request: Request) -> Response:
        """204 for whatever is genuine, news or not; 503 while the database is away."""
        try:
            await self._take(request, request.path_params["run"])
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            refusal = domain_error(error)
            if refusal is None:
                raise
            status = _STATUS_OF.get(refusal.code, 400)
            return JSONResponse({"errors": [top_level(refusal)]}, status, {"Connection": "close"})
        return Response(status_code=204)

    async def _take(self, request: Request, run_id: UUID) -> None:
        settings = self._services.settings
        if not self.secret(settings):
            raise _UNKNOWN
        body = await _body(request)
        report, call_id = self.read(settings, run_id, request.headers, body)
        if report is None or not call_id:
            return
        seconds, reason = report.duration_seconds, report.reason
        database = self._services.database
        if await report_call(database, run_id, call_id, report.status, seconds, reason):
            self._services.wake()

    def secret(self, settings: Settings) -> str:
        """What callbacks are signed with; empty where the provider is not set up."""
        raise NotImplementedError

    def read(
        self, settings: Settings, run_id: UUID, headers: Mapping[str, str], body: bytes
    ) -> tuple[CallReport | None, str | None]:
        """What a genuine callback tells, and of which call; refuses a forged one."""
        raise NotImplementedError


class TwilioCallbacks(Callbacks):
    """Forms, with a signature over the URL and their fields."""

    def secret(self, settings: Settings) -> str:
        """The account's token."""
        return settings.twilio_auth_token.get_secret_value()

    def read(
        self, settings: Settings, run_id: UUID, headers: Mapping[str, str], body: bytes
    ) -> tuple[CallReport | None, str | None]:
        """By the form's fields."""
        form = _form(body)
        given = headers.get(twilio.SIGNATURE_HEADER, "")
        url = twilio.callback_url(settings, run_id)
        if not twilio.is_genuine(self.secret(settings), url, form, given):
            raise _FORGED
        fields = dict(form)
        return twilio.report_of(twilio.told_by_form(fields)), fields.get("CallSid")


class VonageCallbacks(Callbacks):
    """JSON, with a signed token that names its hash."""

    def secret(self, settings: Settings) -> str:
        """The account's signature secret."""
        return settings.vonage_signature_secret.get_secret_value()

    def read(
        self, settings: Settings, run_id: UUID, headers: Mapping[str, str], body: bytes
    ) -> tuple[CallReport | None, str | None]:
        """By the event's fields; which run it is of stands in the address alone."""
        del run_id
        if not vonage.is_genuine(self.secret(settings), headers.get("authorization", ""), body):
            raise _FORGED
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise bad_input("A callback is JSON in UTF-8.") from None
        if not isinstance(told, dict):
            raise bad_input("A callback is a JSON object.")
        call_id = told.get("uuid")
        return vonage.report_of(told), call_id if isinstance(call_id, str) else None


async def _body(request: Request) -> bytes:
    """The whole body, given up at the first byte over the limit."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    message = f"A callback has at most {BODY_LIMIT_BYTES} bytes."
                    raise DomainError(ErrorCode.LIMIT_EXCEEDED, message)
    except TimeoutError:
        raise bad_input("The bytes stopped coming; send them again.") from None
    return bytes(body)


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
    except ValueError:
        raise bad_input("A callback is a form in UTF-8.") from None
