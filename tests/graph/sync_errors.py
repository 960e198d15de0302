"""What provokes each error of syncing, for the tests of all errors."""

from __future__ import annotations

from typing import Any

from db.switches.operations import SwitchState
from graph.shared.switches import SwitchWatch


async def switched_off(stage: Any) -> str:
    """A sync while that is switched off; the test's fixture switches it on again."""
    stage.services.of(SwitchWatch.of).state = SwitchState(sync_enabled=False)
    return '{deviceId: "d"}'


async def deleted_and_full(stage: Any) -> str:
    """A profile to bring back, of somebody who has as many as they may."""
    lost = await stage.owner.fetchval(
        "insert into sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock,"
        """ value, status) values ($1, gen_random_uuid(), 'PROFILE', 'SERVER', '', 1,"""
        """ '{"ANALYSIS": {}, "created_at": "2026-01-01"}', 'DELETED') returning id""",
        stage.actor.user_id,
    )
    await stage.uses("profiles", 10**9, 0)
    return f'{{id: "syncConflict_{lost}", keep: LOST}}'


def switch_on(stage: Any) -> None:
    """How the switches stand in ordinary running."""
    stage.services.of(SwitchWatch.of).state = SwitchState()


PROVOKED: dict[str, dict[str, Any]] = {
    "syncProfiles": {
        "BAD_USER_INPUT": '{deviceId: ""}',
        "CURSOR_EXPIRED": f'{{deviceId: "d", since: "{"0" * 16}-1"}}',
        "SYNC_DISABLED": switched_off,
    },
    "resolveConflict": {
        "NOT_FOUND": '{id: "syncConflict_1", keep: LOST}',
        "QUOTA_EXCEEDED": deleted_and_full,
    },
    "updateUserProfile": {"BAD_USER_INPUT": "{synthesis: []}"},
}
