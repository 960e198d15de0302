"""What provokes each error of runs and campaigns, for the tests of all errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ..workflows import active_workflow, found_organization
from . import organization_errors

NOBODY = UUID(int=1)


def call(workflow: object, to: str = "+4930901820") -> str:
    """The input of a call."""
    return f'{{workflowId: "workflow_{workflow}", to: "{to}", idempotencyKey: "r"}}'


async def workflow(stage: Any, status: str = "ACTIVE", plan: str = "enterprise") -> UUID:
    """A workflow of the user's organization."""
    organization = await found_organization(stage.owner, stage.actor, plan)
    return await active_workflow(stage.owner, organization, status)


async def draft_called(stage: Any) -> str:
    """A call with a workflow that nobody published."""
    return call(await workflow(stage, "DRAFT"))


async def called_twice(stage: Any) -> str:
    """The key of a call to somebody else."""
    wanted = await workflow(stage)
    assert await stage.codes("startRun", call(wanted)) == []
    return call(wanted, "+4930901821")


async def many_wait(stage: Any) -> str:
    """A call when as many wait as may."""
    wanted = await workflow(stage)
    await stage.owner.execute(
        "insert into workflow_runs (organization_id, workflow_id, version_id, phone_number)"
        " select v.organization_id, v.workflow_id, v.id, '+4930901820'"
        " from workflow_versions v, generate_series(1, 1000) where v.workflow_id = $1",
        wanted,
    )
    return call(wanted)


async def called_beyond_the_plan(stage: Any) -> str:
    """One more call than the free plan allows in a month."""
    wanted = await workflow(stage, plan="free")
    await stage.owner.execute(
        "select app.enforce_plan_limit(organization_id, 'CALLS', 50) from workflows where id = $1",
        wanted,
    )
    return call(wanted)


async def contact_list(stage: Any, wanted: UUID, *, is_ready: bool = True) -> UUID:
    """A list of contacts of the workflow's organization."""
    made: UUID = await stage.owner.fetchval(
        "insert into contact_lists (organization_id, size_bytes)"
        " select organization_id, 1 from workflows where id = $1 returning id",
        wanted,
    )
    if is_ready:
        await stage.owner.execute(
            "update contact_lists set status = 'READY', path = id::text where id = $1", made
        )
    return made


def new(wanted: object, contacts: object, name: str = "Reminders") -> str:
    """The input of a new campaign."""
    return (
        f'{{workflowId: "workflow_{wanted}", contactListId: "contactList_{contacts}",'
        f' name: "{name}", idempotencyKey: "c"}}'
    )


async def campaign_input(stage: Any) -> dict[str, Any]:
    """The same as variables, of what there is."""
    wanted = await workflow(stage)
    return {
        "workflowId": f"workflow_{wanted}",
        "contactListId": f"contactList_{await contact_list(stage, wanted)}",
        "name": "Reminders",
        "idempotencyKey": "c",
    }


async def list_missing(stage: Any) -> str:
    """A list that was not sent."""
    wanted = await workflow(stage)
    return new(wanted, await contact_list(stage, wanted, is_ready=False))


async def draft_campaign(stage: Any) -> str:
    """A campaign of a workflow that nobody published."""
    wanted = await workflow(stage, "DRAFT")
    return new(wanted, await contact_list(stage, wanted))


async def many_campaigns(stage: Any) -> str:
    """A campaign of an organization that has as many as there may be."""
    wanted = await workflow(stage)
    await stage.owner.execute(
        "insert into campaigns (organization_id, workflow_id, name)"
        " select organization_id, id, n::text from workflows, generate_series(1, 1000) n"
        " where id = $1",
        wanted,
    )
    return new(wanted, await contact_list(stage, wanted))


async def made_twice(stage: Any) -> str:
    """The key of another campaign."""
    wanted = await workflow(stage)
    contacts = await contact_list(stage, wanted)
    assert await stage.codes("createCampaign", new(wanted, contacts)) == []
    return new(wanted, contacts, "Another")


async def campaign_beyond_the_plan(stage: Any) -> str:
    """A campaign of an organization whose plan has none."""
    wanted = await workflow(stage, plan="free")
    return new(wanted, await contact_list(stage, wanted))


async def many_lists(stage: Any) -> str:
    """A list of an organization that has as many as there may be."""
    organization = await found_organization(stage.owner, stage.actor)
    await stage.owner.execute(
        "insert into contact_lists (organization_id, size_bytes)"
        " select $1, 1 from generate_series(1, 100)",
        organization,
    )
    return announced(organization, 1)


def announced(organization: object, size_bytes: int) -> str:
    """The input of a list."""
    return f'{{organizationId: "organization_{organization}", sizeBytes: {size_bytes}}}'


def stands(status: str) -> Any:
    """The input that names a campaign in a state."""

    async def given(stage: Any) -> str:
        wanted = await workflow(stage)
        made = await stage.owner.fetchval(
            "insert into campaigns (organization_id, workflow_id, name)"
            " select organization_id, id, 'Reminders' from workflows where id = $1 returning id",
            wanted,
        )
        if status != "CREATED":
            await stage.owner.execute(
                "update campaigns set status = $2 where id = $1", made, status
            )
        return f'{{id: "campaign_{made}"}}'

    return given


def steps(wrong: str) -> dict[str, Any]:
    """The errors of a step that is wrong in a state."""
    return {"NOT_FOUND": f'{{id: "campaign_{NOBODY}"}}', "INVALID_STATE": stands(wrong)}


PROVOKED: dict[str, dict[str, Any]] = {
    "startRun": {
        "BAD_USER_INPUT": call(NOBODY, "030 123"),
        "NOT_FOUND": call(NOBODY),
        "INVALID_STATE": draft_called,
        "LIMIT_EXCEEDED": many_wait,
        "IDEMPOTENCY_CONFLICT": called_twice,
        "PLAN_LIMIT_REACHED": called_beyond_the_plan,
    },
    "createContactList": {
        "BAD_USER_INPUT": announced(NOBODY, -1),
        "NOT_FOUND": announced(NOBODY, 1),
        "INVALID_STATE": organization_errors.list_of_what_goes,
        "EMPTY_FILE": announced(NOBODY, 0),
        "LIMIT_EXCEEDED": many_lists,
    },
    "createCampaign": {
        "BAD_USER_INPUT": new(NOBODY, NOBODY, ""),
        "NOT_FOUND": new(NOBODY, NOBODY),
        "UPLOAD_MISSING": list_missing,
        "INVALID_STATE": draft_campaign,
        "LIMIT_EXCEEDED": many_campaigns,
        "IDEMPOTENCY_CONFLICT": made_twice,
        "PLAN_LIMIT_REACHED": campaign_beyond_the_plan,
    },
    "startCampaign": steps("SYNCING"),
    "pauseCampaign": steps("CREATED"),
    "resumeCampaign": steps("CREATED"),
    "cancelCampaign": steps("CANCELLED"),
}
