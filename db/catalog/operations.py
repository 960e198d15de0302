"""What other slices ask the catalog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from db.catalog.tables import Tool
from db.pool import Transaction

_PARAMETERS_SCHEMA = select(Tool.parameters_schema).where(Tool.id == bindparam("tool_id"))


async def parameters_schema(transaction: Transaction, tool_id: str) -> dict[str, Any] | None:
    """The JSON Schema of an active tool's parameters; None for any other tool."""
    schema: dict[str, Any] | None = await transaction.fetch_value(
        _PARAMETERS_SCHEMA, tool_id=tool_id
    )
    return schema
