"""A workflow's definition and an organization to have it, for the tests of calls and campaigns."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg

from db.core.actor import Actor

DEFINITION: dict[str, Any] = {
    "nodes": [
        {"id": "start", "type": "startCall", "data": {"name": "Greet", "prompt": "Say hello."}},
        {"id": "ask", "type": "agentNode", "data": {"name": "Ask", "prompt": "Is Tuesday good?"}},
        {"id": "end", "type": "endCall", "data": {"name": "End", "prompt": "Say goodbye."}},
    ],
    "edges": [
        {
            "id": "e1",
            "source": "start",
            "target": "ask",
            "label": "ready",
            "condition": "They listen.",
        },
        {
            "id": "e2",
            "source": "ask",
            "target": "end",
            "label": "done",
            "condition": "They answered.",
        },
    ],
}


async def join(owner: asyncpg.Connection, organization: UUID, actor: Actor, role: str) -> None:
    """Makes somebody a member."""
    await owner.execute(
        "insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)",
        organization, actor.user_id, role,
    )  # fmt: skip


async def found_organization(
    owner: asyncpg.Connection, actor: Actor, plan: str = "enterprise"
) -> UUID:
    """A new organization that somebody owns."""
    made: UUID = await owner.fetchval(
        "insert into organizations (name, plan_id) values ('Acme', $1) returning id", plan
    )
    await join(owner, made, actor, "OWNER")
    return made


async def active_workflow(
    owner: asyncpg.Connection, organization: UUID, status: str = "ACTIVE"
) -> UUID:
    """A workflow of one version, published unless another state is asked for."""
    made: UUID = await owner.fetchval(
        "insert into workflows (organization_id, name) values ($1, 'Reminder') returning id",
        organization,
    )
    await owner.execute(
        "insert into workflow_versions"
        " (workflow_id, organization_id, number, hash, definition, is_current)"
        " values ($1, $2, 1, repeat('0', 64), $3::text::jsonb, true)",
        made, organization, json.dumps(DEFINITION),
    )  # fmt: skip
    if status != "DRAFT":
        await owner.execute(
            "update workflows set status = 'ACTIVE', published_at = now() where id = $1", made
        )
    return made
