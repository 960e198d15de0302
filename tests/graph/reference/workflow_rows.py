"""Rows of workflows in the world of both ways."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import DOCUMENT, TEXTS, TIMESTAMPS, add, known

STATUSES = ("DRAFT", "ACTIVE", "ARCHIVED")
RUN_STATUSES = ("QUEUED", "DIALLING", "COMPLETED")


async def add_workflow_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes workflows in every state, of the user's organization."""
    organization = known(user, "organization", 0)
    async with rows_with_a_past(owner, "workflows"):
        for n, status in enumerate(STATUSES):
            await add(
                owner,
                "workflows",
                id=known(user, "workflow", n),
                organization_id=organization,
                name=TEXTS[3],
                status=status,
                template_variables=DOCUMENT,
                created_at=TIMESTAMPS[n],
                updated_at=TIMESTAMPS[2],
                published_at=TIMESTAMPS[1] if n else None,
            )
    for n in range(2):
        await add(
            owner,
            "workflow_versions",
            id=known(user, "workflow version", n),
            workflow_id=known(user, "workflow", 1),
            organization_id=organization,
            number=n + 1,
            hash=f"{n:064x}",
            definition=DOCUMENT,
            is_current=n == 1,
            created_at=TIMESTAMPS[n],
        )
    await _runs(owner, user)
    await _campaign(owner, user)


async def _runs(owner: asyncpg.Connection, user: Actor) -> None:
    async with rows_with_a_past(owner, "workflow_runs"):
        for n, status in enumerate(RUN_STATUSES):
            has_ended = status == "COMPLETED"
            await add(
                owner,
                "workflow_runs",
                id=known(user, "workflow run", n),
                organization_id=known(user, "organization", 0),
                workflow_id=known(user, "workflow", 1),
                version_id=known(user, "workflow version", n % 2),
                phone_number="+4930901820",
                variables=DOCUMENT,
                status=status,
                provider="simulator" if n else None,
                duration_seconds=60 if has_ended else 0,
                cost_micro_usd=13_800 if has_ended else None,
                usage=DOCUMENT,
                transcript=TEXTS[3] if has_ended else None,
                created_at=TIMESTAMPS[n],
                dialled_at=TIMESTAMPS[1] if n else None,
                ended_at=TIMESTAMPS[2] if has_ended else None,
            )


async def _campaign(owner: asyncpg.Connection, user: Actor) -> None:
    organization = known(user, "organization", 0)
    campaign = known(user, "campaign", 0)
    whose = {"organization_id": organization, "campaign_id": campaign}
    await add(
        owner,
        "contact_lists",
        id=known(user, "contact list", 0),
        organization_id=organization,
        size_bytes=100,
        created_at=TIMESTAMPS[0],
        expires_at=TIMESTAMPS[1],
    )
    async with rows_with_a_past(owner, "campaigns"):
        await add(
            owner,
            "campaigns",
            id=campaign,
            organization_id=organization,
            workflow_id=known(user, "workflow", 1),
            contact_list_id=known(user, "contact list", 0),
            name=TEXTS[3],
            status="RUNNING",
            calls_per_second=0.5,
            created_at=TIMESTAMPS[0],
            updated_at=TIMESTAMPS[2],
            started_at=TIMESTAMPS[1],
        )
    for n in range(2):
        await add(
            owner,
            "campaign_contacts",
            id=known(user, "campaign contact", n),
            row_number=n + 1,
            phone_number=f"+493090182{n}",
            variables=DOCUMENT,
            **whose,
        )
    await add(
        owner,
        "refused_rows",
        id=known(user, "refused row", 0),
        row_number=3,
        field=TEXTS[3],
        message=TEXTS[3],
        **whose,
    )


def workflow_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "Workflow": [f"workflow_{known(user, 'workflow', n)}" for n in range(len(STATUSES))],
        "WorkflowVersion": [
            f"workflowVersion_{known(user, 'workflow version', n)}" for n in range(2)
        ],
        "WorkflowRun": [f"workflowRun_{known(user, 'workflow run', n)}" for n in range(3)],
        "Campaign": [f"campaign_{known(user, 'campaign', 0)}"],
        "CampaignContact": [
            f"campaignContact_{known(user, 'campaign contact', n)}" for n in range(2)
        ],
        "ContactList": [f"contactList_{known(user, 'contact list', 0)}"],
        "RefusedRow": [f"refusedRow_{known(user, 'refused row', 0)}"],
    }
