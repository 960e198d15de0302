"""The WebSocket endpoint: accepts sockets, watches over them all, closes them at shutdown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from graph.live.protocol import LEGACY_SUBPROTOCOL, SUBPROTOCOL, CloseCode
from graph.live.websocket import Connection, Limits, OperationSource, Receive, Scope, Send

log = structlog.get_logger(__name__)

# Expiry and revocation are promised within 5 s.
SWEEP_SECONDS = 1.0


def any_origin(_origin: str | None) -> bool:
    """Sockets carry no cookies, so a foreign page can do nothing without a token of its own."""
    return True


class GraphQLWebSocket:
    """An ASGI application for the WebSocket scope.

    One sweep watches over all connections, since several timers for each would cost more than
    their messages.
    """

    def __init__(
        self,
        source: OperationSource,
        limits: Limits | None = None,
        *,
        is_origin_allowed: Callable[[str | None], bool] = any_origin,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._source = source
        self._limits = limits or Limits()
        self._is_origin_allowed = is_origin_allowed
        self._sweep_seconds = sweep_seconds
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        await receive()
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if not self._is_origin_allowed(origin.decode("latin-1") if origin else None):
            await send({"type": "websocket.close", "code": int(CloseCode.FORBIDDEN)})
            return
        with suppress(OSError):
            if not await self._accept(scope, send):
                return
            authorization = headers.get(b"authorization")
            await self._serve(
                Connection(
                    self._source,
                    self._limits,
                    authorization.decode("latin-1") if authorization else None,
                    receive,
                    send,
                )
            )

    async def shutdown(self) -> None:
        """Tell every client to reconnect, and wait until they are gone."""
        self._stopping = True
        for connection in list(self._connections):
            connection.close_soon(
                CloseCode.RESTART, "Service restart; reconnect and resume from the last cursor"
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_seconds):
                await self._idle.wait()
        if self._sweeper:
            self._sweeper.cancel()

    async def _accept(self, scope: Scope, send: Send) -> bool:
        offered: list[str] = scope.get("subprotocols", [])
        if SUBPROTOCOL in offered:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            return True
        # A browser shows the close code only if the handshake answered with what it offered.
        await send({"type": "websocket.accept", "subprotocol": next(iter(offered), None)})
        reason = f"Subprotocol not acceptable: use {SUBPROTOCOL}"
        if LEGACY_SUBPROTOCOL in offered:
            reason = f"The legacy {LEGACY_SUBPROTOCOL} subprotocol is not served: use {SUBPROTOCOL}"
        await send(
            {"type": "websocket.close", "code": int(CloseCode.SUBPROTOCOL), "reason": reason}
        )
        return False

    async def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._idle.clear()
        if self._stopping:
            connection.close_soon(CloseCode.RESTART, "Service restart; reconnect")
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="live-sweep")
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._idle.set()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._sweep_seconds)
            now, wall_clock = loop.time(), time.time()
            for connection in list(self._connections):
                try:
                    connection.watch_over(now, wall_clock)
                except Exception:
                    # Whatever one connection meets, the others stay watched.
                    log.exception("live.sweep_failed")
