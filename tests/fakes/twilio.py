"""Twilio's API for calls, as its documents describe it; what it was asked can be looked at."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from jobs.telephony.simulator import tone

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

ACCOUNT, TOKEN, NUMBER = "AC00000000000000000000000000000000", "a token of tests", "+15005550006"
BASE = f"/2010-04-01/Accounts/{ACCOUNT}"


@dataclass
class FakeTwilio:
    """Its address, its calls by their sids, and what it answers to the next that are placed."""

    url: str
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    forms: list[StubRequest] = field(default_factory=list)
    refusals: list[StubAnswer] = field(default_factory=list)

    def end(self, sid: str, **fields: Any) -> None:
        """Sets what the API tells of a call."""
        self.calls[sid].update(fields)


@contextmanager
def fake_twilio() -> Iterator[FakeTwilio]:
    """The API for a block."""
    with stub_server() as stub:
        fake = FakeTwilio(stub.url)
        stub.answers[f"{BASE}/Calls.json"] = lambda asked: _calls(fake, stub, asked)
        yield fake


def _calls(fake: FakeTwilio, stub: Stub, asked: StubRequest) -> StubAnswer:
    known = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    if asked.headers.get("authorization") != f"Basic {known}":
        return 401, {"code": 20003, "message": "Authenticate"}
    if "Url" not in asked.given:
        wanted = {"to": asked.given["To"], "from": asked.given["From"]}
        return 200, {"calls": [c for c in fake.calls.values() if wanted.items() <= c.items()]}
    fake.forms.append(asked)
    if fake.refusals:
        return fake.refusals.pop(0)
    sid = f"CA{len(fake.calls):032}"
    fake.calls[sid] = {
        "sid": sid,
        "to": asked.given["To"],
        "from": asked.given["From"],
        "status": "queued",
        "duration": None,
        "answered_by": None,
        "price": None,
        "price_unit": "USD",
        "date_created": format_datetime(datetime.now(UTC)),
    }
    stub.answers[f"{BASE}/Calls/{sid}.json"] = lambda _: (200, fake.calls[sid])
    recordings = {"recordings": [{"sid": f"RE{sid}"}]}
    stub.answers[f"{BASE}/Calls/{sid}/Recordings.json"] = lambda _: (200, recordings)
    stub.answers[f"{BASE}/Recordings/RE{sid}.wav"] = lambda _: (200, tone())
    return 201, fake.calls[sid]
