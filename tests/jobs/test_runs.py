"""Calls of runs: dialled once whatever happens to workers, in the order of free lines, and what they leave."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.commands import call_as_actor
from db.core.errors import Problems
from db.core.pool import Database
from db.files.storage import Storage
from db.runs.operations import note_collected, report_call, start_run
from db.runs.tables import RunStatus
from jobs.core.declare import RetryLater, WorkerServices
from jobs.providers import choose_providers
from jobs.runs import collect_call, follow_call, give_up_call, place_call
from jobs.telephony import CallNotPlaced, CallRefused, CallRequest, choose_telephony
from jobs.telephony.simulator import OUTCOMES, plan_of
from settings import Settings

from ..conftest import MakeUser
from ..workflows import active_workflow, found_organization

SEED = "of these tests"
FAR = 3_600.0


def number(outcome: RunStatus, earlier: int = 0) -> str:
    """A number on which the simulator has something happen."""
    for n in range(1_000):
        wanted = f"+4930{n:06}"
        if plan_of(SEED, wanted, earlier).outcome is outcome:
            return wanted
    raise AssertionError(outcome)


@dataclass
class Office:
    """A workflow, and what workers call with."""

    owner: asyncpg.Connection
    database: Database
    services: WorkerServices
    actor: Actor
    organization: UUID
    workflow: UUID

    async def start(self, to: str = "+4930000000") -> UUID:
        """Asks for a call."""
        command = start_run(Problems(), self.workflow, to=to, idempotency_key=str(uuid4()))
        return await call_as_actor(self.database, self.actor, command)

    async def place(self, run_id: UUID) -> bool:
        """One try of the job; whether it is to be tried again."""
        try:
            await place_call(self.services, run_id=run_id)
        except RetryLater:
            return True
        return False

    async def run(self, run_id: UUID) -> asyncpg.Record:
        return await self.owner.fetchrow("select * from workflow_runs where id = $1", run_id)

    async def dials(self, run_id: UUID) -> int | None:
        found: int | None = await self.owner.fetchval(
            "select dials from simulated_calls where run_id = $1", run_id
        )
        return found

    async def queued(self, entrypoint: str) -> set[UUID]:
        """The runs of the organization that have a job."""
        rows = await self.owner.fetch(
            "select r.id from workflow_runs r join queue.pgqueuer q on q.entrypoint = $1"
            " and convert_from(q.payload, 'UTF8')::jsonb ->> 'run_id' = r.id::text"
            " where r.organization_id = $2",
            entrypoint, self.organization,
        )  # fmt: skip
        return {row["id"] for row in rows}


@pytest.fixture
async def office(
    owner: asyncpg.Connection,
    database: Database,
    storage: Storage,
    settings: Settings,
    make_user: MakeUser,
) -> AsyncIterator[Office]:
    """A published workflow of a new organization; simulated calls end at once."""
    mine = settings.model_copy(update={"telephony_seed": SEED, "telephony_seconds": 0.0})
    services = WorkerServices(database, storage, choose_providers(mine), lambda: None, mine)
    actor = await make_user()
    organization = await found_organization(owner, actor)
    workflow = await active_workflow(owner, organization)
    yield Office(owner, database, services, actor, organization, workflow)
    await owner.execute("delete from organizations where id = $1", organization)


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in OUTCOMES])
async def test_a_call_ends_and_what_it_left_is_kept_once(
    office: Office, storage: Storage, outcome: RunStatus
) -> None:
    run_id = await office.start(number(outcome))
    assert await office.queued("place_call") == {run_id}
    assert not await office.place(run_id)
    assert await office.queued("collect_call") == {run_id}
    await collect_call(office.services, run_id=run_id)
    run = await office.run(run_id)
    plan = plan_of(SEED, run["phone_number"], 0)
    answered = outcome in (RunStatus.COMPLETED, RunStatus.VOICEMAIL)
    assert (run["status"], run["duration_seconds"]) == (outcome, plan.talk_seconds)
    assert (run["cost_micro_usd"], run["error"] is None) == (
        plan.talk_seconds * 230, outcome is not RunStatus.FAILED,
    )  # fmt: skip
    if answered:
        assert run["dialled_at"] <= run["answered_at"] <= run["ended_at"]
    else:
        assert run["answered_at"] is None
    assert (run["transcript"] is not None) == answered == (run["usage"] != "{}")
    if answered:
        with wave.open(io.BytesIO(await storage.get(run["recording_path"]))) as recording:
            assert recording.getnframes() > 0
    assert not await note_collected(
        office.database, run_id, cost_micro_usd=1, usage={}, transcript=None, recording_path=None
    )
    await collect_call(office.services, run_id=run_id)
    assert (await office.run(run_id))["cost_micro_usd"] == run["cost_micro_usd"]


async def test_a_call_is_followed_while_it_lasts(office: Office) -> None:
    mine = office.services.settings.model_copy(update={"telephony_seconds": FAR})
    slow = WorkerServices(
        office.database, office.services.storage, office.services.providers, lambda: None, mine
    )
    run_id = await office.start(number(RunStatus.COMPLETED))
    with pytest.raises(RetryLater):
        await place_call(slow, run_id=run_id)
    assert (await office.run(run_id))["status"] == "RINGING"
    plan = plan_of(SEED, number(RunStatus.COMPLETED), 0)
    rings = plan.rings_seconds * FAR / 260 + 1
    await office.owner.execute(
        "update simulated_calls set placed_at = placed_at - make_interval(secs => $2)"
        " where run_id = $1",
        run_id, rings,
    )  # fmt: skip
    with pytest.raises(RetryLater) as later:
        await follow_call(slow, run_id=run_id)
    assert (await office.run(run_id))["status"] == "IN_PROGRESS"
    assert later.value.seconds == pytest.approx(plan.talk_seconds * FAR / 260, rel=0.2)


DIED = RuntimeError("the process is gone")


@pytest.mark.parametrize("dialled_before_it_died", [True, False])
async def test_a_worker_that_dies_leaves_one_call(
    office: Office, monkeypatch: pytest.MonkeyPatch, dialled_before_it_died: bool
) -> None:
    telephony = office.services.of(choose_telephony)
    place = telephony.place

    async def die(request: CallRequest) -> str:
        if dialled_before_it_died:
            await place(request)
        raise DIED

    run_id = await office.start(number(RunStatus.COMPLETED))
    with monkeypatch.context() as patched:
        patched.setattr(telephony, "place", die)
        with pytest.raises(RuntimeError):
            await office.place(run_id)
    # Whoever takes the job over waits until the call would be there, then looks.
    assert await office.place(run_id)
    await office.owner.execute(
        "update workflow_runs set dialled_at = dialled_at - interval '5 seconds' where id = $1",
        run_id,
    )
    assert not await office.place(run_id)
    assert not await office.place(run_id)
    assert await office.dials(run_id) == 1
    assert (await office.run(run_id))["status"] == "COMPLETED"


async def test_what_is_refused_fails_and_what_is_not_placed_is_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    telephony = office.services.of(choose_telephony)
    raised: list[Exception] = [CallNotPlaced("too many calls"), CallRefused("No such number.")]

    async def refuse(_: CallRequest) -> str:
        raise raised.pop(0)

    monkeypatch.setattr(telephony, "place", refuse)
    monkeypatch.setattr(telephony, "settles_seconds", 0.0)
    run_id = await office.start()
    assert await office.place(run_id)
    assert (await office.run(run_id))["status"] == "DIALLING"
    assert not await office.place(run_id)
    run = await office.run(run_id)
    assert (run["status"], run["error"]) == ("FAILED", "No such number.")


async def test_a_call_that_is_never_placed_fails_and_frees_its_line(office: Office) -> None:
    await office.owner.execute("insert into call_lines values ($1, 1)", office.organization)
    first, second = [await office.start() for _ in range(2)]
    assert await office.queued("place_call") == {first}
    await give_up_call(office.services, run_id=first, error=DIED)
    assert (await office.run(first))["status"] == "FAILED"
    assert await office.queued("place_call") == {first, second}


async def test_no_more_calls_are_made_at_once_than_there_are_lines(office: Office) -> None:
    await office.owner.execute("insert into call_lines values ($1, 2)", office.organization)
    runs = [await office.start(number(RunStatus.BUSY)) for _ in range(4)]
    given = await office.queued("place_call")
    assert given == set(runs[:2])
    assert not await office.place(runs[0])
    assert await office.queued("place_call") == set(runs[:3])


# What a provider tells in which order, and where the call stands then.
TOLD: list[tuple[str, list[str]]] = [
    ("RINGING", ["RINGING", "RINGING"]),
    ("IN_PROGRESS", ["IN_PROGRESS", "RINGING"]),
    ("COMPLETED", ["RINGING", "IN_PROGRESS", "COMPLETED", "COMPLETED"]),
    ("COMPLETED", ["COMPLETED", "RINGING", "IN_PROGRESS", "BUSY", "FAILED"]),
    ("BUSY", ["BUSY", "BUSY", "COMPLETED"]),
    ("IN_PROGRESS", ["IN_PROGRESS", "NO_ANSWER"]),
    ("VOICEMAIL", ["IN_PROGRESS", "VOICEMAIL", "COMPLETED"]),
]


@pytest.mark.parametrize(("status", "told"), TOLD)
async def test_what_is_late_or_told_twice_changes_nothing(
    office: Office, status: str, told: list[str]
) -> None:
    run_id = await office.start()
    await office.owner.execute(
        "update workflow_runs set status = 'DIALLING', dialled_at = now() where id = $1", run_id
    )
    news = [await report_call(office.database, run_id, "call", RunStatus[one], 7) for one in told]
    run = await office.run(run_id)
    assert (run["status"], news[0]) == (status, True)
    assert run["duration_seconds"] == (7 if run["ended_at"] else 0)
    assert not await report_call(office.database, run_id, "another", RunStatus.COMPLETED, 9)


async def test_only_a_published_workflow_calls_and_members_alone_ask(
    office: Office, make_user: MakeUser
) -> None:
    await office.owner.execute(
        "update workflows set status = 'ARCHIVED' where id = $1", office.workflow
    )
    codes: list[Any] = []
    for actor in (office.actor, await make_user()):
        office.actor = actor
        with pytest.raises(asyncpg.PostgresError) as refused:
            await office.start()
        codes.append(refused.value.hint)
    assert codes == ["INVALID_STATE", "NOT_FOUND"]
