"""Calls through Twilio, against a fake of its API; its signed callbacks over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from db.runs.twilio import signature
from jobs.core.declare import RetryLater, WorkerServices
from jobs.runs import collect_call, follow_call, place_call
from jobs.telephony import CallRequest, choose_telephony
from jobs.telephony.twilio import micro_usd
from server.telephony import routes

from ..fakes.twilio import ACCOUNT, NUMBER, TOKEN, FakeTwilio, fake_twilio
from .test_runs import Office, office

__all__ = ["office"]

PUBLIC = "https://api.example.com"


@pytest.fixture(scope="module")
def api() -> Iterator[FakeTwilio]:
    with fake_twilio() as fake:
        yield fake


class Line:
    """An office that calls through Twilio."""

    def __init__(self, office: Office, twilio: FakeTwilio) -> None:
        self.office, self.twilio = office, twilio
        was = office.services
        settings = was.settings.model_copy(
            update={
                "twilio_account_sid": ACCOUNT,
                "twilio_auth_token": SecretStr(TOKEN),
                "twilio_from_number": NUMBER,
                "twilio_voice_url": "https://agent.example.com/answer",
                "twilio_api_url": twilio.url,
                "public_url": PUBLIC,
            }
        )
        self.services = WorkerServices(
            was.database, was.storage, was.providers, lambda: None, settings
        )
        self.client: httpx.AsyncClient

    async def dialled(self) -> tuple[UUID, str]:
        """A run that was dialled, and its call's sid."""
        run_id = await self.office.start()
        await place_call(self.services, run_id=run_id)
        sid = (await self.office.run(run_id))["provider_call_id"]
        assert sid in self.twilio.calls
        return run_id, sid

    async def tell(self, run_id: UUID, sid: str, /, signed: str | None = None, **told: str) -> int:
        """A callback; the status of what it is answered."""
        form = {"CallSid": sid, "AccountSid": ACCOUNT, **told}
        url = f"{PUBLIC}/telephony/twilio/{run_id}"
        if signed is None:
            signed = signature(TOKEN, url, form.items())
        answer = await self.client.post(url, data=form, headers={"X-Twilio-Signature": signed})
        return answer.status_code


@pytest.fixture
async def line(office: Office, api: FakeTwilio, services_of_server: Any) -> AsyncIterator[Line]:
    """The office, and a server that takes callbacks."""
    api.calls.clear()
    api.forms.clear()
    made = Line(office, api)
    services_of_server.settings = made.services.settings
    app = Starlette(routes=routes(services_of_server))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as made.client:
        yield made


class ServerServices:
    """What the route takes of a server's services."""

    def __init__(self, office: Office) -> None:
        self.database, self.settings = office.database, office.services.settings

    def wake(self) -> None:
        """Nobody watches here."""


@pytest.fixture
def services_of_server(office: Office) -> Any:
    return ServerServices(office)


async def test_a_call_is_asked_for_as_documented(line: Line) -> None:
    run_id, _ = await line.dialled()
    (asked,) = line.twilio.forms
    assert (
        asked.given.items()
        >= {
            "To": "+4930000000",
            "From": NUMBER,
            "Url": f"https://agent.example.com/answer?run={run_id}",
            "StatusCallback": f"{PUBLIC}/telephony/twilio/{run_id}",
            "MachineDetection": "Enable",
        }.items()
    )
    assert asked.body.count("StatusCallbackEvent=") == 4
    run = await line.office.run(run_id)
    assert (run["status"], run["provider"]) == ("DIALLING", "twilio")


async def test_callbacks_move_a_call_on_and_late_ones_do_not(line: Line) -> None:
    run_id, sid = await line.dialled()
    for status, stands in (
        ("initiated", "DIALLING"),
        ("in-progress", "IN_PROGRESS"),
        ("ringing", "IN_PROGRESS"),
        ("completed", "COMPLETED"),
        ("completed", "COMPLETED"),
        ("busy", "COMPLETED"),
    ):
        assert await line.tell(run_id, sid, CallStatus=status, CallDuration="42") == 204
        assert (await line.office.run(run_id))["status"] == stands
    assert (await line.office.run(run_id))["duration_seconds"] == 42


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"CallStatus": "completed", "AnsweredBy": "human"}, "COMPLETED"),
        ({"CallStatus": "completed", "AnsweredBy": "machine_start"}, "VOICEMAIL"),
        ({"CallStatus": "busy"}, "BUSY"),
        ({"CallStatus": "no-answer"}, "NO_ANSWER"),
        ({"CallStatus": "failed"}, "FAILED"),
        ({"CallStatus": "canceled"}, "CANCELLED"),
    ],
)
async def test_each_end_has_its_name_here(line: Line, told: dict[str, str], status: str) -> None:
    run_id, sid = await line.dialled()
    assert await line.tell(run_id, sid, **told) == 204
    assert (await line.office.run(run_id))["status"] == status


