"""Apple's push service as its documents describe it, over HTTP/2 in the clear (RFC 9113, 3.3)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any
from uuid import UUID

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded

TEAM_ID, KEY_ID, TOPIC = "TEAM123456", "KEY1234567", "com.example.app"


@cache
def apns_key() -> ec.EllipticCurvePrivateKey:
    """The key of the team."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def apns_pem() -> str:
    """The same as a file .p8 has it."""
    return (
        apns_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


class Fault(Enum):
    """What happens in place of an answer, once the request was read whole.

    GO_AWAY ends the connection, and says that this request was not looked at (RFC 9113, 6.8).
    """

    DROP = auto()
    RESET = auto()
    HANG = auto()
    GO_AWAY = auto()


@dataclass(frozen=True)
class ApnsAnswer:
    """A status with what the body says."""

    status: int
    reason: str = ""
    timestamp: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        if not self.reason:
            return b""
        told = {"reason": self.reason}
        return orjson.dumps(
            told if self.timestamp is None else {**told, "timestamp": self.timestamp}
        )


@dataclass(frozen=True)
class Pushed:
    """A message that was taken."""

    token: str
    headers: dict[str, str]
    payload: dict[str, Any]


@dataclass
class FakeApns:
    """What came, and what is answered: the next of `answers`, then what Apple would say."""

    url: str = ""
    answers: deque[ApnsAnswer | Fault] = field(default_factory=deque)
    asked: int = 0
    connections: int = 0
    pushed: list[Pushed] = field(default_factory=list)
    provider_tokens: list[str] = field(default_factory=list)
    has_read: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, headers: dict[str, str], body: bytes) -> ApnsAnswer | Fault:
        """What becomes of a request."""
        self.asked += 1
        self.has_read.set()
        self.provider_tokens.append(headers.get("authorization", ""))
        if self.answers:
            return self.answers.popleft()
        if wrong := self._wrong(headers, body):
            return wrong
        token = headers[":path"].removeprefix("/3/device/")
        self.pushed.append(Pushed(token, headers, orjson.loads(body)))
        return ApnsAnswer(200, headers={"apns-id": headers["apns-id"]})

    def _wrong(self, headers: dict[str, str], body: bytes) -> ApnsAnswer | None:
        if headers[":method"] != "POST":
            return ApnsAnswer(405, "MethodNotAllowed")
        if why := self._refuses(headers.get("authorization", "")):
            return ApnsAnswer(403, why)
        token = headers[":path"].removeprefix("/3/device/")
        try:
            UUID(headers["apns-id"])
            bytes.fromhex(token)
        except ValueError:
            return ApnsAnswer(400, "BadDeviceToken")
        if headers.get("apns-topic") != TOPIC:
            return ApnsAnswer(400, "DeviceTokenNotForTopic")
        if headers.get("apns-push-type") != "alert":
            return ApnsAnswer(400, "InvalidPushType")
        if headers.get("apns-priority") not in ("5", "10"):
            return ApnsAnswer(400, "BadPriority")
        if int(headers["apns-expiration"]) < time.time():
            return ApnsAnswer(400, "BadExpirationDate")
        if not 1 <= len(headers["apns-collapse-id"]) <= 64:
            return ApnsAnswer(400, "BadCollapseId")
        return ApnsAnswer(413, "PayloadTooLarge") if len(body) > 4096 else None

    def _refuses(self, authorization: str) -> str | None:
        try:
            value = authorization.removeprefix("bearer ")
            claims = jwt.decode(
                value,
                apns_key().public_key(),
                algorithms=["ES256"],
                options={"require": ["iss", "iat"]},
            )
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if claims["iss"] != TEAM_ID or jwt.get_unverified_header(value).get("kid") != KEY_ID:
            return "InvalidProviderToken"
        return "ExpiredProviderToken" if claims["iat"] < time.time() - 3600 else None


class _Connection(asyncio.Protocol):
    """One connection of a client's."""

    def __init__(self, apns: FakeApns) -> None:
        self._apns = apns
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._apns.connections += 1
        self._transport = transport
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers}
                self._requests[event.stream_id] = (headers, bytearray())
            elif isinstance(event, DataReceived):
                self._requests[event.stream_id][1].extend(event.data)
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self._answer(event.stream_id)
        self._flush()

    def _answer(self, stream_id: int) -> None:
        headers, body = self._requests.pop(stream_id)
        answer = self._apns.answer(headers, bytes(body))
        if answer is Fault.DROP:
            self._transport.abort()
        elif answer is Fault.GO_AWAY:
            self._h2.close_connection(last_stream_id=stream_id - 2)
            self._flush()
            self._transport.close()
        elif answer is Fault.RESET:
            self._h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        elif isinstance(answer, ApnsAnswer):
            told = [(":status", str(answer.status)), *answer.headers.items()]
            self._h2.send_headers(stream_id, told, end_stream=not answer.body)
            if answer.body:
                self._h2.send_data(stream_id, answer.body, end_stream=True)

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())


@asynccontextmanager
async def running_apns() -> AsyncIterator[FakeApns]:
    """The service for a block."""
    apns = FakeApns()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(apns), "127.0.0.1", 0)
    apns.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield apns
    finally:
        server.close()
        server.close_clients()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)
