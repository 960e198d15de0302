"""Uvicorn's HTTP protocol, with limits for slow senders, long heads and absent readers."""

from __future__ import annotations

import asyncio
from functools import partial

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from auth.networks import Shares, network_of
from graph.shared.context import ABORT_KEY, BODY_KEY, CONTEXT_KEY, RESPOND_KEY, Context
from graph.shared.loop_turns import LoopTurns
from graph.shared.slow_readers import STALLED_SECONDS, ReaderWatch
from server.connections import REFUSED_SECONDS, TOO_MANY, ConnectionShares
from server.lingering import (
    HEAD_TOO_LARGE,
    REQUEST_TIMEOUT,
    LingeringTransport,
    bad_request,
)
from server.request_heads import BODY_HEADERS, head_fault, without_upgrade
from server.request_starts import starts_of
from server.uvicorn_websocket import FlushOrAbortProtocol

HEAD_SECONDS = 10.0
# The application times the bodies that it reads; this is for bodies that nobody reads any more.
UNREAD_BODY_SECONDS = 30.0
HEAD_LIMIT_BYTES = 65_536
HEADER_LIMIT = 100
SMALL_BODY_BYTES = 65_536
# Requests that wait behind one that is being answered, on one connection.
PIPELINE_LIMIT = 64
# Chunks beyond the first ones have so many bytes on average, since each costs as much as a large
# one; and what stands between the bytes of a body is no longer than a head.
FREE_CHUNKS = 1_000
CHUNK_BYTES = 64


class _Refused(Exception):
    """Stops the parser; what to answer is kept beside it."""