async def test_what_is_not_signed_changes_nothing(line: Line) -> None:
    run_id, sid = await line.dialled()
    other, _ = await line.dialled()
    of_other = signature(
        TOKEN,
        f"{PUBLIC}/telephony/twilio/{other}",
        {"CallSid": sid, "AccountSid": ACCOUNT, "CallStatus": "busy"}.items(),
    )
    for signed in ("", "no signature", of_other):
        assert await line.tell(run_id, sid, signed, CallStatus="busy") == 403
    assert (await line.office.run(run_id))["status"] == "DIALLING"
    assert await line.tell(uuid4(), sid, CallStatus="busy") == 204
    assert await line.tell(run_id, "CA-of-another", CallStatus="busy") == 204
    assert (await line.office.run(run_id))["status"] == "DIALLING"


def test_the_signature_is_the_documented_one() -> None:
    # The example of https://www.twilio.com/docs/usage/security.
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, form.items()) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("status", "again", "stands"), [(400, False, "FAILED"), (429, True, "DIALLING")]
)
async def test_what_twilio_refuses_fails_and_what_it_puts_off_waits(
    line: Line, status: int, again: bool, stands: str
) -> None:
    line.twilio.refusals.append((status, {"code": 21211, "message": "Invalid"}))
    run_id = await line.office.start()
    try:
        await place_call(line.services, run_id=run_id)
        is_again = False
    except RetryLater:
        is_again = True
    assert (is_again, (await line.office.run(run_id))["status"]) == (again, stands)


async def test_a_call_whose_answer_was_lost_is_found_and_not_made_twice(
    line: Line, owner: asyncpg.Connection
) -> None:
    run_id = await line.office.start()
    telephony = line.services.of(choose_telephony)
    line.twilio.refusals.append((500, {}))
    with pytest.raises(httpx.HTTPStatusError):
        await place_call(line.services, run_id=run_id)
    # It was placed all the same.
    sid = await telephony.place(CallRequest(run_id, "+4930000000", {}, {}))
    age = "update workflow_runs set dialled_at = dialled_at - interval '16 seconds' where id = $1"
    await owner.execute(age, run_id)
    await place_call(line.services, run_id=run_id)
    assert (await line.office.run(run_id))["provider_call_id"] == sid
    assert len(line.twilio.calls) == 1


async def test_cost_and_recording_are_fetched_when_twilio_knows_them(line: Line) -> None:
    run_id, sid = await line.dialled()
    await line.tell(run_id, sid, CallStatus="completed", CallDuration="61")
    with pytest.raises(RetryLater):
        await collect_call(line.services, run_id=run_id)
    line.twilio.end(sid, price="-0.0130")
    await collect_call(line.services, run_id=run_id)
    run = await line.office.run(run_id)
    assert (run["cost_micro_usd"], run["recording_path"] is not None) == (13_000, True)


async def test_a_silent_call_is_asked_about(line: Line) -> None:
    run_id, sid = await line.dialled()
    line.twilio.end(sid, status="completed", duration="12", answered_by="human")
    await follow_call(line.services, run_id=run_id)
    run = await line.office.run(run_id)
    assert (run["status"], run["duration_seconds"]) == ("COMPLETED", 12)
    lost, gone = await line.dialled()
    await line.office.owner.execute(
        "update workflow_runs set provider_call_id = 'CA-gone' where id = $1", lost
    )
    assert gone
    await follow_call(line.services, run_id=lost)
    assert (await line.office.run(lost))["status"] == "FAILED"


def test_prices_are_read_as_written() -> None:
    assert [micro_usd(*one) for one in (("-0.0085", "USD"), (None, "USD"), ("-1", "EUR"))] == [
        8_500, None, None,
    ]  # fmt: skip
