"""What other slices ask the catalog, what workers tell it, and what admins change in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import JSONB

from db.catalog.edits import accepted_color, accepted_edits, accepted_slug
from db.catalog.rules import ParameterRules
from db.catalog.tables import Tool
from db.core.actor import Actor
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.compiling import compiled_once
from db.core.errors import Problems
from db.core.pool import Database

_REFERENCES = SqlFunction[dict[str, list[str]]](
    "app.catalog_references", "jsonb", parameters_schema="jsonb", parameters="jsonb"
)
HAS_HIGH_QUALITY = SqlFunction[bool]("app.has_high_quality", "boolean", owner_id="uuid")
_NOTE_MADE_TOOLS = SqlFunction[None]("app.note_made_tools", "void", made="text[]")


def _saving(name: str) -> SqlFunction[str]:
    return SqlFunction[str](name, "text", wanted="text", changes="jsonb").noting_place()


def _removing(name: str) -> SqlFunction[str]:
    return SqlFunction[str](name, "text", wanted="text").noting_place()


# By what is saved or removed.
_SAVE = {
    "tool": _saving("app.save_tool"),
    "hairstyle": _saving("app.save_hairstyle"),
    "hair_color": _saving("app.save_hair_color"),
    "skin_color": _saving("app.save_skin_color"),
    "plan": _saving("app.save_plan"),
}
_REMOVE = {
    "tool": _removing("app.remove_tool"),
    "hairstyle": _removing("app.remove_hairstyle"),
    "hair_color": _removing("app.remove_hair_color"),
    "skin_color": _removing("app.remove_skin_color"),
    "plan": _removing("app.remove_plan"),
}
_SET_TOOL_ACTIVE = SqlFunction[str](
    "app.set_tool_active", "text", wanted="text", active="boolean"
).noting_place()

_RULES_SQL, _RULES_PARAMETERS = compiled_once(
    select(
        func.json_build_array(
            Tool.parameters_schema,
            _REFERENCES.of(Tool.parameters_schema, bindparam("given", type_=JSONB())),
        )
    ).where(Tool.id == bindparam("tool"))
)


async def parameter_rules(
    database: Database, actor: Actor, tool_id: str, parameters: object
) -> ParameterRules | None:
    """By what an active tool's parameters are checked; None for any other tool.

    One statement without claims: everybody may read the active tools and what they offer.
    """
    async with database.pools[actor.role].connection() as connection:
        given = {"tool": tool_id, "given": parameters}
        arguments = [given[name] for name in _RULES_PARAMETERS]
        found = await connection.fetch_value(_RULES_SQL, arguments)
    if found is None:
        return None
    return ParameterRules(*orjson.loads(found))


async def note_made_tools(database: Database, made: frozenset[str] | None) -> None:
    """Mark all tools but those that the provider makes as previews; None: it makes every tool."""
    await call_as_service(database, _NOTE_MADE_TOOLS(made=None if made is None else sorted(made)))


def set_tool_active(tool_id: str, *, active: bool) -> FunctionCall[str]:
    """Switches a tool on or off on behalf of an admin; gives the tool."""
    return _SET_TOOL_ACTIVE(wanted=tool_id, active=active)


def save(thing: str, key: str, problems: Problems, changes: Mapping[str, Any]) -> FunctionCall[str]:
    """Adds something to the catalog or changes it, on behalf of an admin; gives its key.

    `thing` is what a table of the catalog has a row of, such as `hair_color`.
    """
    field, accepted = _key_of(thing)
    wanted = problems.of(accepted, key, "input", field)
    return _SAVE[thing](wanted=wanted, changes=accepted_edits(problems, changes))


def remove(thing: str, key: str) -> FunctionCall[str]:
    """Takes something out of the catalog on behalf of an admin; gives its key."""
    return _REMOVE[thing](wanted=key)


def _key_of(thing: str) -> tuple[str, Callable[..., str]]:
    return ("hexCode", accepted_color) if thing.endswith("_color") else ("id", accepted_slug)
