"""Calls through Vonage, against a fake of its API; its signed events over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette

from db.runs.vonage import is_genuine
from jobs.core.declare import RetryLater, WorkerServices
from jobs.runs import collect_call, follow_call, place_call
from jobs.telephony import CallRequest, choose_telephony
from jobs.telephony.vonage import micro_usd
from server.telephony import routes
from settings import Settings

from ..fakes.vonage import NUMBER, SECRET, FakeVonage, fake_vonage
from .test_runs import Office, office
from .test_twilio import services_of_server

__all__ = ["office", "services_of_server"]

PUBLIC = "https://api.example.com"
CALLED = "+4930000000"


@pytest.fixture(scope="module")
def api() -> Iterator[FakeVonage]:
    with fake_vonage() as fake:
        yield fake


def signed(body: bytes, secret: str = SECRET, **changed: Any) -> str:
    """The header with which Vonage sends an event."""
    claims = {"iat": int(time.time()), "payload_hash": sha256(body).hexdigest()} | changed
    return f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"


class Line:
    """An office that calls through Vonage."""

    def __init__(self, office: Office, vonage: FakeVonage) -> None:
        self.office, self.vonage = office, vonage
        was = office.services
        given: dict[str, Any] = vonage.settings | {"public_url": PUBLIC, "vonage_usd_per_eur": 1.2}
        for name in ("vonage_private_key", "vonage_signature_secret"):
            given[name] = SecretStr(given[name])
        settings = was.settings.model_copy(update=given)
        self.services = WorkerServices(
            was.database, was.storage, was.providers, lambda: None, settings
        )
        self.client: httpx.AsyncClient

    async def dialled(self) -> tuple[UUID, str]:
        """A run that was dialled, and its call's id."""
        run_id = await self.office.start()
        await place_call(self.services, run_id=run_id)
        call_id = (await self.office.run(run_id))["provider_call_id"]
        assert call_id in self.vonage.calls
        return run_id, call_id

    async def tell(self, run_id: UUID, call_id: str, header: str | None = None, **told: Any) -> int:
        """An event; the status of what it is answered."""
        body = json.dumps({"uuid": call_id, **told}).encode()
        header = signed(body) if header is None else header
        answer = await self.client.post(
            f"{PUBLIC}/telephony/vonage/{run_id}", content=body, headers={"Authorization": header}
        )
        return answer.status_code


@pytest.fixture
async def line(office: Office, api: FakeVonage, services_of_server: Any) -> AsyncIterator[Line]:
    """The office, and a server that takes events."""
    api.calls.clear()
    api.asked.clear()
    made = Line(office, api)
    services_of_server.settings = made.services.settings
    app = Starlette(routes=routes(services_of_server))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as made.client:
        yield made


async def test_a_call_is_asked_for_as_documented_and_ends_once(line: Line) -> None:
    run_id, call_id = await line.dialled()
    (asked,) = line.vonage.asked
    assert (
        asked.items()
        >= {
            "to": [{"type": "phone", "number": CALLED[1:]}],
            "from": {"type": "phone", "number": NUMBER[1:]},
            "answer_url": [f"https://agent.example.com/answer?run={run_id}"],
            "event_url": [f"{PUBLIC}/telephony/vonage/{run_id}"],
        }.items()
    )
    for status, stands in (
        ("started", "DIALLING"),
        ("answered", "IN_PROGRESS"),
        ("ringing", "IN_PROGRESS"),
        ("completed", "COMPLETED"),
        ("completed", "COMPLETED"),
        ("busy", "COMPLETED"),
    ):
        assert await line.tell(run_id, call_id, status=status, duration="42") == 204
        assert (await line.office.run(run_id))["status"] == stands
    assert (await line.office.run(run_id))["duration_seconds"] == 42
    with pytest.raises(RetryLater):
        await collect_call(line.services, run_id=run_id)
    line.vonage.calls[call_id]["price"] = "0.0100"
    await collect_call(line.services, run_id=run_id)
    assert (await line.office.run(run_id))["cost_micro_usd"] == 12_000


