"""Commands on the switches, and how they stand."""

from __future__ import annotations

from dataclasses import dataclass

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_reason

TURN_SWITCH = SqlFunction[int](
    "app.turn_switch",
    "integer",
    wanted="text",
    is_on="boolean",
    why="text",
    by_user="uuid",
    given_by="text",
)
_TURN_AS_ADMIN = SqlFunction[int](
    "app.turn_switch_as_admin", "integer", wanted="text", is_on="boolean", why="text"
).noting_place()
_STATE = "select sync_enabled, credits_unlimited, ai_enabled, read_only from switches"


@dataclass(frozen=True, slots=True)
class SwitchState:
    """How the switches stand; without a word from the database, as in ordinary running."""

    sync_enabled: bool = True
    credits_unlimited: bool = False
    ai_enabled: bool = True
    read_only: bool = False


def turn_switch(name: str, *, is_on: bool, reason: str) -> FunctionCall[int]:
    """Turns a switch on or off on behalf of an admin; gives the row's key."""
    Problems(problems_of_reason(reason)).refuse()
    return _TURN_AS_ADMIN(wanted=name, is_on=is_on, why=reason)


async def read_switches(database: Database) -> SwitchState:
    """How the switches stand now."""
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(_STATE)
    return SwitchState(**row) if row else SwitchState()
