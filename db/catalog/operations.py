"""What other slices ask the catalog, and what admins change in it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from db.actor import Actor
from db.pool import Database, Transaction

_PARAMETERS_SCHEMA = "select parameters_schema from tools where id = $1"
_SET_TOOL_ACTIVE = text("select app.set_tool_active(:tool, :active)")


async def parameters_schema(
    database: Database, actor: Actor, tool_id: str
) -> dict[str, Any] | None:
    """The JSON Schema of an active tool's parameters; None for any other tool.

    One statement without claims: everybody may read the active tools.
    """
    async with database.pools[actor.role].connection() as connection:
        schema: dict[str, Any] | None = await connection.fetch_value(_PARAMETERS_SCHEMA, (tool_id,))
    return schema


async def set_tool_active(transaction: Transaction, tool_id: str, *, active: bool) -> None:
    """Switches a tool on or off on behalf of the transaction's actor, an admin."""
    await transaction.fetch_value(_SET_TOOL_ACTIVE, tool=tool_id, active=active)
