"""What is put away or to be deleted calls nobody else: archived workflows, and organizations that go."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db.core.commands import call_as_actor
from db.embedded.database import EmbeddedDatabase
from db.organizations import operations as organizations
from db.runs.tables import RunStatus
from jobs.campaigns import sync_campaign

from .test_campaigns import FAST, Desk, desk
from .test_runs import number, office

__all__ = ["desk", "office"]


async def test_a_workflow_that_is_put_away_calls_nobody_else(desk: Desk) -> None:
    running = await desk.started([number(RunStatus.COMPLETED)], **FAST)
    reading = await desk.make([number(RunStatus.COMPLETED)])
    await desk.move(reading, "START")
    await desk.tend(running)
    await desk.move_workflow("ARCHIVE")
    await sync_campaign(desk.office.services, campaign_id=reading)
    for campaign_id in (running, reading):
        await desk.call_all(campaign_id)
        assert await desk.tend(campaign_id) is None
        campaign = await desk.campaign(campaign_id)
        assert campaign["status"] == "PAUSED"
        assert campaign["pause_reason"].startswith("Its workflow is archived.")
        assert {run["status"] for run in await desk.runs(campaign_id)} <= {"QUEUED"}
        with pytest.raises(asyncpg.PostgresError, match="archived"):
            await desk.move(campaign_id, "RESUME")
    await desk.move_workflow("RESTORE")
    await desk.move(running, "RESUME")
    await desk.finish(running)
    assert (await desk.campaign(running))["status"] == "COMPLETED"


async def test_a_call_is_made_while_its_workflow_is_changed(
    desk: Desk, cluster: EmbeddedDatabase
) -> None:
    campaign_id = await desk.started([number(RunStatus.COMPLETED)], **FAST)
    editing = await asyncpg.connect(cluster.owner_url)
    try:
        async with editing.transaction():
            await editing.execute(
                "select set_config('app.user_id', $1, true)", str(desk.office.actor.user_id)
            )
            await editing.execute("select app.enter_workflow($1, 'id')", desk.office.workflow)
            await asyncio.wait_for(desk.tend(campaign_id), 5)
    finally:
        await editing.close()
    assert len(await desk.runs(campaign_id)) == 1


async def test_nothing_begins_in_an_organization_that_is_to_be_deleted(desk: Desk) -> None:
    new, paused, reading = [await desk.make([number(RunStatus.COMPLETED)]) for _ in range(3)]
    await desk.move(paused, "START")
    await desk.move(paused, "PAUSE")
    await desk.move(reading, "START")
    await call_as_actor(
        desk.database, desk.office.actor, organizations.delete(desk.office.organization)
    )
    assert (await desk.campaign(reading))["status"] == "PAUSED"
    for campaign_id, step in ((new, "START"), (paused, "RESUME"), (reading, "RESUME")):
        with pytest.raises(asyncpg.PostgresError, match="to be deleted"):
            await desk.move(campaign_id, step)
    await desk.move(new, "CANCEL")
    assert (await desk.campaign(new))["status"] == "CANCELLED"
