"""Who asks the API of developers, counted and logged, and how its handlers ask the operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from auth.developer_keys import DEVELOPER_KEY_START, DeveloperKeys, Rate
from auth.networks import client_address, network_of
from auth.tokens import cut_bearer_token
from db.core.actor import NOBODY, Actor
from db.core.errors import ErrorCode, sign_in_first
from db.developers.operations import FoundDeveloperKey, MadeRequest
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from graph.shared.errors import RequestError, domain_error
from server.developer_api.answers import (
    INTERNAL,
    RestAnswer,
    RestRefusal,
    enveloped,
    new_request_id,
    refusal_of,
    refusal_told,
    refused,
)
from server.developer_api.request_log import RequestLog
from server.services import Services

log = structlog.get_logger("tallygraph.developer_api")


@dataclass(slots=True)
class DeveloperRequest:
    """One request: who asks, and what is left of their key's minute."""

    request: Request
    request_id: str
    network: str
    actor: Actor = NOBODY
    key: FoundDeveloperKey | None = None
    rate: Rate | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What an answer says of the key's minute."""
        if self.rate is None:
            return {}
        return {
            "X-RateLimit-Limit": str(self.rate.limit),
            "X-RateLimit-Remaining": str(self.rate.remaining),
            "X-RateLimit-Reset": str(self.rate.resets_at),
        }


Handler = Callable[[DeveloperRequest], Awaitable[RestAnswer]]
Endpoint = Callable[[Request], Awaitable[Response]]


class DeveloperApi:
    """Answers requests of developers, each by a handler."""

    def __init__(self, services: Services, engine: Engine) -> None:
        self.services = services
        self._engine = engine
        self._keys = services.of(DeveloperKeys.of)
        self._log = services.of(RequestLog.of)

    def by_key(self, route: str, handler: Handler) -> Endpoint:
        """An endpoint for a developer's key."""
        return self._endpoint(route, handler, self._take_key)

    def by_session(self, route: str, handler: Handler) -> Endpoint:
        """An endpoint for a session, as a page of the product has one."""
        return self._endpoint(route, handler, self._take_session)

    def _endpoint(
        self, route: str, handler: Handler, identify: Callable[[DeveloperRequest], Awaitable[None]]
    ) -> Endpoint:
        async def answer(request: Request) -> Response:
            asking = DeveloperRequest(
                request, new_request_id(), network_of(client_address(request.scope))
            )
            try:
                await identify(asking)
                response = enveloped(await handler(asking), asking.request_id, asking.headers)
            except RestRefusal as refusal:
                response = refused(refusal, asking.request_id, asking.headers)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                response = refused(self._refusal(error, asking), asking.request_id, asking.headers)
            self._note(asking, route, response.status_code)
            return response

        return answer

    @staticmethod
    def _refusal(error: Exception, asking: DeveloperRequest) -> RestRefusal:
        known = domain_error(error)
        if known is not None and known.code is not ErrorCode.INTERNAL:
            return refusal_of(known)
        log.exception("developer_api.failed", request_id=asking.request_id)
        return RestRefusal(*INTERNAL, "Something went wrong here; it has been logged.")

    def _note(self, asking: DeveloperRequest, route: str, status: int) -> None:
        method = asking.request.method
        log.info(
            "developer_api.request",
            request_id=asking.request_id,
            method=method,
            endpoint=route,
            status=status,
            user_id=asking.actor.user_text or None,
        )
        # Of a flood that the key's rate refuses, the history keeps the first of a minute.
        is_kept = asking.rate is None or not asking.rate.is_over_again
        if asking.key is not None and is_kept:
            self._log.add(
                MadeRequest(
                    asking.key.user_id,
                    asking.key.key_id,
                    asking.request_id,
                    method,
                    route,
                    status,
                    datetime.now(UTC),
                )
            )

    async def _take_key(self, asking: DeveloperRequest) -> None:
        headers = asking.request.headers
        text = headers.get("x-api-key") or cut_bearer_token(headers.get("authorization")) or ""
        asking.key = key = await self._keys.verify(text, asking.network)
        asking.actor = Actor("authenticated", key.user_id)
        asking.rate, refusal = self._keys.admit(key)
        if refusal is not None:
            raise refusal

    async def _take_session(self, asking: DeveloperRequest) -> None:
        token = cut_bearer_token(asking.request.headers.get("authorization"))
        if token is None or token.startswith(DEVELOPER_KEY_START):
            raise sign_in_first()
        asking.actor = self.services.tokens.verify(token)

    async def ask(
        self,
        asking: DeveloperRequest,
        document: str,
        variables: Mapping[str, Any] | None = None,
        *,
        name: str = "name",
    ) -> Any:
        """What a document answers to who asks; its refusals are raised.

        Of a mutation, whose field is called `answer`, it is the payload. Its field `name` is called
        `name` here, unless it is said how.
        """
        context = Context(
            asking.actor,
            self.services,
            asking.request_id,
            asking.request.headers.get("user-agent"),
            client_address(asking.request.scope),
        )
        try:
            text = await self._engine.run(document, dict(variables or {}), None, context)
        except RequestError:
            # The handlers have read every field: what is left is what no operation takes.
            raise RestRefusal("INVALID_REQUEST", 400, "A field cannot be taken.") from None
        answer = orjson.loads(text)
        for error in answer.get("errors", ()):
            raise refusal_told(error["extensions"]["code"], error["message"], None)
        data = answer["data"]
        payload = data.get("answer", data)
        for error in payload.get("errors", ()):
            raise refusal_told(error["code"], error["message"], error["path"], name)
        return payload
