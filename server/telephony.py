"""`POST /telephony/twilio/{run}`: how calls go on, as Twilio tells it."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from db.core.errors import DomainError, ErrorCode, bad_input
from db.runs.operations import report_call
from db.runs.twilio import (
    SIGNATURE_HEADER,
    callback_url,
    is_genuine,
    report_of,
    told_by_form,
)
from graph.shared.errors import domain_error, top_level
from server.services import Services

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
    receive = TwilioCallbacks(services).receive
    return [Route("/telephony/twilio/{run:uuid}", receive, methods=["POST"])]


class TwilioCallbacks:
    """Takes callbacks; nothing of one is looked at before its signature."""

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
        token = settings.twilio_auth_token.get_secret_value()
        if not token:
            raise _UNKNOWN
        form = await _form(request)
        given = request.headers.get(SIGNATURE_HEADER, "")
        if not is_genuine(token, callback_url(settings, run_id), form, given):
            raise _FORGED
        fields = dict(form)
        report, call_id = report_of(told_by_form(fields)), fields.get("CallSid")
        if report is None or not call_id:
            return
        seconds, reason = report.duration_seconds, report.reason
        database = self._services.database
        if await report_call(database, run_id, call_id, report.status, seconds, reason):
            self._services.wake()


async def _form(request: Request) -> list[tuple[str, str]]:
    """The fields of the whole body, given up at the first byte over the limit."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    message = f"A callback has at most {BODY_LIMIT_BYTES} bytes."
                    raise DomainError(ErrorCode.LIMIT_EXCEEDED, message)
        text = body.decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
    except TimeoutError:
        raise bad_input("The bytes stopped coming; send them again.") from None
    except ValueError:
        raise bad_input("A callback is a form in UTF-8.") from None
