"""The WebSocket endpoint: accepts sockets, or refuses them with a reason that clients can read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import orjson

from auth.networks import client_address
from auth.tokens import carries_token, never_in_urls
from db.core.errors import DomainError
from graph.live.clients import Clients
from graph.live.protocol import LEGACY_SUBPROTOCOL, SUBPROTOCOL, CloseCode
from graph.live.websocket import OperationSource, Receive, Scope, Send, WebSocketConnection
from graph.shared.context import WRITE_KEY
from graph.shared.errors import top_level


def any_origin(_origin: str | None) -> bool:
    """Sockets carry no cookies, so a foreign page can do nothing without a token of its own."""
    return True


class GraphQLWebSocket:
    """An ASGI application for the WebSocket scope."""

    def __init__(
        self,
        source: OperationSource,
        clients: Clients,
        *,
        is_origin_allowed: Callable[[str | None], bool] = any_origin,
    ) -> None:
        self._source = source
        self._clients = clients
        self._is_origin_allowed = is_origin_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        await receive()
        origin, authorization = _header(scope, b"origin"), _header(scope, b"authorization")
        if not self._is_origin_allowed(origin):
            await send({"type": "websocket.close", "code": int(CloseCode.FORBIDDEN)})
            return
        if carries_token(scope["query_string"]):
            await _deny(send, 400, never_in_urls())
            return
        slot = self._clients.slot(client_address(scope))
        try:
            slot.enter()
        except DomainError as refused:
            await _deny(send, 429, refused, (b"retry-after", b"5"))
            return
        try:
            with suppress(OSError):
                if await _accept(scope, send):
                    connection = WebSocketConnection(
                        self._source,
                        self._clients,
                        slot,
                        authorization,
                        receive,
                        send,
                        scope.get(WRITE_KEY),
                    )
                    await self._serve(connection)
        finally:
            slot.leave()

    async def _serve(self, connection: WebSocketConnection) -> None:
        self._clients.add(connection)
        try:
            await connection.run()
        finally:
            self._clients.remove(connection)


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return None


async def _deny(send: Send, status: int, refused: DomainError, *extra: tuple[bytes, bytes]) -> None:
    """Before the handshake a refusal is HTTP: it costs the least."""
    headers = [(b"content-type", b"application/json"), *extra]
    body = orjson.dumps({"errors": [top_level(refused)]})
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _accept(scope: Scope, send: Send) -> bool:
    offered: list[str] = scope.get("subprotocols", [])
    if SUBPROTOCOL in offered:
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        return True
    # A browser shows the close code only if the handshake answered with what it offered.
    await send({"type": "websocket.accept", "subprotocol": next(iter(offered), None)})
    reason = f"Subprotocol not acceptable: use {SUBPROTOCOL}"
    if LEGACY_SUBPROTOCOL in offered:
        reason = f"The legacy {LEGACY_SUBPROTOCOL} subprotocol is not served: use {SUBPROTOCOL}"
    await send({"type": "websocket.close", "code": int(CloseCode.SUBPROTOCOL), "reason": reason})
    return False
