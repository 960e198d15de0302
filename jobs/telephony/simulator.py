"""A telephone network on this machine: what happens on a call follows from seed, number and try.

Its calls are kept in the database, since a network does not forget a call when a worker dies.
"""

from __future__ import annotations

import hashlib
import io
import random
import wave
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.core.pool import Database
from db.runs.operations import earlier_calls, simulate_call, simulated_call
from db.runs.reports import CallReport
from db.runs.tables import RunStatus
from jobs.telephony.base import CallRecord, CallRequest

PREFIX = "simulated-"
# What becomes of how many calls in a hundred.
OUTCOMES = (
    (RunStatus.COMPLETED, 60),
    (RunStatus.NO_ANSWER, 15),
    (RunStatus.BUSY, 10),
    (RunStatus.VOICEMAIL, 12),
    (RunStatus.FAILED, 3),
)
RINGS_SECONDS = (2, 20)
TALK_SECONDS = (10, 240)
MICRO_USD_PER_SECOND = 230
SAMPLES_PER_SECOND = 8_000


@dataclass(frozen=True, slots=True)
class SimulatedPlan:
    """What will happen on a call: it rings for so long, then it is talked for so long."""

    outcome: RunStatus
    rings_seconds: int
    talk_seconds: int


def plan_of(seed: str, number: str, earlier_calls: int) -> SimulatedPlan:
    """What happens when a number is called once more; the same whenever it is asked."""
    digest = hashlib.sha256(f"{seed} {number} {earlier_calls}".encode()).digest()
    dice = random.Random(digest)  # noqa: S311 - nothing here is a secret
    outcome = dice.choices([one for one, _ in OUTCOMES], [weight for _, weight in OUTCOMES])[0]
    rings, talk = dice.randint(*RINGS_SECONDS), dice.randint(*TALK_SECONDS)
    if outcome is RunStatus.BUSY or outcome is RunStatus.FAILED:
        rings = 0
    if outcome is RunStatus.VOICEMAIL:
        talk = min(talk, 30)
    answered = outcome in (RunStatus.COMPLETED, RunStatus.VOICEMAIL)
    return SimulatedPlan(outcome, rings, talk if answered else 0)


class Simulator:
    """Calls nobody. A second of a call passes `speed` times as fast; 0 ends calls at once."""

    name = "simulator"
    tells = False
    settles_seconds = 1.0

    def __init__(self, database: Database, seed: str, longest_seconds: float) -> None:
        self._database = database
        self._seed = seed
        self._pace = longest_seconds / (RINGS_SECONDS[1] + TALK_SECONDS[1])

    async def place(self, request: CallRequest) -> str:
        """Notes that the number was dialled, and what will happen."""
        earlier = await earlier_calls(self._database, request.run_id)
        plan = plan_of(self._seed, request.to, earlier)
        planned = {
            "outcome": plan.outcome,
            "rings_seconds": plan.rings_seconds,
            "talk_seconds": plan.talk_seconds,
        }
        await simulate_call(self._database, request.run_id, planned)
        return f"{PREFIX}{request.run_id}"

    async def find(self, request: CallRequest, since: datetime) -> list[str]:  # noqa: ARG002
        """The run's call, if it was dialled."""
        found = await simulated_call(self._database, request.run_id)
        return [] if found is None else [f"{PREFIX}{request.run_id}"]

    async def look(self, call_id: str) -> CallReport | None:
        """What the plan says of this moment."""
        planned = await self._planned(call_id)
        if planned is None:
            return None
        plan, passed = planned
        rings, talks = plan.rings_seconds * self._pace, plan.talk_seconds * self._pace
        if passed < rings:
            return CallReport(RunStatus.RINGING, next_seconds=rings - passed)
        if passed < rings + talks:
            return CallReport(RunStatus.IN_PROGRESS, next_seconds=rings + talks - passed)
        reason = "The number is not in service." if plan.outcome is RunStatus.FAILED else None
        return CallReport(plan.outcome, plan.talk_seconds, reason)

    async def record(self, call_id: str, report_seconds: int) -> CallRecord:
        """A price by the second, a few words, and a tone."""
        planned = await self._planned(call_id)
        if planned is None or not planned[0].talk_seconds:
            return CallRecord(0)
        usage: dict[str, Any] = {
            "tts_characters": report_seconds * 12,
            "stt_seconds": report_seconds,
            "call_duration_seconds": report_seconds,
        }
        is_machine = planned[0].outcome is RunStatus.VOICEMAIL
        answer = "Please leave a message after the tone." if is_machine else "Yes, that is fine."
        return CallRecord(
            report_seconds * MICRO_USD_PER_SECOND,
            usage,
            f"Agent: Hello, this is a simulated call.\nOther: {answer}\n",
            tone(),
        )

    async def _planned(self, call_id: str) -> tuple[SimulatedPlan, float] | None:
        found = await simulated_call(self._database, UUID(call_id.removeprefix(PREFIX)))
        if found is None:
            return None
        plan, passed_seconds = found
        known = SimulatedPlan(
            RunStatus[plan["outcome"]], plan["rings_seconds"], plan["talk_seconds"]
        )
        return known, passed_seconds


def tone() -> bytes:
    """A tenth of a second of nothing, as a WAV file (8 bits, 8 kHz, one channel)."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(SAMPLES_PER_SECOND)
        file.writeframes(b"\x80" * (SAMPLES_PER_SECOND // 10))
    return written.getvalue()
