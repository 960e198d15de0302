"""Campaigns: contacts read row by row, calls within hours, pace and lines, and each retried as often as it may."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.campaigns.operations import CallWindow, CampaignPlan, create_campaign, move_campaign
from db.core.commands import call_as_actor
from db.core.errors import Problems
from db.embedded.database import EmbeddedDatabase
from db.files.storage import contacts_path
from db.runs.operations import begin_call
from db.runs.tables import RunStatus
from db.workflows.operations import move_workflow
from jobs.campaigns import run_campaign, sync_campaign
from jobs.core.declare import RetryLater
from jobs.runs import LONGEST_PAUSE_SECONDS
from jobs.telephony.simulator import plan_of
from settings import Settings

from .test_runs import SEED, Office, number, office

__all__ = ["office"]

RETRIED = (RunStatus.BUSY, RunStatus.NO_ANSWER, RunStatus.VOICEMAIL)
FAST: dict[str, Any] = {"calls_per_second": 100.0, "retry_delay_seconds": 0}


def plan(**changes: Any) -> CampaignPlan:
    """How a campaign calls unless a test says otherwise."""
    usual: dict[str, Any] = {
        "name": "Reminders",
        "time_zone": "UTC",
        "windows": (),
        "starts_at": None,
        "calls_per_second": 1.0,
        "concurrency": 20,
        "max_retries": 2,
        "retry_delay_seconds": 120,
        "retry_on_busy": True,
        "retry_on_no_answer": True,
        "retry_on_voicemail": True,
    }
    return CampaignPlan(**usual | changes)


class Desk:
    """Campaigns of an office."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.owner, self.database = office.owner, office.database

    async def make(self, numbers: list[str] | bytes, **changes: Any) -> UUID:
        """A campaign that calls these numbers, or reads this file."""
        data = numbers if isinstance(numbers, bytes) else csv_of(numbers)
        organization = self.office.organization
        list_id: UUID = await self.owner.fetchval(
            "insert into contact_lists (organization_id, size_bytes) values ($1, 1) returning id",
            organization,
        )
        path = contacts_path(organization, list_id)
        await self.office.services.storage.put(path, data)
        await self.owner.execute(
            "update contact_lists set status = 'READY', path = $2 where id = $1", list_id, path
        )
        command = create_campaign(
            Problems(), self.office.workflow, list_id, plan(**changes), str(uuid4())
        )
        return await call_as_actor(self.database, self.office.actor, command)

    async def move(self, campaign_id: UUID, step: Any) -> None:
        """A step of a member's."""
        await call_as_actor(self.database, self.office.actor, move_campaign(campaign_id, step))

    async def move_workflow(self, step: Any) -> None:
        """A step of a member's with the workflow."""
        command = move_workflow(self.office.workflow, step)
        await call_as_actor(self.database, self.office.actor, command)

    async def started(self, numbers: list[str] | bytes, **changes: Any) -> UUID:
        """A campaign that runs."""
        campaign_id = await self.make(numbers, **changes)
        await self.move(campaign_id, "START")
        await sync_campaign(self.office.services, campaign_id=campaign_id)
        return campaign_id

    async def tend(self, campaign_id: UUID) -> float | None:
        """One look of its own job; in how many seconds it looks again."""
        try:
            await run_campaign(self.office.services, campaign_id=campaign_id)
        except RetryLater as later:
            return later.seconds
        return None

    async def campaign(self, campaign_id: UUID) -> asyncpg.Record:
        return await self.owner.fetchrow("select * from campaigns where id = $1", campaign_id)

    async def runs(self, campaign_id: UUID) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self.owner.fetch(
            "select * from workflow_runs where campaign_id = $1 order by id", campaign_id
        )
        return found

    async def call_all(self, campaign_id: UUID) -> int:
        """Places the calls that are in line; gives how many there were."""
        waiting = [run["id"] for run in await self.runs(campaign_id) if run["status"] == "QUEUED"]
        for run_id in waiting:
            await self.office.place(run_id)
        return len(waiting)

    async def finish(self, campaign_id: UUID) -> None:
        """Calls and looks after the campaign until it has ended."""
        while await self.tend(campaign_id) is not None:
            await self.call_all(campaign_id)


@pytest.fixture
def desk(office: Office) -> Desk:
    """Campaigns of a new organization."""
    return Desk(office)


def csv_of(numbers: list[str]) -> bytes:
    """A list of contacts with a name each."""
    rows = [f"{one},Person {n}" for n, one in enumerate(numbers)]
    return "\n".join(["phone_number,first_name", *rows]).encode()


