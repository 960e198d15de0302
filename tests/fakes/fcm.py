"""Firebase Cloud Messaging and Google's token endpoint, as their documents describe them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .apns import Fault

PROJECT, EMAIL, KEY_ID = "example-project", "push@example-project.example", "0123456789abcdef"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# Beside the message's own, which each may be sent for.
PLATFORMS = {"android", "apns", "webpush"}


@cache
def account_key() -> rsa.RSAPrivateKey:
    """The key of the service account."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class FcmAnswer:
    """A status with a body, and headers such as Retry-After."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def fcm_error(
    status: int, canonical: str, code: str = "", *, field_name: str = "", **headers: str
) -> FcmAnswer:
    """An error as FCM tells it; `field_name` is the field that was wrong."""
    details: list[dict[str, Any]] = []
    if code:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details.append({"@type": kind, "errorCode": code})
    if field_name:
        violation = {"field": field_name, "description": "Invalid"}
        kind = "type.googleapis.com/google.rpc.BadRequest"
        details.append({"@type": kind, "fieldViolations": [violation]})
    error = {"code": status, "message": "Refused.", "status": canonical, "details": details}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FcmAnswer(status, {"error": error}, named)


@dataclass
class FakeFcm:
    """What came, and what is answered: the next of the answers, then what Google would say."""

    url: str = ""
    answers: deque[FcmAnswer | Fault] = field(default_factory=deque)
    token_answers: deque[FcmAnswer | Fault] = field(default_factory=deque)
    access_tokens: list[str] = field(default_factory=list)
    asked: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    has_read: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def account(self) -> str:
        """The file of the service account."""
        pem = account_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return orjson.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": KEY_ID,
                "private_key": pem.decode(),
                "client_email": EMAIL,
                "token_uri": f"{self.url}/token",
            }
        ).decode()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> FcmAnswer | Fault:
        """What becomes of a request."""
        if path == "/token":
            return self.token_answers.popleft() if self.token_answers else self._token(body)
        self.asked += 1
        self.has_read.set()
        if self.answers:
            return self.answers.popleft()
        if path != f"/v1/projects/{PROJECT}/messages:send":
            return FcmAnswer(404)
        if headers.get("authorization") != f"Bearer {self.access_tokens[-1]}":
            return fcm_error(401, "UNAUTHENTICATED")
        message = orjson.loads(body)["message"]
        wrong = _wrong(message)
        if wrong:
            return fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field_name=wrong)
        self.messages.append(message)
        return FcmAnswer(200, {"name": f"projects/{PROJECT}/messages/{len(self.messages)}"})

    def _token(self, body: bytes) -> FcmAnswer:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return FcmAnswer(400, {"error": "unsupported_grant_type"})
        try:
            claims = jwt.decode(
                form["assertion"],
                account_key().public_key(),
                algorithms=["RS256"],
                audience=f"{self.url}/token",
                issuer=EMAIL,
                options={"require": ["exp", "iat", "aud", "iss"]},
            )
        except (jwt.InvalidTokenError, KeyError):
            return FcmAnswer(400, {"error": "invalid_grant"})
        if claims["scope"] != SCOPE or claims["exp"] - claims["iat"] > 3600:
            return FcmAnswer(400, {"error": "invalid_scope"})
        self.access_tokens.append(f"access-{len(self.access_tokens)}")
        granted = {"access_token": self.access_tokens[-1], "expires_in": 3599}
        return FcmAnswer(200, {**granted, "token_type": "Bearer"})


def _wrong(message: dict[str, Any]) -> str:
    """The field that FCM would refuse."""
    if len(orjson.dumps({n: v for n, v in message.items() if n != "token"})) > 4096:
        return "message"
    if any(not isinstance(value, str) for value in message["data"].values()):
        return "message.data"
    if len(PLATFORMS & message.keys()) != 1 or not message["token"]:
        return "message"
    return "message.webpush" if len(_topic(message)) > 32 else ""


def _topic(message: dict[str, Any]) -> str:
    return str(message.get("webpush", {}).get("headers", {}).get("Topic", ""))


@asynccontextmanager
async def running_fcm() -> AsyncIterator[FakeFcm]:
    """The service for a block, over HTTP/1.1."""
    fcm = FakeFcm()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await _exchange(fcm, reader, writer):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fcm.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fcm
    finally:
        server.close()
        server.close_clients()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)


async def _exchange(
    fcm: FakeFcm, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Reads one request and answers it; false when the connection ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    answer = fcm.answer(line.split(" ")[1], headers, body)
    if answer is Fault.HANG:
        await asyncio.Event().wait()
    if not isinstance(answer, FcmAnswer):
        writer.transport.abort()
        return False
    data = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    told = {"content-type": "application/json", "content-length": str(len(data)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in told.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    await writer.drain()
    return True
