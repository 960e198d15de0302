"""What provokes each error of syncing, for the tests of all errors."""

from __future__ import annotations

from typing import Any

from db.switches.operations import SwitchState
from graph.shared.switches import SwitchWatch

NEW_PROFILE = '{deviceId: "d", changes: [{localId: 1, clock: "1:0", name: "Ada"}]}'


async def switched_off(stage: Any) -> str:
    """A sync while that is switched off; the test's fixture switches it on again."""
    stage.services.of(SwitchWatch.of).state = SwitchState(sync_enabled=False)
    return '{deviceId: "d"}'


async def full(stage: Any) -> str:
    """A new profile of somebody who has as many as they may."""
    await stage.uses("profiles", 10**9, 0)
    return NEW_PROFILE


def switch_on(stage: Any) -> None:
    """How the switches stand in ordinary running."""
    stage.services.of(SwitchWatch.of).state = SwitchState()


PROVOKED: dict[str, dict[str, Any]] = {
    "syncProfiles": {
        "BAD_USER_INPUT": '{deviceId: ""}',
        "NOT_FOUND": '{deviceId: "d", changes: [{id: "profile_1", clock: "1:0"}]}',
        "CURSOR_EXPIRED": f'{{deviceId: "d", since: "{"0" * 16}-1"}}',
        "QUOTA_EXCEEDED": full,
        "SYNC_DISABLED": switched_off,
    },
}