def calls_of(wanted: str, retries: int = 2) -> list[RunStatus]:
    """How the simulated calls of a number end, by the rules of retrying."""
    outcomes = []
    for earlier in range(retries + 1):
        outcomes.append(plan_of(SEED, wanted, earlier).outcome)
        if outcomes[-1] not in RETRIED:
            break
    return outcomes


async def test_each_row_is_judged_by_itself(desk: Desk) -> None:
    file = (
        "\ufeffphone_number, city\r\n+4930000001,Berlin\r\n030 123,Berlin\r\n\r\n"
        '+4930000002\r\n+4930000001,Twice\r\n+4930000003,"Köln, Süd"\r\n'
    ).encode()
    campaign_id = await desk.started(file)
    contacts = await desk.owner.fetch(
        "select row_number, phone_number, variables::text as variables from campaign_contacts"
        " where campaign_id = $1 order by row_number",
        campaign_id,
    )
    assert [tuple(one) for one in contacts] == [
        (1, "+4930000001", '{"city": "Berlin"}'),
        (5, "+4930000003", '{"city": "Köln, Süd"}'),
    ]
    refused = await desk.owner.fetch(
        "select row_number, field, message from refused_rows where campaign_id = $1"
        " order by row_number",
        campaign_id,
    )
    assert [tuple(one) for one in refused] == [
        (2, "phone_number", "A number is written in E.164, such as +4930901820."),
        (3, None, "The row has 1 values, and the header 2."),
        (4, "phone_number", "The number is on the list already."),
    ]
    campaign = await desk.campaign(campaign_id)
    assert (campaign["status"], campaign["contact_count"], campaign["refused_row_count"]) == (
        "RUNNING", 2, 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "status"),
    [
        (b"number\n+4930000001\n", "FAILED"),
        (b"\xff\xfe", "FAILED"),
        (b"phone_number,phone_number\n1,2\n", "FAILED"),
        (b"phone_number\nnobody\n", "COMPLETED"),
    ],
)
async def test_a_list_without_anybody_calls_nobody(desk: Desk, file: bytes, status: str) -> None:
    campaign = await desk.campaign(await desk.started(file))
    assert (campaign["status"], campaign["contact_count"]) == (status, 0)
    assert (campaign["error"] is not None) == (status == "FAILED")


async def test_contacts_are_called_until_reached_or_as_often_as_allowed(desk: Desk) -> None:
    numbers = [f"+4940{n:06}" for n in range(30)]
    campaign_id = await desk.started(numbers, **FAST)
    await desk.finish(campaign_id)
    runs = await desk.runs(campaign_id)
    called: dict[str, list[str]] = {one: [] for one in numbers}
    for run in runs:
        called[run["phone_number"]].append(run["status"])
    assert called == {one: list(calls_of(one)) for one in numbers}
    assert max(map(len, called.values())) == 3
    retried = [run for run in runs if run["attempt"] > 1]
    assert {run["retry_reason"] for run in retried} <= set(RETRIED)
    reached = sum(ends[-1] == "COMPLETED" for ends in called.values())
    campaign = await desk.campaign(campaign_id)
    shown = ("status", "contact_count", "call_count", "processed_count", "failed_count")
    assert tuple(campaign[name] for name in shown) == (
        "COMPLETED", 30, len(runs), reached, 30 - reached,
    )  # fmt: skip
    assert campaign["retry_count"] == len(retried)


async def test_a_retry_waits_for_its_time_and_only_what_is_wanted_is_retried(desk: Desk) -> None:
    busy, machine = number(RunStatus.BUSY), number(RunStatus.VOICEMAIL)
    campaign_id = await desk.started(
        [busy, machine], calls_per_second=100.0, retry_on_voicemail=False
    )
    await desk.tend(campaign_id)
    assert await desk.call_all(campaign_id) == 2
    assert await desk.tend(campaign_id) is not None
    assert len(await desk.runs(campaign_id)) == 2
    contacts = await desk.owner.fetch(
        "select status, next_call_at - clock_timestamp() as waits from campaign_contacts"
        " where campaign_id = $1 order by row_number",
        campaign_id,
    )
    assert [one["status"] for one in contacts] == ["QUEUED", "PROCESSED"]
    assert 100 < contacts[0]["waits"].total_seconds() <= 120


