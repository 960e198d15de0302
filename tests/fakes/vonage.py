"""Vonage's API for calls, as its documents describe it; what it was asked can be looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

APPLICATION, NUMBER, SECRET = str(uuid4()), "+15005550006", "a signature secret of these tests!"


@dataclass
class FakeVonage:
    """Its address, the key of its application, its calls by their ids, and refusals of the next."""

    url: str
    private_key: str
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[StubAnswer] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """What turns it on."""
        return {
            "vonage_application_id": APPLICATION,
            "vonage_private_key": self.private_key.replace("\n", "\\n"),
            "vonage_signature_secret": SECRET,
            "vonage_from_number": NUMBER,
            "vonage_answer_url": "https://agent.example.com/answer",
            "vonage_api_url": self.url,
        }


@contextmanager
def fake_vonage() -> Iterator[FakeVonage]:
    """The API for a block."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with stub_server() as stub:
        fake = FakeVonage(stub.url, pem)
        stub.answers["/v1/calls"] = lambda asked: _calls(fake, stub, key.public_key(), asked)
        yield fake


def _calls(fake: FakeVonage, stub: Stub, key: Any, asked: StubRequest) -> StubAnswer:
    token = asked.headers.get("authorization", "").removeprefix("Bearer ")
    claims = jwt.decode(token, key, algorithms=["RS256"], options={"require": ["exp", "jti"]})
    if claims["application_id"] != APPLICATION:
        return 401, {"title": "Unauthorized"}
    if asked.method == "GET":
        return 200, {"_embedded": {"calls": list(fake.calls.values())}}
    given = json.loads(asked.body)
    fake.asked.append(given)
    if fake.refusals:
        return fake.refusals.pop(0)
    made = str(uuid4())
    fake.calls[made] = {
        "uuid": made,
        "status": "started",
        "direction": "outbound",
        "to": given["to"][0],
        "from": given["from"],
        "duration": None,
        "price": None,
    }
    stub.answers[f"/v1/calls/{made}"] = lambda _: (200, fake.calls[made])
    return 201, {"uuid": made, "status": "started", "direction": "outbound"}
