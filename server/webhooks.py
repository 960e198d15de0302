"""`POST /webhooks/{provider}`: what a payment provider tells is stored, and acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.networks import RateLimit, client_address, network_of
from db.core.errors import DomainError, ErrorCode, bad_input
from db.webhooks.tables import BODY_LIMIT_BYTES
from graph.shared.errors import domain_error, top_level
from payments.base import Delivery, DeliveryRefusal
from payments.inbox import WebhookInbox, inbox_of
from server import checkout_return, payment_pages, paymob_return, sandbox_checkout
from server.services import Services

BODY_TIMEOUT_SECONDS = 10.0
# Of one network that may send anything: each costs a row, and a question to the provider.
UNVERIFIED_SIZE, UNVERIFIED_SECONDS = 60, 60.0
NO_STORE = {"Cache-Control": "no-store"}
# RevenueCat takes 200 alone for an answer, so everybody gets it.
TAKEN = b'{"received":true}'

_STATUS_OF = {
    ErrorCode.PROVIDER_NOT_CONFIGURED: 404,
    ErrorCode.LIMIT_EXCEEDED: 413,
    ErrorCode.INVALID_CREDENTIALS: 401,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.PROVIDER_FAILED: 503,
}
_UNKNOWN = DomainError(
    ErrorCode.PROVIDER_NOT_CONFIGURED,
    "This payment provider is not set up here: its settings are missing, or the address is wrong.",
)
_TOO_MANY = DomainError(
    ErrorCode.SERVICE_UNAVAILABLE,
    "So many deliveries wait to be verified that no more are taken in now; send it again later.",
)
_REFUSED = {
    DeliveryRefusal.FORGED: DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The signature of this webhook is not valid."
    ),
    DeliveryRefusal.STALE: DomainError(
        ErrorCode.INVALID_CREDENTIALS, "This webhook is too old; send it again, signed anew."
    ),
    DeliveryRefusal.UNREADABLE: bad_input("A webhook is UTF-8 text."),
}


def routes(services: Services) -> list[Route]:
    """The routes of deliveries and of buyers; the providers' settings are checked now."""
    inbox = inbox_of(services)
    return [
        *delivery_routes(inbox),
        *payment_pages.routes(),
        *sandbox_checkout.routes(services, inbox),
        *paymob_return.routes(services, inbox),
        *checkout_return.routes(services, inbox),
    ]


def delivery_routes(
    inbox: WebhookInbox, clock: Callable[[], float] = time.monotonic
) -> list[Route]:
    """With a slash at the end or without: providers follow no redirect from one to the other."""
    receive = Webhooks(inbox, clock).receive
    return [
        Route(path, receive, methods=["POST"])
        for path in ("/webhooks/{provider}", "/webhooks/{provider}/")
    ]


class Webhooks:
    """Reads deliveries; whether they are genuine, and what they mean, is `payments/`' to say."""

    def __init__(self, inbox: WebhookInbox, clock: Callable[[], float]) -> None:
        self._inbox = inbox
        self._unverified = RateLimit[str](UNVERIFIED_SIZE, UNVERIFIED_SECONDS, clock)

    async def receive(self, request: Request) -> Response:
        """200 once it is stored; 503 while the database is away, so that it is sent again."""
        try:
            provider = self._inbox.providers.get(request.path_params["provider"])
            if provider is None:
                raise _UNKNOWN
            network = network_of(client_address(request.scope))
            if not provider.verifies_at_once and self._unverified.use(network):
                raise _TOO_MANY
            received = await self._inbox.receive(provider, await _delivery(request))
            if received.refusal is not None:
                raise _REFUSED[received.refusal]
            if received.is_too_much:
                raise _TOO_MANY
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            refusal = domain_error(error)
            if refusal is None:
                raise
            status = _STATUS_OF.get(refusal.code, 400)
            headers = {**NO_STORE, "Connection": "close"}
            return JSONResponse({"errors": [top_level(refusal)]}, status, headers)
        return Response(TAKEN, 200, NO_STORE, "application/json")


async def _delivery(request: Request) -> Delivery:
    """The whole delivery, given up at the first byte over the limit or when bytes stop coming."""
    received_at = datetime.now(UTC)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise DomainError(
                        ErrorCode.LIMIT_EXCEEDED,
                        f"A webhook has at most {BODY_LIMIT_BYTES} bytes.",
                    )
    except TimeoutError:
        raise bad_input("The bytes stopped coming; send them again.") from None
    headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in request.headers.raw}
    return Delivery(headers, bytes(body), received_at, request.url.query)