class DeadlineHttpProtocol(HttpToolsProtocol):
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
    _is_upgraded = False
    # Whether the head offers a protocol that is not spoken here, such as HTTP/2.
    _is_offer = False
    _received_bytes = 0
    _chunks = 0
    _body_bytes = 0
    _framing_bytes = 0
    # What the parser is stopped with, and the transport of an answer that may come too early.
    _refusal = b""
    _is_refused = False
    _lingering: LingeringTransport | None = None
    # Those of this process, where there are any; what this connection holds of one of them.
    shares: ConnectionShares | None = None
    _held: tuple[Shares[str], str] | None = None
    # Where this connection's requests begin in turn, and as whose.
    _starts: LoopTurns | None = None
    _network = ""
    _task: asyncio.Task[None] | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection owes a head."""
        super().connection_made(transport)
        if self.shares is not None and not self._take_share(self.shares):
            return
        self._in_head = True
        self._start_deadline(self.head_seconds)

    def _take_share(self, shares: ConnectionShares) -> bool:
        network = shares.network(self.client[0] if self.client else "")
        if network is None:
            return True
        if shares.held.take(network):
            self._held = shares.held, network
            return True
        shares.refused += 1
        self._is_refused = True
        if shares.waiting.take(network):
            self._held = shares.waiting, network
            self._deadline = self.loop.call_later(REFUSED_SECONDS, self._end, TOO_MANY)
        else:
            self.transport.abort()
        return False

    def _give_share_back(self) -> None:
        if self._held is not None:
            shares, network = self._held
            shares.give_back(network)
            self._held = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is owed any more, and nobody waits for the answer."""
        self._give_share_back()
        self._stop_deadline()
        if self._reader is not None:
            self._reader.stop()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # Of pipelined requests uvicorn tells only the last that nobody listens any more.
            self._running.disconnected = True
            self._running.message_event.set()
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
        self._chunks = self._body_bytes = self._framing_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head. Trailers, the lines behind a body, are dropped (RFC 9110, 6.5.1)."""
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: the application takes over."""
        if len(self.headers) > HEADER_LIMIT or (
            self._received_bytes > HEAD_LIMIT_BYTES and self._head_bytes() > HEAD_LIMIT_BYTES
        ):
            self._stop_parsing(HEAD_TOO_LARGE)
        if fault := head_fault(
            self.headers, self.parser.get_method(), self.parser.get_http_version()
        ):
            self._stop_parsing(bad_request(fault))
        if len(self.pipeline) >= PIPELINE_LIMIT:
            self._stop_parsing(bad_request("Read some answers before you send more requests."))
        self._is_offer = self.parser.should_upgrade() and not self._should_upgrade()
        if self._is_offer:
            return
        self._in_head = False
        self.scope[ABORT_KEY] = self.transport.abort  # type: ignore[literal-required]
        super().on_headers_complete()

    def _stop_parsing(self, refusal: bytes) -> None:
        self._refusal = refusal
        raise _Refused

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunks += 1
        if self._chunks > FREE_CHUNKS and self._body_bytes < CHUNK_BYTES * self._chunks:
            self._stop_parsing(bad_request("Send the body in fewer chunks."))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._body_bytes += len(body)
        self._framing_bytes = 0
        super().on_body(body)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        """The request has arrived whole."""
        if self._is_offer:
            return
        self._in_message = False
        if self.cycle is not None and len(self.cycle.body) <= SMALL_BODY_BYTES:
            self.cycle.scope[BODY_KEY] = bytes(self.cycle.body)  # type: ignore[literal-required]
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, then looks at what the client still owes."""
        if self._is_refused:
            if self._lingering is not None:
                self._lingering.heard()
            return
        self._received_bytes = self._received_bytes + len(data) if self._in_head else len(data)
        self._framing_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")
        except httptools.HttpParserUpgrade:
            self.handle_websocket_upgrade()
        self._look_at_the_rest()

    def _parse(self, data: bytes) -> None:
        """Has the parser read. It reads no body behind an offer, so the head goes without it."""
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._is_offer:
                    raise
                rest = memoryview(rest)[upgrade.args[0] :]
                self._read_without_offer()

    def _read_without_offer(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        head = without_upgrade(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _look_at_the_rest(self) -> None:
        if self._is_refused:
            return
        if self._in_message and not self._in_head:
            self._expect_more()
        if self._in_head:
            if self._received_bytes > HEAD_LIMIT_BYTES:
                self._refuse(HEAD_TOO_LARGE)
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
        if self._lingering is not None and not self._lingering.is_open:
            self._is_refused = True
            self._stop_deadline()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        if self._in_message and not self._in_head and self._deadline is None:
            self._start_deadline(self.unread_body_seconds)

    def handle_websocket_upgrade(self) -> None:
        """A socket has its own deadlines."""
        if any(name in BODY_HEADERS for name, _ in self.headers):
            self._refuse(bad_request("A handshake has no body."))
            return
        self._is_upgraded = True
        self._give_share_back()
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

    def _expect_more(self) -> None:
        """The rest of a body is to come: its answer may be there before it."""
        cycle = self.cycle
        if cycle.transport is self.transport and not cycle.response_complete:
            self._lingering = LingeringTransport(self.transport, self.flow, self.loop)
            cycle.transport = self._lingering  # type: ignore[assignment]
        if self._framing_bytes > HEAD_LIMIT_BYTES:
            self._refuse(bad_request("Send less between the bytes of the body."))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- it says too little
        """Says what is wrong; the parser knows only that something is."""
        self._refuse(self._refusal or bad_request("This is no HTTP request that can be read."))

    def _refuse(self, answer: bytes) -> None:
        """Reads no more, and answers if it is this request's turn."""
        self._is_refused = True
        if not self._in_head and self._in_message:
            if self.cycle.response_complete:
                self._end(b"")
                return
            self._give_up_cycle()
        earlier = self.pipeline[0][0] if self.pipeline else self._running
        if earlier is None or earlier.response_complete:
            self._end(answer)
        else:
            earlier.keep_alive = False

    def _give_up_cycle(self) -> None:
        """A body has no end that can be found: nobody waits for its answer."""
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.abort()
        self._running = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Has the application begin when it is this client's turn, which is mostly at once."""
        self._running = cycle
        # Not bound to the cycle: it holds the scope, and only the collector finds circles.
        cycle.scope[RESPOND_KEY] = self._respond_whole  # type: ignore[literal-required]
        if self._starts is None:
            self._starts = starts_of(self.loop)
            self._network = network_of(self.client[0]) if self.client else ""
        self._starts.begin(self._network, partial(self._begin, cycle, app))

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Starts the application; the task is kept, to be cancelled when the client leaves."""
        if self.transport.is_closing():
            return
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._task = task

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
            self._end(REQUEST_TIMEOUT if self._in_head else b"")

    def _end(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        self._stop_deadline()
        self._is_refused = True
        if not answer:
            self.transport.close()
            return
        self._lingering = LingeringTransport(self.transport, self.flow, self.loop)
        self._lingering.write(answer)
        self._lingering.close()


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
