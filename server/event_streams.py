"""Requests to /graphql that accept an event stream: read, admitted, and handed to a `Stream`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from auth.networks import client_address
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from graph.live.clients import Clients
from graph.live.streams import EVENT_STREAM, Stream
from graph.live.websocket import OperationSource, Receive, Scope, Send
from graph.shared.errors import top_level
from server.http import GraphQLHttp, Refusal, parts_of


def wants_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request asks for an event stream before anything else."""
    for name, value in headers:
        if name == b"accept":
            return value.split(b",")[0].split(b";")[0].strip().lower() == EVENT_STREAM
    return False


class EventStreams:
    """An ASGI application for requests to /graphql that accept an event stream."""

    def __init__(
        self,
        source: OperationSource,
        clients: Clients,
        requests: GraphQLHttp,
        *,
        is_origin_allowed: Callable[[str | None], bool],
    ) -> None:
        self._source = source
        self._clients = clients
        self._requests = requests
        self._is_origin_allowed = is_origin_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream; what is no request, or one too many, is refused in HTTP's words."""
        slot = self._clients.slot(client_address(scope))
        try:
            actor, request = await self._read(scope, receive)
            slot.enter()
        except Refusal as refusal:
            await _refuse(send, refusal.status, refusal.error, refusal.headers)
            return
        except DomainError as error:
            await _refuse(send, 429, error, ((b"retry-after", b"5"),))
            return
        try:
            slot.belong_to(actor.user_id)
            slot.begin_subscription()
            await self._serve(
                Stream(self._source, self._clients, slot, actor, scope, send), request, receive
            )
        except DomainError as error:
            await _refuse(send, 429, error, ((b"retry-after", b"5"),))
        finally:
            slot.leave()

    async def _read(self, scope: Scope, receive: Receive) -> tuple[Actor, dict[str, Any]]:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if not self._is_origin_allowed(origin.decode("latin-1") if origin else None):
            refused = DomainError(ErrorCode.FORBIDDEN, "Pages of this origin may not call.")
            raise Refusal(403, refused)
        actor, request = await self._requests.read_request(scope, receive, headers)
        parts_of(request)
        return actor, request

    async def _serve(self, stream: Stream, request: dict[str, Any], receive: Receive) -> None:
        self._clients.add(stream)
        try:
            await stream.run(request, receive)
        finally:
            self._clients.remove(stream)


async def _refuse(
    send: Send, status: int, error: DomainError, extra: tuple[tuple[bytes, bytes], ...]
) -> None:
    body = orjson.dumps({"errors": [top_level(error)]})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    with suppress(OSError):
        await send({"type": "http.response.body", "body": body})
