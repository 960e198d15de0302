"""Every state of a call with all that can be told of it, and of a workflow with all that may begin."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.campaigns.operations import CampaignPlan, create_campaign
from db.core.commands import call_as_actor
from db.core.errors import Problems
from db.core.pool import Database
from db.runs.operations import start_run
from db.runs.tables import ENDS, RunStatus

from ..conftest import MakeUser
from ..workflows import active_workflow, found_organization

S = RunStatus
TOLD = (S.RINGING, S.IN_PROGRESS, *ENDS)
# What is news of a call in each state. The rest is late, and changes nothing.
NEWS: dict[RunStatus, set[RunStatus]] = {
    # Nobody was asked to call yet: nobody's word of a call is this one's.
    S.QUEUED: set(),
    S.DIALLING: set(TOLD),
    S.RINGING: {S.IN_PROGRESS, *ENDS},
    # Who was answered is not busy, nor away.
    S.IN_PROGRESS: set(ENDS) - {S.BUSY, S.NO_ANSWER},
    **{end: set() for end in ENDS},
}
# How a call gets into each state.
WAYS: dict[RunStatus, tuple[RunStatus, ...]] = {
    S.QUEUED: (),
    S.DIALLING: (S.DIALLING,),
    S.RINGING: (S.DIALLING, S.RINGING),
    S.IN_PROGRESS: (S.DIALLING, S.RINGING, S.IN_PROGRESS),
    **{end: (S.DIALLING, end) for end in ENDS},
}
ADD = """
insert into workflow_runs (organization_id, workflow_id, version_id, phone_number)
select $1, v.workflow_id, v.id, '+4930901820' from workflow_versions v where v.workflow_id = $2 returning id
"""
MOVE = "update workflow_runs set status = $2, ended_at = case when $3 then now() end where id = $1"


async def test_a_call_only_goes_on_and_ends_once(
    owner: asyncpg.Connection, database: Database, make_user: MakeUser
) -> None:
    organization = await found_organization(owner, await make_user())
    workflow = await active_workflow(owner, organization)
    for status, news in product(RunStatus, TOLD):
        run = await owner.fetchval(ADD, organization, workflow)
        for step in WAYS[status]:
            await owner.execute(MOVE, run, step, step in ENDS)
        was_news = await owner.fetchval(
            "select app.report_call($1, $2, $3, 7)", run, f"call-{run}", news
        )
        row = await owner.fetchrow("select * from workflow_runs where id = $1", run)
        expected = news in NEWS[status]
        assert was_news == expected, (status, news)
        assert row["status"] == (news if expected else status), (status, news)
        if expected:
            assert (row["ended_at"] is not None) == (news in ENDS)
            assert row["duration_seconds"] == (7 if news in ENDS else 0)
            again = "select app.report_call($1, $2, $3, 9)"
            assert not await owner.fetchval(again, run, f"call-{run}", news), "told twice"
            assert not await owner.fetchval(again, run, "another call", S.COMPLETED), "not its call"


PLAN = CampaignPlan(
    name="Reminders",
    time_zone="UTC",
    windows=(),
    starts_at=None,
    calls_per_second=1.0,
    concurrency=1,
    max_retries=0,
    retry_delay_seconds=0,
    retry_on_busy=True,
    retry_on_no_answer=True,
    retry_on_voicemail=True,
)


@pytest.mark.parametrize("status", ["DRAFT", "ACTIVE", "ARCHIVED"])
async def test_only_a_published_workflow_begins_anything(
    owner: asyncpg.Connection, database: Database, make_user: MakeUser, status: str
) -> None:
    actor = await make_user()
    organization = await found_organization(owner, actor)
    workflow = await active_workflow(owner, organization, status)
    if status == "ARCHIVED":
        await owner.execute("update workflows set status = 'ARCHIVED' where id = $1", workflow)
    contacts = await owner.fetchval(
        "insert into contact_lists (organization_id, size_bytes, status, path)"
        " values ($1, 1, 'AWAITING', null) returning id",
        organization,
    )
    await owner.execute(
        "update contact_lists set status = 'READY', path = 'x' where id = $1", contacts
    )
    commands: list[Any] = [
        start_run(Problems(), workflow, to="+4930901820", idempotency_key=str(uuid4())),
        create_campaign(Problems(), workflow, contacts, PLAN, str(uuid4())),
    ]
    for command in commands:
        if status == "ACTIVE":
            assert await call_as_actor(database, actor, command)
            continue
        with pytest.raises(asyncpg.PostgresError) as refused:
            await call_as_actor(database, actor, command)
        assert refused.value.hint == "INVALID_STATE"


async def test_a_campaign_that_is_over_gives_its_place_back(
    owner: asyncpg.Connection, database: Database, make_user: MakeUser
) -> None:
    actor = await make_user()
    organization = await found_organization(owner, actor, plan="starter")
    workflow = await active_workflow(owner, organization)
    contacts = await owner.fetchval(
        "insert into contact_lists (organization_id, size_bytes) values ($1, 1) returning id",
        organization,
    )
    await owner.execute(
        "update contact_lists set status = 'READY', path = 'x' where id = $1", contacts
    )

    async def make() -> Any:
        command = create_campaign(Problems(), workflow, contacts, PLAN, str(uuid4()))
        return await call_as_actor(database, actor, command)

    made = [await make() for _ in range(3)]
    with pytest.raises(asyncpg.PostgresError) as refused:
        await make()
    assert refused.value.hint == "PLAN_LIMIT_REACHED"
    for campaign in made[:2]:
        await owner.execute(
            "update campaigns set status = 'CANCELLED', ended_at = now() where id = $1", campaign
        )
    used = "select app.plan_usage($1, 'CAMPAIGNS', 1)"
    assert await owner.fetchval(used, organization) == 1
    # Once: what is written of it later gives nothing back.
    await owner.execute("update campaigns set name = 'Over' where id = $1", made[0])
    assert await owner.fetchval(used, organization) == 1
    assert [bool(await make()) for _ in range(2)] == [True, True]
