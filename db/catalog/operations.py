"""What other slices ask the catalog, what workers tell it, and what admins change in it."""

from __future__ import annotations

import orjson
from sqlalchemy import text

from db.catalog.rules import ParameterRules
from db.core.actor import SERVICE, Actor
from db.core.pool import Database, Transaction

_PARAMETER_RULES = (
    "select json_build_array(parameters_schema, app.unknown_references(parameters_schema, $2))"
    " from tools where id = $1"
)
_NOTE_MADE_TOOLS = "select app.note_made_tools($1)"
_SET_TOOL_ACTIVE = text("select app.set_tool_active(:tool, :active)")


async def parameter_rules(
    database: Database, actor: Actor, tool_id: str, parameters: object
) -> ParameterRules | None:
    """By what an active tool's parameters are checked; None for any other tool.

    One statement without claims: everybody may read the active tools and what they offer.
    """
    async with database.pools[actor.role].connection() as connection:
        found = await connection.fetch_value(_PARAMETER_RULES, (tool_id, parameters))
    if found is None:
        return None
    schema, unknown = orjson.loads(found)
    return ParameterRules(schema, frozenset(unknown))


async def note_made_tools(database: Database, made: frozenset[str] | None) -> None:
    """Mark all tools but those that the provider makes as previews; None: it makes every tool."""
    async with database.pools[SERVICE.role].connection() as connection:
        await connection.raw.execute(_NOTE_MADE_TOOLS, None if made is None else sorted(made))


async def set_tool_active(transaction: Transaction, tool_id: str, *, active: bool) -> None:
    """Switches a tool on or off on behalf of the transaction's actor, an admin."""
    await transaction.fetch_value(_SET_TOOL_ACTIVE, tool=tool_id, active=active)
