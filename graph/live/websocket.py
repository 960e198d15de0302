"""`graphql-transport-ws` over a raw ASGI WebSocket: one connection, its operations and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Protocol, cast
from uuid import UUID

import structlog

from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode
from graph.engine.execution.subscriptions import Item, SendNow
from graph.live import protocol
from graph.live.clients import Clients, ConnectionSlot
from graph.live.protocol import CloseCode, CloseSocket, bad_request
from graph.live.subscriptions import SlowConsumer, SubscriptionAway, SubscriptionClosed
from graph.shared.errors import top_level
from graph.shared.slow_readers import read_timeout_seconds

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DISCONNECT = "websocket.disconnect"

log = structlog.get_logger(__name__)


class RequestErrors(Exception):
    """A request that never began to run; `errors` are GraphQL errors ready for JSON."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the request was refused")
        self.errors = errors


class OperationSource(Protocol):
    """Who asks, and what the answer is."""

    async def authenticate(self, authorization: str | None, address: str) -> Actor:
        """The actor of a token; raises UNAUTHENTICATED for a bad one."""

    def admit(self, actor: Actor) -> None:
        """Counts an operation; raises RATE_LIMITED when there were too many."""

    def execute(
        self,
        payload: dict[str, Any],
        actor: Callable[[], Actor],
        *,
        address: str = "",
        resume_after: str | None = None,
        mutations: bool = True,
        send_now: SendNow | None = None,
    ) -> AsyncIterator[Item]:
        """Results: one for a query or mutation, many for a subscription behind `resume_after`.

        With `mutations` false one is refused: the request came as a GET. Results that `send_now`
        has sent are not among those.

        An async generator: it is closed when the client completes, leaves or is closed.
        """

    def is_revoked(self, revocable_id: UUID) -> bool:
        """Whether a session, or an API key's secret, has ended before its time."""


class _ClientLeft(Exception):
    """There is nobody to send to any more."""