async def test_a_pause_holds_calls_that_were_not_dialled_and_a_cancel_ends_them(desk: Desk) -> None:
    numbers = [number(RunStatus.COMPLETED), number(RunStatus.FAILED)]
    campaign_id = await desk.started(numbers, **FAST)
    await desk.tend(campaign_id)
    await desk.move(campaign_id, "PAUSE")
    await desk.call_all(campaign_id)
    assert {run["status"] for run in await desk.runs(campaign_id)} == {"QUEUED"}
    assert await desk.tend(campaign_id) is None
    await desk.move(campaign_id, "RESUME")
    first, second = [run["id"] for run in await desk.runs(campaign_id)]
    await desk.office.place(first)
    await desk.move(campaign_id, "CANCEL")
    await desk.office.place(second)
    ends = {run["status"] for run in await desk.runs(campaign_id)}
    assert "CANCELLED" in ends
    assert "QUEUED" not in ends
    statuses = await desk.owner.fetch(
        "select status from campaign_contacts where campaign_id = $1", campaign_id
    )
    assert Counter(one["status"] for one in statuses)["CANCELLED"] == 1


async def test_after_a_pause_no_call_is_dialled_whose_turn_is_further_than_two_seconds(
    desk: Desk,
) -> None:
    numbers = [f"+4951{n:06}" for n in range(3)]
    campaign_id = await desk.started(numbers, calls_per_second=1.0)
    await desk.tend(campaign_id)
    first, second, third = [run["id"] for run in await desk.runs(campaign_id)]
    for run_id in (first, second):
        assert await begin_call(desk.database, run_id, "simulator") is not None
    await desk.move(campaign_id, "PAUSE")
    # A worker waits already for the turn of the second.
    turns = await desk.owner.fetch(
        "select extract(epoch from dialled_at - clock_timestamp())::float8 as seconds"
        " from workflow_runs where campaign_id = $1 and status = 'DIALLING'",
        campaign_id,
    )
    assert len(turns) == 2
    assert max(turn["seconds"] for turn in turns) <= LONGEST_PAUSE_SECONDS
    assert await begin_call(desk.database, third, "simulator") is None


async def test_a_pause_while_contacts_are_read_stays(desk: Desk) -> None:
    campaign_id = await desk.make([number(RunStatus.BUSY)])
    await desk.move(campaign_id, "START")
    await desk.move(campaign_id, "PAUSE")
    await sync_campaign(desk.office.services, campaign_id=campaign_id)
    assert (await desk.campaign(campaign_id))["status"] == "PAUSED"
    await desk.move(campaign_id, "RESUME")
    assert (await desk.campaign(campaign_id))["status"] == "SYNCING"
    await sync_campaign(desk.office.services, campaign_id=campaign_id)
    assert (await desk.campaign(campaign_id))["status"] == "RUNNING"


# The steps that a campaign may take from each state.
STEPS = {
    "CREATED": {"START", "CANCEL"},
    "SYNCING": {"PAUSE", "CANCEL"},
    "RUNNING": {"PAUSE", "CANCEL"},
    "PAUSED": {"RESUME", "CANCEL"},
    "COMPLETED": set(),
    "CANCELLED": set(),
    "FAILED": set(),
}
WAYS = {
    "CREATED": (),
    "SYNCING": ("START",),
    "RUNNING": ("START", "sync"),
    "PAUSED": ("START", "sync", "PAUSE"),
    "COMPLETED": ("START", "sync"),
    "CANCELLED": ("CANCEL",),
    "FAILED": ("START", "sync"),
}
FILES = {"COMPLETED": b"phone_number\n", "FAILED": b"none\n"}


@pytest.mark.parametrize("status", STEPS)
async def test_every_step_that_is_not_allowed_is_refused(desk: Desk, status: str) -> None:
    for step in ("START", "PAUSE", "RESUME", "CANCEL"):
        campaign_id = await desk.make(FILES.get(status, csv_of(["+4930000001"])))
        for way in WAYS[status]:
            if way == "sync":
                await sync_campaign(desk.office.services, campaign_id=campaign_id)
            else:
                await desk.move(campaign_id, way)
        assert (await desk.campaign(campaign_id))["status"] == status
        if step in STEPS[status]:
            await desk.move(campaign_id, step)
        else:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await desk.move(campaign_id, step)
            assert refused.value.hint == "INVALID_STATE"


async def test_lines_are_shared_and_pace_is_kept(desk: Desk) -> None:
    numbers = [f"+4950{n:06}" for n in range(30)]
    await desk.owner.execute("insert into call_lines values ($1, 5)", desk.office.organization)
    campaign_id = await desk.started(numbers, calls_per_second=100.0, concurrency=4)
    other = await desk.started(numbers, calls_per_second=1.0)
    await desk.tend(campaign_id)
    await desk.tend(other)
    assert len(await desk.runs(campaign_id)) == 4
    assert len(await desk.runs(other)) == 1
    # Each takes its place behind the one before, and nobody fails by waiting.
    slow = await desk.started(numbers, calls_per_second=0.4)
    await desk.owner.execute(
        "update call_lines set at_once = 100 where organization_id = $1", desk.office.organization
    )
    await desk.tend(slow)
    runs = await desk.runs(slow)
    assert len(runs) == 2
    assert [await desk.office.place(run["id"]) for run in runs] == [False, True]
    assert [run["status"] == "QUEUED" for run in await desk.runs(slow)][:2] == [False, True]


