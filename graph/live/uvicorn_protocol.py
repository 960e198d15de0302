"""Uvicorn's WebSocket protocol, minus its patience with peers that never read what was sent."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from graph.context import WRITE_KEY

FLUSH_SECONDS = 5.0


def text_frame(payload: bytes) -> bytes:
    """A whole, unmasked text message (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes() + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


class Inbox:
    """What came and was not received yet. `asyncio.Queue` takes 4 kB for each connection."""

    __slots__ = ("_items", "_reader")

    def __init__(self) -> None:
        self._items: list[ASGIReceiveEvent] = []
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, item: ASGIReceiveEvent) -> None:
        """Hands something to the reader, there is one at most."""
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def empty(self) -> bool:
        """Whether everything was received."""
        return not self._items

    async def get(self) -> ASGIReceiveEvent:
        """What came first; waits for it."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._items.pop(0)


class Gate:
    """An `asyncio.Event`, made only when somebody has to wait."""

    __slots__ = ("_event", "_is_open")

    def __init__(self) -> None:
        self._is_open = True
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Whether one may go through."""
        return self._is_open

    def set(self) -> None:
        """Lets everybody through."""
        self._is_open = True
        event, self._event = self._event, None
        if event is not None:
            event.set()

    def clear(self) -> None:
        """Makes who comes wait."""
        self._is_open = False

    async def wait(self) -> None:
        """Returns when the gate is open."""
        if not self._is_open:
            self._event = self._event or asyncio.Event()
            await self._event.wait()


class FlushOrAbortProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits for its buffer to be read, which a stuck peer never does.

    Give it as `ws=` in uvicorn's configuration.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        """A handshake: the application may write past ASGI once it is done."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[WRITE_KEY] = self.write_text  # type: ignore[literal-required]

    def write_text(self, payload: bytes) -> bool:
        """Writes a text at once; false when the client has to read first, or has gone."""
        if not self.writable.is_set() or self.conn.extensions:
            return False
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        self.transport.write(text_frame(payload))
        return True

    async def send(self, message: ASGISendEvent) -> None:
        """A text goes out as the one frame it is; everything else takes the usual way."""
        text = message.get("text") if message["type"] == "websocket.send" else None
        if not isinstance(text, str) or not self.handshake_complete or self.conn.extensions:
            await super().send(message)
            if message["type"] == "websocket.accept":
                self._forget_handshake()
            return
        if not self.writable.is_set():
            await self.writable.wait()
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(text_frame(text.encode()))

    def _forget_handshake(self) -> None:
        """A socket may live for days: its head is not needed any more."""
        del self.request, self.response
        self.scope["headers"] = []

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with this socket: what is unsent gets a last moment."""
        super().on_task_complete(task)
        if self.transport.get_write_buffer_size():
            self.loop.call_later(FLUSH_SECONDS, self.transport.abort)
