"""Uvicorn's HTTP protocol, minus its patience: with slow senders, long heads and absent readers."""

from __future__ import annotations

import asyncio

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from graph.context import ABORT_KEY, BODY_KEY, CONTEXT_KEY, RESPOND_KEY, Context
from graph.live.uvicorn_protocol import FlushOrAbortProtocol
from graph.slow_readers import STALLED_SECONDS, ReaderWatch

HEAD_SECONDS = 10.0
# The application times the bodies that it reads; this is for bodies that nobody reads any more.
UNREAD_BODY_SECONDS = 30.0
HEAD_LIMIT_BYTES = 65_536
HEADER_LIMIT = 100
SMALL_BODY_BYTES = 65_536
_REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class _HeadTooLarge(Exception):
    """The head is longer than any that a client of this API has."""


class ImpatientHttpProtocol(HttpToolsProtocol):
    """Closes what is overdue. A request that arrives in one piece starts no timer.

    Give it as `http=` in uvicorn's configuration.
    """

    head_seconds = HEAD_SECONDS
    unread_body_seconds = UNREAD_BODY_SECONDS
    reader_seconds = STALLED_SECONDS
    _reader: ReaderWatch | None = None
    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _is_head_too_large = False
    _is_upgraded = False
    _received_bytes = 0
    _task: asyncio.Task[None] | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection owes a head."""
        super().connection_made(transport)
        self._in_head = True
        self._start_deadline(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is owed any more, and nobody waits for the answer."""
        self._stop_deadline()
        if self._reader is not None:
            self._reader.stop()
        super().connection_lost(exc)
        if self._task is None or self._running is None or self._task.done():
            return
        context: Context | None = self._running.scope.get(CONTEXT_KEY)  # type: ignore[assignment]
        if context is not None and context.is_reading:
            context.client_left = True
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client has to read first, and soon."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It has read; a connection that closes is watched to its end."""
        super().resume_writing()
        if self._reader is not None and not self.transport.is_closing():
            self._reader.stop()

    def timeout_keep_alive_handler(self) -> None:
        """Closing waits until all is read."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def _expect_reading(self) -> None:
        if self._reader is None:
            self._reader = ReaderWatch(self.loop, self.transport, self.reader_seconds)
        self._reader.start()

    def on_message_begin(self) -> None:
        """The first byte of a request, also of a later one on the same connection."""
        super().on_message_begin()
        self._in_head = self._in_message = True

    def on_headers_complete(self) -> None:
        """The head is whole: the application takes over."""
        self._in_head = False
        if len(self.headers) > HEADER_LIMIT or (
            self._received_bytes > HEAD_LIMIT_BYTES and self._head_bytes() > HEAD_LIMIT_BYTES
        ):
            self._is_head_too_large = True
            raise _HeadTooLarge
        self.scope[ABORT_KEY] = self.transport.abort  # type: ignore[literal-required]
        super().on_headers_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        """The request has arrived whole."""
        self._in_message = False
        if self.cycle is not None and len(self.cycle.body) <= SMALL_BODY_BYTES:
            self.cycle.scope[BODY_KEY] = bytes(self.cycle.body)  # type: ignore[literal-required]
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, then looks at what the client still owes."""
        self._received_bytes = self._received_bytes + len(data) if self._in_head else len(data)
        super().data_received(data)
        if self._in_head:
            if self._received_bytes > HEAD_LIMIT_BYTES:
                self._end(_HEAD_TOO_LARGE)
            elif self._deadline is None:
                self._start_deadline(self.head_seconds)
        elif self.cycle is not None and self.cycle.response_complete:
            # Bytes that begin no request, or a body that was refused: neither may go on for ever.
            if self._deadline is None and not self._is_upgraded:
                self._start_deadline(self.unread_body_seconds)
        elif self._deadline is not None:
            self._stop_deadline()

    def on_response_complete(self) -> None:
        """A refusal may come before the end of its request's body."""
        self._task = self._running = None
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        if self._in_message and not self._in_head and self._deadline is None:
            self._start_deadline(self.unread_body_seconds)

    def handle_websocket_upgrade(self) -> None:
        """A socket has its own deadlines."""
        self._is_upgraded = True
        self._stop_deadline()
        sockets: type = self.ws_protocol_class or object
        if issubclass(sockets, FlushOrAbortProtocol):
            protocol = sockets(self.config, self.server_state, self.app_state)
            if protocol.take_over(self):
                self.transport.set_protocol(protocol)
                # It knows this protocol, which would stay until the next garbage collection.
                self.parser = None  # type: ignore[assignment]
                return
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Says what is wrong with a head; the parser knows only that something is."""
        if self._is_head_too_large:
            self._end(_HEAD_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Starts the application; the task is kept, to be cancelled when the client leaves."""
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._task, self._running = task, cycle
        # Not bound to the cycle: it holds the scope, and only the collector finds circles.
        cycle.scope[RESPOND_KEY] = self._respond_whole  # type: ignore[literal-required]

    def _respond_whole(self, headers: bytes, body: bytes) -> bool:
        return self._running is not None and respond_whole(self._running, headers, body)

    def _start_deadline(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._overdue)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _overdue(self) -> None:
        self._deadline = None
        if self._task is not None and not self._task.done():
            self._start_deadline(self.head_seconds)  # an earlier request is still being answered
        else:
            self._end(_REQUEST_TIMEOUT if self._in_head else b"")

    def _end(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            if answer:
                self.transport.write(answer)
            self.transport.close()


def respond_whole(cycle: RequestResponseCycle, headers: bytes, body: bytes) -> bool:
    """Writes an answer in one piece, which spares the checks and pauses of two ASGI messages.

    `headers` are lines that need no checking, `content-length` not among them.
    """
    if cycle.flow.write_paused:
        return False
    if cycle.disconnected:
        return True
    lines = [STATUS_LINE[200]]
    for name, value in cycle.default_headers:
        lines += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    lines += (headers, b"content-length: %d\r\n\r\n" % len(body), body)
    cycle.transport.write(b"".join(lines))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True
