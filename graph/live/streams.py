"""GraphQL over server-sent events, one operation a connection: for who cannot open a socket."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, cast

import orjson
import structlog

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from graph.engine.execution.subscriptions import Item
from graph.live.clients import Clients, ConnectionSlot
from graph.live.protocol import CloseCode
from graph.live.subscriptions import SubscriptionClosed
from graph.live.websocket import OperationSource, Receive, RequestErrors, Scope, Send
from graph.shared.context import ABORT_KEY
from graph.shared.errors import top_level
from graph.shared.slow_readers import HELD_LIMIT_BYTES, read_timeout_seconds

EVENT_STREAM = b"text/event-stream"
HEADERS = [
    (b"content-type", EVENT_STREAM + b"; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # A proxy that collects the answer first would hold it back for ever.
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),
]
COMMENT = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"

log = structlog.get_logger(__name__)


def next_event(item: Item) -> bytes:
    """A result as an event. JSON as we write it has no line breaks; its id resumes behind it."""
    resume = b"id: " + item.cursor.encode() + b"\n" if item.cursor else b""
    return resume + b"event: next\ndata: " + item.body + b"\n\n"


class Stream:
    """One event stream. Like a socket it ends once, through `close_soon`."""

    def __init__(
        self,
        source: OperationSource,
        clients: Clients,
        slot: ConnectionSlot,
        actor: Actor,
        scope: Scope,
        send: Send,
    ) -> None:
        self._source = source
        self._clients = clients
        self._limits = clients.limits
        self._slot = slot
        self._actor = actor
        self._scope = scope
        self._asgi_send = send
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[str] = self._loop.create_future()
        self._turn = asyncio.Lock()
        self._sending_since: float | None = None
        self._sent_at = self._loop.time()
        self._comments: set[asyncio.Task[None]] = set()

    async def run(self, request: dict[str, Any], receive: Receive) -> None:
        """Serve until the operation ends, the client leaves or something closes the stream."""
        await self._asgi_send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._send(COMMENT)
        answering = asyncio.create_task(self._answer(request))
        leaving = asyncio.create_task(_until_left(receive))
        try:
            ends: set[asyncio.Future[Any]] = {answering, leaving, self._closing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, leaving, *self._comments):
                task.cancel()
            await asyncio.gather(answering, leaving, *self._comments, return_exceptions=True)
        if not leaving.cancelled():
            return
        await self._end()

    def close_soon(self, code: CloseCode, reason: str) -> None:
        """End the stream without its `complete`: the client comes back with its last event id."""
        if not self._closing.done():
            self._closing.set_result(f"{int(code)} {reason}")

    def watch_over(self, now: float, wall_clock: float) -> None:
        """Called every two seconds: close what is overdue, comment into what is quiet."""
        actor = self._actor
        if self._sending_since and now - self._sending_since > self._limits.send_seconds:
            self.close_soon(CloseCode.TOO_SLOW, "Not reading fast enough; resume")
        elif actor.expires_at and wall_clock >= actor.expires_at:
            self.close_soon(CloseCode.FORBIDDEN, "The access token has expired; use a new one")
        elif actor.revocable_id and self._source.is_revoked(actor.revocable_id):
            self.close_soon(CloseCode.FORBIDDEN, "The session has expired or was revoked")
        elif now - self._sent_at >= self._limits.comment_seconds:
            self._sent_at = now
            comment = asyncio.create_task(self._send(COMMENT))
            self._comments.add(comment)
            comment.add_done_callback(self._comments.discard)

    async def _answer(self, request: dict[str, Any]) -> None:
        try:
            results = cast(
                Any,
                self._source.execute(
                    request,
                    lambda: self._actor,
                    address=self._slot.address,
                    resume_after=self._last_event_id(),
                    mutations=self._scope["method"] == "POST",
                ),
            )
            async with aclosing(results):
                async for item in results:
                    await self._send(next_event(item))
                    self._clients.delivered += 1
        except RequestErrors as refused:
            await self._send(_errors(refused.errors))
        except SubscriptionClosed as closed:
            self.close_soon(CloseCode.TRY_AGAIN, f"Resume: {closed}")
            return
        except DomainError as error:
            if error.code is ErrorCode.SERVICE_UNAVAILABLE:
                self.close_soon(CloseCode.TRY_AGAIN, error.message)
                return
            await self._send(_errors([top_level(error)]))
        except OSError:
            return
        except Exception:
            log.exception("live.operation_failed")
            masked = DomainError(ErrorCode.INTERNAL, "Something went wrong here.")
            await self._send(_errors([top_level(masked)]))
        await self._send(COMPLETE)

    def _last_event_id(self) -> str | None:
        given = dict(self._scope["headers"]).get(b"last-event-id")
        return given.decode("latin-1") if given else None

    async def _send(self, data: bytes) -> None:
        async with self._turn:
            self._sent_at = self._loop.time()
            # Large ones may take longer.
            self._sending_since = self._sent_at + read_timeout_seconds(len(data))
            try:
                await self._asgi_send(
                    {"type": "http.response.body", "body": data, "more_body": True}
                )
                if len(data) > HELD_LIMIT_BYTES:
                    # The next piece waits until the client has read: only then is this one sent.
                    await self._asgi_send(
                        {"type": "http.response.body", "body": b"", "more_body": True}
                    )
            finally:
                self._sending_since = None

    async def _end(self) -> None:
        """Finishes the answer, or drops the connection of who does not read even that."""
        told = f": {self._closing.result()}\n\n".encode() if self._closing.done() else b""
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                await self._asgi_send({"type": "http.response.body", "body": told})
        except TimeoutError:
            self._scope[ABORT_KEY]()


def _errors(errors: list[dict[str, Any]]) -> bytes:
    return next_event(Item(orjson.dumps({"errors": errors})))


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
