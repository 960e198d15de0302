"""Calls through Twilio: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from db.runs.reports import CallReport
from db.runs.twilio import callback_url, report_of
from jobs.telephony.base import CallNotPlaced, CallRecord, CallRefused, CallRequest

if TYPE_CHECKING:
    from settings import Settings

TIMEOUT_SECONDS = 10.0
# Twilio's own answer to a call it will not take now says no time.
BUSY_RETRY_SECONDS = 2.0
RINGS_SECONDS = 30
# Clocks of two machines may differ by so much.
CLOCK_SKEW = timedelta(seconds=5)
RECORDING_LIMIT_BYTES = 100_000_000
_EVENTS = ("initiated", "ringing", "answered", "completed")
_REFUSED = "The provider refuses to call this number."


class TwilioTelephony:
    """One account of Twilio's, with one number to call from."""

    name = "twilio"
    tells = True
    # A request that was cut off has been taken by now, or never will be.
    settles_seconds = TIMEOUT_SECONDS + 5.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        account = settings.twilio_account_sid
        self._path = f"/2010-04-01/Accounts/{quote(account, safe='')}"
        self._client = httpx.AsyncClient(
            base_url=settings.twilio_api_url,
            auth=(account, settings.twilio_auth_token.get_secret_value()),
            timeout=TIMEOUT_SECONDS,
        )

    async def place(self, request: CallRequest) -> str:
        """Dials; Twilio fetches from `TWILIO_VOICE_URL` what to do when somebody answers."""
        form: dict[str, Any] = {
            "To": request.to,
            "From": self._settings.twilio_from_number,
            "Url": f"{self._settings.twilio_voice_url}?run={request.run_id}",
            "StatusCallback": callback_url(self._settings, request.run_id),
            "StatusCallbackEvent": list(_EVENTS),
            "MachineDetection": "Enable",
            "Record": "true",
            "Timeout": str(RINGS_SECONDS),
        }
        try:
            answer = await self._client.post(f"{self._path}/Calls.json", data=form)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise CallNotPlaced(f"Twilio was not reached: {type(error).__name__}") from error
        if answer.status_code == 429:
            raise CallNotPlaced("Twilio takes no more calls now", BUSY_RETRY_SECONDS)
        # Wrong credentials are the deployment's fault, and may be mended.
        if 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 408):
            raise CallRefused(_REFUSED)
        return str(answer.raise_for_status().json()["sid"])

    async def find(self, request: CallRequest, since: datetime) -> list[str]:
        """Calls to the number that began since, the oldest first."""
        asked = {
            "To": request.to,
            "From": self._settings.twilio_from_number,
            "StartTime>": f"{since - timedelta(days=1):%Y-%m-%d}",
            "PageSize": "100",
        }
        found = await self._get(f"{self._path}/Calls.json", asked)
        began = sorted(
            (parsedate_to_datetime(one["date_created"]), str(one["sid"])) for one in found["calls"]
        )
        return [sid for at, sid in began if at >= since - CLOCK_SKEW]

    async def look(self, call_id: str) -> CallReport | None:
        """How far a call has come."""
        answer = await self._client.get(f"{self._path}/Calls/{quote(call_id, safe='')}.json")
        if answer.status_code == 404:
            return None
        return report_of(answer.raise_for_status().json())

    async def record(self, call_id: str, report_seconds: int) -> CallRecord:
        """The price, which Twilio knows some time after the call, and the recording."""
        named = quote(call_id, safe="")
        call = await self._get(f"{self._path}/Calls/{named}.json", {})
        cost = micro_usd(call.get("price"), call.get("price_unit"))
        listed = await self._get(f"{self._path}/Calls/{named}/Recordings.json", {})
        recording = None
        if listed["recordings"]:
            sid = quote(str(listed["recordings"][0]["sid"]), safe="")
            recording = await self._wav(f"{self._path}/Recordings/{sid}.wav")
        return CallRecord(cost, {"call_duration_seconds": report_seconds}, None, recording)

    async def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        answer = await self._client.get(path, params=parameters)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def _wav(self, path: str) -> bytes:
        received = bytearray()
        async with self._client.stream("GET", path, follow_redirects=True) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                received += chunk
                if len(received) > RECORDING_LIMIT_BYTES:
                    raise ValueError("a recording is larger than any call makes one")
        return bytes(received)


def micro_usd(price: object, unit: object) -> int | None:
    """A price as Twilio writes it, a negative number, in millionths of a US dollar."""
    if price is None or str(unit or "USD").upper() != "USD":
        return None
    try:
        return int(abs(Decimal(str(price))) * 1_000_000)
    except InvalidOperation:
        return None