async def test_nobody_is_called_out_of_hours(desk: Desk) -> None:
    hours = (CallWindow(("MONDAY",), "00:00", "00:01"),)
    campaign_id = await desk.started([number(RunStatus.BUSY)], windows=hours)
    now = await desk.owner.fetchval("select now() at time zone 'UTC'")
    if now.isoweekday() == 1 and now.hour == 0:
        hours = (CallWindow(("TUESDAY",), "00:00", "00:01"),)
        campaign_id = await desk.started([number(RunStatus.BUSY)], windows=hours)
    assert await desk.tend(campaign_id) is not None
    assert await desk.runs(campaign_id) == []
    later = await desk.started(
        [number(RunStatus.BUSY)], starts_at=now.replace(tzinfo=None).astimezone().replace(year=2999)
    )
    assert await desk.tend(later) is not None
    assert await desk.runs(later) == []


async def test_progress_is_shown_four_times_a_second_at_most(desk: Desk) -> None:
    campaign_id = await desk.started([f"+4960{n:06}" for n in range(20)], **FAST, max_retries=0)
    began = await desk.owner.fetchval("select clock_timestamp()")
    await desk.tend(campaign_id)
    await desk.call_all(campaign_id)
    took, shown = await desk.owner.fetchrow(
        "select extract(epoch from clock_timestamp() - $2)::float8, (select count(*) from events"
        " where topic = 'campaign.updated' and entity_id = $1::text and created_at >= $2)",
        str(campaign_id), began,
    )  # fmt: skip
    assert shown <= took * 4 + 1
    await desk.finish(campaign_id)
    assert (await desk.campaign(campaign_id))["call_count"] == 20


@pytest.fixture
async def workers(
    cluster: EmbeddedDatabase, settings: Settings, clean_queue: None
) -> AsyncIterator[Any]:
    """Starts workers in processes of their own; kills those that are left."""
    running: list[asyncio.subprocess.Process] = []

    async def start() -> asyncio.subprocess.Process:
        given = {
            "TELEPHONY_SEED": SEED,
            "TELEPHONY_SECONDS": "0",
            "DATABASE_URL": cluster.owner_url,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.jobs.worker_process", cluster.owner_url, "0",
            env=os.environ | given,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


# About 14,000 calls, by one worker at a time.
TEN_THOUSAND = pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1_800)])


@pytest.mark.parametrize("contacts", [200, TEN_THOUSAND])
async def test_everybody_is_called_the_allowed_number_of_times_when_workers_die(
    desk: Desk, workers: Any, contacts: int
) -> None:
    numbers = [f"+4970{n:06}" for n in range(contacts)]
    campaign_id = await desk.make(numbers, **FAST | {"concurrency": 100})
    await desk.owner.execute("insert into call_lines values ($1, 100)", desk.office.organization)
    await desk.move(campaign_id, "START")
    for part in (1, 2):
        worker = await workers()
        await until(desk, campaign_id, lambda row, part=part: row["calls"] > contacts * part / 4)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    await workers()
    await until(desk, campaign_id, lambda row: row["status"] == "COMPLETED")
    runs = await desk.owner.fetch(
        "select r.phone_number, r.status, coalesce(s.dials, 0) as dials from workflow_runs r"
        " left join simulated_calls s on s.run_id = r.id where r.campaign_id = $1 order by r.id",
        campaign_id,
    )
    called: dict[str, list[str]] = {one: [] for one in numbers}
    for run in runs:
        called[run["phone_number"]].append(run["status"])
    assert called == {one: list(calls_of(one)) for one in numbers}
    assert {run["dials"] for run in runs} == {1}


async def until(desk: Desk, campaign_id: UUID, holds: Any) -> None:
    """Waits until something holds of a campaign's state and the calls that were dialled."""
    async with asyncio.timeout(900):
        while True:
            row = await desk.owner.fetchrow(
                "select c.status, (select count(*) from workflow_runs r where r.campaign_id = c.id"
                " and r.status <> 'QUEUED') as calls from campaigns c where c.id = $1",
                campaign_id,
            )
            if holds(row):
                return
            await asyncio.sleep(0.05)
