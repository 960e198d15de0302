"""Rows of sync, and of what users say of themselves, in the world of both ways."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import DOCUMENT, LASTING, TEXTS, TIMESTAMPS, add, known

STATUSES = ("OPEN", "SETTLED", "RESOLVED", "DELETED")


async def add_sync_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes conflicts in every state, about the user's first profile."""
    await add(
        owner,
        "user_profiles",
        user_id=user.user_id,
        synthesis=DOCUMENT,
        location=TEXTS[3],
        preferences=DOCUMENT,
        dating_goals=DOCUMENT,
        text_inputs=[DOCUMENT],
        created_at=TIMESTAMPS[0],
        updated_at=TIMESTAMPS[2],
    )
    async with rows_with_a_past(owner, "sync_conflicts"):
        for n, status in enumerate(STATUSES):
            is_resolved = status == "RESOLVED"
            await add(
                owner,
                "sync_conflicts",
                id=known(user, "sync conflict", n),
                user_id=user.user_id,
                profile_id=known(user, "profile", 0),
                field_group=("NAME", "ANALYSIS", "DELETION", "PROFILE")[n],
                loser="CLIENT" if n % 2 else "SERVER",
                device_id=TEXTS[3],
                clock=n,
                value=None if n == 2 else DOCUMENT,
                status=status,
                kept="LOST" if is_resolved else None,
                created_at=TIMESTAMPS[n],
                resolved_at=LASTING[n] if is_resolved else None,
            )


def sync_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "SyncConflict": [f"syncConflict_{known(user, 'sync conflict', n)}" for n in range(4)],
        "UserProfile": [f"userProfile_{user.user_id}"],
    }
