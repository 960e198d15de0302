"""Uvicorn's WebSocket protocol, with a timeout for peers that never read what was sent."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn._types import (
    ASGIReceiveEvent,
    ASGISendEvent,
    WebSocketAcceptEvent,
    WebSocketScope,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.utils import accept_key

from auth.networks import network_of
from graph.shared.context import WRITE_KEY
from graph.shared.slow_readers import HELD_LIMIT_BYTES, STALLED_SECONDS, ReaderWatch
from server.request_starts import pieces_of
from server.websocket_handshakes import plain_handshake_key, socket_scope

FLUSH_SECONDS = 5.0
# What is parsed in one go: the smallest frames cost 10 µs each, and have 6 bytes.
PIECE_BYTES = 512
# Each is kept until the message is whole, also when it is empty.
FRAMES_PER_MESSAGE = 1_000
# And for how many sockets: what is made for them should still be in the caches when it is written.
HELD_LIMIT_SOCKETS = 32


SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)


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


class Outbox:
    """The sockets of one event loop that hold texts back, to be written one right after another.

    A system call pushes what Python needs out of the processor's caches: making many messages and
    then writing them all costs less than taking turns.
    """

    def __init__(self) -> None:
        self._sockets: list[FlushOrAbortProtocol] = []

    def add(self, socket: FlushOrAbortProtocol) -> None:
        """It will be told to write, before anything else runs that comes later."""
        if not self._sockets:
            socket.loop.call_soon(self._write_all)
        self._sockets.append(socket)
        if len(self._sockets) == HELD_LIMIT_SOCKETS:
            self._write_all()

    def _write_all(self) -> None:
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.write_held()


# They must not keep their loops alive, so none refers to its own.
_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """The one of a loop."""
    found = _outboxes.get(loop)
    if found is None:
        found = _outboxes[loop] = Outbox()
    return found


class FlushOrAbortProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits for its buffer to be read, which a stuck peer never does.

    What comes is parsed in small pieces, and no more of it while the peer has answers to read.

    Give it as `ws=` in uvicorn's configuration.
    """

    # In a place of their own, since the dictionary of all the others is large: each message would
    # have to fetch several pieces of it.
    __slots__ = (
        "_accept_key",
        "_held",
        "_is_parsing",
        "_is_writable",
        "_outbox",
        "_peer",
        "_reader",
        "_unparsed",
    )
    reader_seconds = STALLED_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]
        self._accept_key = ""
        self._held = b""
        self._outbox = outbox_of(self.loop)
        # What came and was not parsed yet, and whether its next piece has a turn to come.
        self._unparsed = b""
        self._is_parsing = False
        # Whether a text may be written past ASGI, but for a transport that is closing.
        self._is_writable = True
        self._peer: asyncio.Transport | None = None
        self._reader: ReaderWatch | None = None

    def take_over(self, head: HttpToolsProtocol) -> bool:
        """Goes on with a connection whose head is read; false when that is no plain handshake.

        Uvicorn puts the head together again for websockets to parse it a second time, which is a
        quarter of what a connect costs. What is not just as it should be still goes that way.
        """
        key = plain_handshake_key(head)
        if key is None:
            return False
        head.connections.discard(head)
        self.connections.add(self)
        self.transport, self.server, self.client = head.transport, head.server, head.client
        self.scheme = "wss" if head.scheme == "https" else "ws"
        self._accept_key = accept_key(key)
        # The parser begins with frames.
        self.conn.state = State.OPEN
        self.conn.parser = self.conn.parse()
        next(self.conn.parser)
        self.handshake_initiated = True
        self._run(socket_scope(head, self.scheme))
        return True

    def handle_connect(self, event: Request) -> None:
        """A handshake: the application may write past ASGI once it is done."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[WRITE_KEY] = self.write_text  # type: ignore[literal-required]

    def _run(self, scope: WebSocketScope) -> None:
        self.scope = scope
        self.scope[WRITE_KEY] = self.write_text  # type: ignore[literal-required]
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def data_received(self, data: bytes) -> None:
        """What came is parsed when it is this client's turn, which is mostly at once."""
        self._unparsed = self._unparsed + data if self._unparsed else data
        if not self._is_parsing:
            self._parse_soon()
        if self._unparsed:
            self._pause_reading()

    def _parse_soon(self) -> None:
        self._is_parsing = True
        network = network_of(self.client[0]) if self.client else ""
        pieces_of(self.loop).begin(network, self._parse_piece)

    def _parse_piece(self) -> None:
        self._is_parsing = False
        if not self._is_writable:
            return
        piece, self._unparsed = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
        super().data_received(piece)
        if self._unparsed:
            self._parse_soon()
        else:
            self._read_on()

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        """Reads more when all that came is parsed and received."""
        if self.read_paused and not self._unparsed and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """The next event of the client's."""
        event = await self.queue.get()
        self._read_on()
        return event

    def handle_cont(self, event: Frame) -> None:
        """A further part of a message."""
        if self.close_sent:
            return
        if len(self.frames) < FRAMES_PER_MESSAGE:
            super().handle_cont(event)
            return
        self.frames = []
        self.conn.fail(CloseCode.POLICY_VIOLATION, "Send a message in fewer frames")
        self.handle_parser_exception()

    def pause_writing(self) -> None:
        """The client has to read first."""
        super().pause_writing()
        self._is_writable = False
        if self._reader is None:
            self._reader = ReaderWatch(self.loop, self.transport, self.reader_seconds)
        self._reader.start()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._is_writable = True
        if self._reader is not None:
            self._reader.stop()
        if self._unparsed and not self._is_parsing:
            self._parse_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads any more."""
        if self._reader is not None:
            self._reader.stop()
        self._unparsed = b""
        super().connection_lost(exc)

    def write_text(self, payload: bytes) -> bool:
        """Writes a text at once; false when the client has to read first, or has gone.

        What is written in one go of the loop leaves together: one system call for each socket, and
        nothing between those of different sockets that would push them out of the caches.
        """
        if not self._is_writable or self._peer is None or self._peer.is_closing():
            return False
        held = self._held
        self._held = held + text_frame(payload)
        if not held:
            self._outbox.add(self)
        elif len(self._held) > HELD_LIMIT_BYTES:
            self.write_held()
        return True

    def write_held(self) -> None:
        """Everything else that writes comes after this, so that the order stays."""
        held, self._held = self._held, b""
        if held and self._peer is not None and not self._peer.is_closing():
            self._peer.write(held)

    async def send(self, message: ASGISendEvent) -> None:
        """A text goes out as the one frame it is; everything else takes the usual way."""
        if self._held:
            self.write_held()
        text = message.get("text") if message["type"] == "websocket.send" else None
        if not isinstance(text, str) or not self.handshake_complete or self.conn.extensions:
            if message["type"] == "websocket.accept" and self._accept_key:
                self._accept(message)
            else:
                await super().send(message)
            if message["type"] == "websocket.accept":
                self._forget_handshake()
                self._peer = None if self.conn.extensions else self.transport
            elif message["type"] == "websocket.close":
                self._peer = None
            return
        if not self.writable.is_set():
            await self.writable.wait()
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        frame = text_frame(text.encode())
        self.transport.write(frame)
        if len(frame) > HELD_LIMIT_BYTES:
            # It is sent when the client has read it: what made it counts it until then.
            del text, frame, message
            await self.writable.wait()

    def _forget_handshake(self) -> None:
        """A socket may live for days: its head is not needed any more."""
        self.__dict__.pop("request", None)
        self.__dict__.pop("response", None)
        self._accept_key = ""
        self.scope["headers"] = []

    def _accept(self, message: WebSocketAcceptEvent) -> None:
        """Answers a handshake that was taken over."""
        if self.disconnected:
            raise ClientDisconnected
        headers = [*self.default_headers, *message.get("headers", ())]
        if subprotocol := message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", subprotocol.encode()))
        lines = [SWITCHING, self._accept_key.encode(), b"\r\n"]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if not self.transport.is_closing():
            self.handshake_complete = True
            self.transport.write(b"".join([*lines, b"\r\n"]))
            self.start_keepalive()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with this socket: what is unsent gets a last attempt."""
        super().on_task_complete(task)
        if self.transport.get_write_buffer_size():
            self.loop.call_later(FLUSH_SECONDS, self.transport.abort)
