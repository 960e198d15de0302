"""What operators, as the owner, see of the switches and turn; every change is audited."""

from __future__ import annotations

import asyncpg

from db.accounts.operating import as_owner
from db.core.commands import call_on
from db.switches.operations import TURN_SWITCH, SwitchState

_STATE = "select sync_enabled, credits_unlimited, ai_enabled, read_only from switches"
_CHANGES = """
select created_at, detail from audit_log where action = 'set_switch'
order by created_at desc, id desc limit $1
"""


async def read_board(owner_url: str, changes: int) -> tuple[SwitchState, list[asyncpg.Record]]:
    """How the switches stand, and who turned them last, newest first."""
    async with (
        as_owner(owner_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        row = await connection.fetchrow(_STATE)
        state = SwitchState(**row) if row else SwitchState()
        return state, await connection.fetch(_CHANGES, changes)


async def turn(owner_url: str, name: str, *, is_on: bool, by: str, reason: str) -> None:
    """Turns a switch on or off."""
    async with as_owner(owner_url) as connection:
        wanted = TURN_SWITCH(wanted=name, is_on=is_on, why=reason, by_user=None, given_by=by)
        await call_on(connection, wanted)
