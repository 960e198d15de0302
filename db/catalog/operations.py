"""What other slices ask the catalog."""

from __future__ import annotations

from typing import Any

from db.actor import Actor
from db.pool import Database

_PARAMETERS_SCHEMA = "select parameters_schema from tools where id = $1"


async def parameters_schema(
    database: Database, actor: Actor, tool_id: str
) -> dict[str, Any] | None:
    """The JSON Schema of an active tool's parameters; None for any other tool.

    One statement without claims: everybody may read the active tools.
    """
    async with database.pools[actor.role].connection() as connection:
        schema: dict[str, Any] | None = await connection.fetch_value(_PARAMETERS_SCHEMA, (tool_id,))
    return schema