async def test_each_end_has_its_name_here(line: Line) -> None:
    for told, status in {
        "machine": "VOICEMAIL",
        "busy": "BUSY",
        "rejected": "BUSY",
        "timeout": "NO_ANSWER",
        "unanswered": "NO_ANSWER",
        "failed": "FAILED",
        "cancelled": "CANCELLED",
    }.items():
        run_id, call_id = await line.dialled()
        assert await line.tell(run_id, call_id, status=told) == 204
        assert (await line.office.run(run_id))["status"] == status, told


async def test_what_is_not_signed_changes_nothing(line: Line) -> None:
    run_id, call_id = await line.dialled()
    body = json.dumps({"uuid": call_id, "status": "busy"}).encode()
    for header in (
        "",
        "Bearer nothing",
        signed(b"another body"),
        signed(body, "another secret of thirty-two bytes"),
        signed(body, iat=int(time.time()) - 3_600),
        signed(body).replace("Bearer", "Basic"),
    ):
        assert await line.tell(run_id, call_id, header, status="busy") == 403, header
    assert await line.tell(uuid4(), call_id, status="busy") == 204
    assert await line.tell(run_id, str(uuid4()), status="busy") == 204
    assert (await line.office.run(run_id))["status"] == "DIALLING"
    assert not is_genuine(SECRET, f"Bearer {jwt.encode({}, SECRET, algorithm='HS256')}", body)


async def test_a_lost_answer_is_found_a_refusal_fails_and_a_silent_call_is_asked_about(
    line: Line,
) -> None:
    for status, again, stands in ((400, False, "FAILED"), (429, True, "DIALLING")):
        line.vonage.refusals.append((status, {}))
        run_id = await line.office.start()
        try:
            await place_call(line.services, run_id=run_id)
            is_again = False
        except RetryLater:
            is_again = True
        assert (is_again, (await line.office.run(run_id))["status"]) == (again, stands)
    run_id = await line.office.start()
    line.vonage.refusals.append((500, {}))
    with pytest.raises(httpx.HTTPStatusError):
        await place_call(line.services, run_id=run_id)
    # It was placed all the same.
    telephony = line.services.of(choose_telephony)
    call_id = await telephony.place(CallRequest(run_id, CALLED, {}, {}))
    age = "update workflow_runs set dialled_at = dialled_at - interval '16 seconds' where id = $1"
    await line.office.owner.execute(age, run_id)
    await place_call(line.services, run_id=run_id)
    assert (await line.office.run(run_id))["provider_call_id"] == call_id
    assert len(line.vonage.calls) == 1
    line.vonage.calls[call_id] |= {"status": "completed", "duration": "12"}
    await follow_call(line.services, run_id=run_id)
    run = await line.office.run(run_id)
    assert (run["status"], run["duration_seconds"]) == ("COMPLETED", 12)


def test_prices_are_in_euros_and_one_provider_calls() -> None:
    assert [micro_usd("0.0085", 1.2), micro_usd(None, 1.2), micro_usd("?", 1.2)] == [
        10_200, None, None,
    ]  # fmt: skip
    whole = {
        "vonage_application_id": "a", "vonage_private_key": "k", "vonage_signature_secret": "s",
        "vonage_from_number": NUMBER, "vonage_answer_url": "https://agent.example.com",
    }  # fmt: skip
    assert Settings(**whole).vonage_application_id == "a"
    with pytest.raises(ValidationError, match="VONAGE_ANSWER_URL"):
        Settings(**whole | {"vonage_answer_url": ""})
    twilio = {
        "twilio_account_sid": "a", "twilio_auth_token": "t", "twilio_from_number": NUMBER,
        "twilio_voice_url": "https://agent.example.com",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="leave out"):
        Settings(**whole, **twilio)
