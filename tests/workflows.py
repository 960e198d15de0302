"""A workflow's definition and an organization to have it, for the tests of calls and campaigns."""

from __future__ import annotations

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


async def found_organization(owner: asyncpg.Connection, actor: Actor) -> UUID:
    """A new organization that somebody owns."""
    made: UUID = await owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    await join(owner, made, actor, "OWNER")
    return made