class WebSocketConnection:
    """One socket. Everything that ends it goes through `close_soon`, so it ends once."""

    __slots__ = (
        "_acknowledged",
        "_actor",
        "_asgi_send",
        "_clients",
        "_closing",
        "_header_authorization",
        "_heard_at",
        "_initialised",
        "_limits",
        "_loop",
        "_opened_at",
        "_operations",
        "_pinged_at",
        "_receive",
        "_sending_since",
        "_slot",
        "_source",
        "_turn",
        "_unnamed",
        "_write",
    )

    def __init__(
        self,
        source: OperationSource,
        clients: Clients,
        slot: ConnectionSlot,
        header_authorization: str | None,
        receive: Receive,
        send: Send,
        write: SendNow | None = None,
    ) -> None:
        self._source = source
        self._clients = clients
        self._slot = slot
        self._limits = clients.limits
        self._header_authorization = header_authorization
        self._receive = receive
        self._asgi_send = send
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[CloseSocket] = self._loop.create_future()
        self._actor = NOBODY
        self._initialised = False
        self._acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        # Pings being sent and operations being cancelled; kept so that they are waited for.
        self._unnamed: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._sending_since: float | None = None
        self._opened_at = self._heard_at = self._pinged_at = self._loop.time()

    async def run(self) -> None:
        """Serve until the client leaves or something closes the socket."""
        reader = asyncio.create_task(self._read())
        try:
            ends: set[asyncio.Future[Any]] = {reader, self._closing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [reader, *self._operations.values(), *self._unnamed]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._closing.done():
            await self._send_close(self._closing.result())

    def close_soon(self, code: CloseCode, reason: str) -> None:
        """Close the socket; the first reason given stands."""
        if not self._closing.done():
            self._closing.set_result(CloseSocket(code, reason))

    def watch_over(self, now: float, wall_clock: float) -> None:
        """Called every two seconds: close what is overdue, ping what is quiet."""
        limits = self._limits
        if not self._acknowledged and now - self._opened_at > limits.initialisation_seconds:
            self.close_soon(CloseCode.INITIALISATION_TIMEOUT, "Connection initialisation timeout")
        elif self._sending_since and now - self._sending_since > limits.send_seconds:
            self.close_soon(
                CloseCode.TOO_SLOW, "Not reading fast enough; resume from the last cursor"
            )
        elif now - self._heard_at > 2 * limits.keep_alive_seconds:
            self.close_soon(
                CloseCode.TOO_SLOW, "Pings were not answered; resume from the last cursor"
            )
        elif self._actor.expires_at and wall_clock >= self._actor.expires_at:
            self.close_soon(CloseCode.FORBIDDEN, "The access token has expired; use a new one")
        elif (revocable := self._actor.revocable_id) and self._source.is_revoked(revocable):
            self.close_soon(CloseCode.FORBIDDEN, "The session has expired or was revoked")
        elif self._is_ping_due(now):
            self._pinged_at = now
            self._track(asyncio.create_task(self._send_ping()))

    def _is_ping_due(self, now: float) -> bool:
        quiet_since = max(self._heard_at, self._pinged_at)
        return self._acknowledged and now - quiet_since >= self._limits.keep_alive_seconds

    async def _send_ping(self) -> None:
        with suppress(_ClientLeft):
            await self._send(protocol.PING)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._unnamed.add(task)
        task.add_done_callback(self._unnamed.discard)

    async def _read(self) -> None:
        try:
            while (event := cast(dict[str, Any], await self._receive()))["type"] != DISCONNECT:
                self._heard_at = self._loop.time()
                message = protocol.read_message(event)
                # Not kept until the next one comes: that may take for ever.
                del event
                await self._handle(message)
                del message
        except CloseSocket as close:
            self.close_soon(close.code, close.reason)
        except _ClientLeft:
            return
        except Exception:
            log.exception("live.connection_failed")
            self.close_soon(CloseCode.INTERNAL, "Internal server error")

    async def _handle(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                await self._initialise(message)
            case "ping":
                await self._answer_ping(message)
            case "pong":
                protocol.optional_payload(message)
            case "subscribe":
                await self._begin(message)
            case "complete":
                self._cancel(protocol.operation_id(message))
            case _:
                raise bad_request("Unknown message `type`")

    async def _initialise(self, message: dict[str, Any]) -> None:
        if self._initialised:
            raise CloseSocket(
                CloseCode.TOO_MANY_INITIALISATIONS, "Too many initialisation requests"
            )
        self._initialised = True
        token = protocol.authorization_of(protocol.optional_payload(message))
        self._actor = await self._authenticate(token or self._header_authorization)
        try:
            self._slot.belong_to(self._actor.user_id)
        except DomainError as error:
            reason = f"{error.code.value}: {error.message}"
            raise CloseSocket(CloseCode.TRY_AGAIN, reason) from None
        await self._send(protocol.CONNECTION_ACK)
        self._acknowledged = True

    async def _answer_ping(self, message: dict[str, Any]) -> None:
        token = protocol.authorization_of(protocol.optional_payload(message))
        if token and self._acknowledged:
            actor = await self._authenticate(token)
            if actor.user_id != self._actor.user_id:
                raise CloseSocket(CloseCode.FORBIDDEN, "Forbidden: the token is another user's")
            self._actor = actor
        await self._send(protocol.PONG)

    async def _authenticate(self, authorization: str | None) -> Actor:
        try:
            return await self._source.authenticate(authorization, self._slot.address)
        except DomainError as error:
            if error.code is ErrorCode.UNAUTHENTICATED:
                raise CloseSocket(CloseCode.FORBIDDEN, f"Forbidden: {error.message}") from None
            raise CloseSocket(CloseCode.TRY_AGAIN, error.message) from None

    async def _begin(self, message: dict[str, Any]) -> None:
        if not self._acknowledged:
            raise CloseSocket(CloseCode.UNAUTHORIZED, "Unauthorized")
        identifier = protocol.operation_id(message)
        payload = protocol.operation_payload(message)
        if identifier in self._operations:
            raise CloseSocket(
                CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {identifier} already exists"
            )
        try:
            self._source.admit(self._actor)
            self._slot.begin_subscription()
        except DomainError as error:
            await self._refuse(identifier, error)
            return
        task = asyncio.create_task(self._operate(identifier, payload))
        task.add_done_callback(lambda _: self._slot.end_subscription())
        self._operations[identifier] = task

    def _cancel(self, identifier: str) -> None:
        task = self._operations.pop(identifier, None)
        if task:
            self._track(task)
            task.cancel()

    async def _operate(self, identifier: str, payload: dict[str, Any]) -> None:
        try:
            last_frame = await self._send_results(identifier, payload)
        except SlowConsumer as closed:
            self.close_soon(CloseCode.TOO_SLOW, f"Resume from the last cursor: {closed}")
            return
        except SubscriptionClosed as closed:
            self.close_soon(CloseCode.TRY_AGAIN, f"Resume from the last cursor: {closed}")
            return
        except _ClientLeft:
            return
        # The id is free before the client can know it: it may be used again at once.
        if self._operations.get(identifier) is asyncio.current_task():
            del self._operations[identifier]
        with suppress(_ClientLeft):
            await self._send(last_frame)

    async def _send_results(self, identifier: str, payload: dict[str, Any]) -> bytes:
        """Send every result; returns the frame that ends the operation."""
        start = protocol.next_frame_start(identifier)
        try:
            send_now = partial(self._send_now, self._write, start) if self._write else None
            address = self._slot.address
            results = cast(
                Any,
                self._source.execute(
                    payload, lambda: self._actor, address=address, send_now=send_now
                ),
            )
            async with aclosing(results):
                async for result in results:
                    await self._send((start + result.body + b"}").decode())
                    self._clients.delivered += 1
        except RequestErrors as refused:
            return protocol.error_frame(identifier, refused.errors)
        except DomainError as error:
            if error.code is ErrorCode.SERVICE_UNAVAILABLE:
                # An error would be the operation's end; a closed socket is something to resume.
                raise SubscriptionAway(error.message) from None
            return _error_frame(identifier, error.code, error.message)
        except (SubscriptionClosed, _ClientLeft):
            raise
        except Exception:
            log.exception("live.operation_failed")
            return _error_frame(identifier, ErrorCode.INTERNAL, "Something went wrong here.")
        return protocol.complete_frame(identifier)

    def _send_now(self, write: SendNow, start: bytes, body: bytes) -> bool:
        """Writes a result past this connection's tasks, unless another is still being sent."""
        if self._sending_since is not None or self._closing.done():
            return False
        if not write(start + body + b"}"):
            return False
        self._clients.delivered += 1
        return True

    async def _refuse(self, identifier: str, error: DomainError) -> None:
        await self._send(protocol.error_frame(identifier, [top_level(error)]).decode())

    async def _send(self, frame: str | bytes) -> None:
        # One at a time: a client that stops reading then holds back every operation, and nothing
        # is queued for it beyond what the hub's bounded buffers hold.
        async with self._turn:
            content = frame if isinstance(frame, str) else frame.decode()
            # Large ones may take longer.
            self._sending_since = self._loop.time() + read_timeout_seconds(len(content))
            try:
                await self._asgi_send({"type": "websocket.send", "text": content})
            except OSError:
                raise _ClientLeft from None
            finally:
                self._sending_since = None

    async def _send_close(self, close: CloseSocket) -> None:
        with suppress(OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(self._limits.close_seconds):
                await self._asgi_send(
                    {"type": "websocket.close", "code": int(close.code), "reason": close.reason}
                )


def _error_frame(identifier: str, code: ErrorCode, message: str) -> bytes:
    return protocol.error_frame(
        identifier, [{"message": message, "extensions": {"code": code.value}}]
    )
