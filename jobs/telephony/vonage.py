"""Calls through Vonage: https://developer.vonage.com/en/api/voice."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import jwt

from db.runs.reports import CallReport
from db.runs.vonage import event_url, report_of
from jobs.telephony.base import CallNotPlaced, CallRecord, CallRefused, CallRequest

if TYPE_CHECKING:
    from settings import Settings

TIMEOUT_SECONDS = 10.0
BUSY_RETRY_SECONDS = 2.0
RINGS_SECONDS = 30
TOKEN_SECONDS = 300
# Clocks of two machines may differ by so much.
CLOCK_SKEW = timedelta(seconds=5)
_REFUSED = "The provider refuses to call this number."


class VonageTelephony:
    """One application of Vonage's, with one number to call from."""

    name = "vonage"
    tells = True
    # A request that was cut off has been taken by now, or never will be.
    settles_seconds = TIMEOUT_SECONDS + 5.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # As variables hold it, with its line ends written out.
        self._key = settings.vonage_private_key.get_secret_value().replace("\\n", "\n")
        self._client = httpx.AsyncClient(base_url=settings.vonage_api_url, timeout=TIMEOUT_SECONDS)

    async def place(self, request: CallRequest) -> str:
        """Dials; Vonage fetches from `VONAGE_ANSWER_URL` what to do when somebody answers."""
        wanted = {
            "to": [{"type": "phone", "number": request.to.removeprefix("+")}],
            "from": {"type": "phone", "number": self._from},
            "answer_url": [f"{self._settings.vonage_answer_url}?run={request.run_id}"],
            "event_url": [event_url(self._settings, request.run_id)],
            "event_method": "POST",
            "machine_detection": "hangup",
            "ringing_timer": RINGS_SECONDS,
        }
        try:
            answer = await self._client.post("/v1/calls", json=wanted, headers=self._headers())
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise CallNotPlaced(f"Vonage was not reached: {type(error).__name__}") from error
        if answer.status_code == 429:
            raise CallNotPlaced("Vonage takes no more calls now", BUSY_RETRY_SECONDS)
        # Wrong credentials are the deployment's fault, and may be mended.
        if 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 408):
            raise CallRefused(_REFUSED)
        return str(answer.raise_for_status().json()["uuid"])

    async def find(self, request: CallRequest, since: datetime) -> list[str]:
        """Calls to the number that began since, the oldest first."""
        asked = {
            "date_start": f"{since - CLOCK_SKEW:%Y-%m-%dT%H:%M:%SZ}",
            "page_size": "100",
            "order": "asc",
        }
        found = await self._get("/v1/calls", asked)
        number = request.to.removeprefix("+")
        return [
            str(one["uuid"])
            for one in found["_embedded"]["calls"]
            if one["to"]["number"] == number and one["from"]["number"] == self._from
        ]

    async def look(self, call_id: str) -> CallReport | None:
        """How far a call has come."""
        path = f"/v1/calls/{quote(call_id, safe='')}"
        answer = await self._client.get(path, headers=self._headers())
        if answer.status_code == 404:
            return None
        return report_of(answer.raise_for_status().json())

    async def record(self, call_id: str, report_seconds: int) -> CallRecord:
        """The price; what was said and recorded is with the voice agent."""
        call = await self._get(f"/v1/calls/{quote(call_id, safe='')}", {})
        usage = {"call_duration_seconds": report_seconds, "price_eur": call.get("price")}
        cost = micro_usd(call.get("price"), self._settings.vonage_usd_per_eur)
        return CallRecord(cost, usage)

    @property
    def _from(self) -> str:
        return self._settings.vonage_from_number.removeprefix("+")

    def _headers(self) -> dict[str, str]:
        now = int(time.time())
        claims = {
            "application_id": self._settings.vonage_application_id,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": str(uuid4()),
        }
        return {"authorization": f"Bearer {jwt.encode(claims, self._key, algorithm='RS256')}"}

    async def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        answer = await self._client.get(path, params=parameters, headers=self._headers())
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


def micro_usd(price: object, usd_per_eur: float) -> int | None:
    """A price in euros, as Vonage writes it, in millionths of a US dollar."""
    if price is None:
        return None
    try:
        return int(Decimal(str(price)) * Decimal(str(usd_per_eur)) * 1_000_000)
    except InvalidOperation:
        return None
