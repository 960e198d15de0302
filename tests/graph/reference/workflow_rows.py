"""Rows of workflows in the world of both ways."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import DOCUMENT, TEXTS, TIMESTAMPS, add, known

STATUSES = ("DRAFT", "ACTIVE", "ARCHIVED")


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


def workflow_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "Workflow": [f"workflow_{known(user, 'workflow', n)}" for n in range(len(STATUSES))],
        "WorkflowVersion": [
            f"workflowVersion_{known(user, 'workflow version', n)}" for n in range(2)
        ],
    }
